"""Addresses seen before, found by columns of 64-bit hashes instead of sets of strings.

Ten bytes or so for each address, however long. Two addresses get the same hash with a
chance of 3 in 100 million for a million of them, which would cost one of the two persons
a line in the rejects; the hash is keyed, so that nobody can choose such a pair.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.contacts import texts
from shared.contacts.texts import Mask, Text

Hashes = npt.NDArray[np.uint64]
Slots = npt.NDArray[np.int64]

_MULTIPLIER = np.uint64(0x880355F21E6D1965)
_MIXER = np.uint64(0x2127599BF4325C37)
_LOWEST_BYTES = np.array([(1 << 8 * count) - 1 for count in range(9)], np.uint64)
_FULL = 0.6  # share of slots in use at which the table grows
_FIRST_SIZE = 2**20
_STRETCH = 2**16
_CELLS = 2**16


def hashed(keys: Text, seed: int) -> Hashes:
    """Return a hash of each value that is never 0 (fasthash64, each word keyed by *seed*).

    https://github.com/ztanml/fast-hash
    """
    at = texts.bounds(keys).astype(np.int64)
    at -= at[0]
    raw = np.frombuffer(bytes(texts.data(keys)) + bytes(8), np.uint8)
    # Every eight bytes from every place on, as overlapping words.
    words = np.ndarray((raw.size - 7,), "<u8", raw.data, strides=(1,))
    starts, sizes = at[:-1], np.diff(at)
    key = np.uint64(seed & 0xFFFF_FFFF_FFFF_FFFF)
    hashes = sizes.astype(np.uint64) * _MULTIPLIER ^ key
    step, shortest = 0, int(sizes.min()) if sizes.size else 0
    while step + 8 <= shortest:  # words that every value has
        hashes ^= _mixed(words[starts + step] ^ key)
        hashes *= _MULTIPLIER
        step += 8
    rows = np.flatnonzero(sizes > step)
    while rows.size:
        rest = sizes[rows] - step
        word = words[starts[rows] + step] & _LOWEST_BYTES[np.minimum(rest, 8)]
        hashes[rows] = (hashes[rows] ^ _mixed(word ^ key)) * _MULTIPLIER
        step += 8
        rows = rows[rest > 8]
    hashes = _mixed(hashes)
    hashes[hashes == 0] = 1
    return hashes


def _mixed(words: Hashes) -> Hashes:
    words ^= words >> np.uint64(23)
    words *= _MIXER
    words ^= words >> np.uint64(47)
    return words


class SeenAddresses:
    """A set of hashes in open addressing, with what is noted on each.

    Attributes:
        columns: Notes by name, one value for each slot, 0 until it is set. They move with
            the hashes when the table grows.
    """

    def __init__(self, columns: Mapping[str, npt.DTypeLike] = MappingProxyType({})) -> None:
        self._hashes = _Column(_FIRST_SIZE, np.uint64)
        self._notes = {name: _Column(_FIRST_SIZE, kind) for name, kind in columns.items()}
        self._used = 0

    def __len__(self) -> int:
        return self._used

    @property
    def columns(self) -> dict[str, npt.NDArray[Any]]:
        return {name: column.values for name, column in self._notes.items()}

    def add(self, hashes: Hashes) -> tuple[Slots, Mask]:
        """Return the slot of each hash, good until the next call, and which were not there."""
        if self._used + hashes.size > _FULL * self._hashes.values.size:
            self._grow(self._used + hashes.size)
        slots, new = _place(self._hashes.values, hashes)
        new &= first_of_each(slots)
        self._used += int(new.sum())
        return slots, new

    def _grow(self, least: int) -> None:
        old, old_notes = self._hashes, self._notes
        size = old.values.size
        while least > _FULL * size:
            size *= 2
        self._hashes = _Column(size, old.values.dtype)
        self._notes = {name: _Column(size, notes.values.dtype) for name, notes in old_notes.items()}
        for start in range(0, old.values.size, _STRETCH):
            stretch = slice(start, start + _STRETCH)
            there = np.flatnonzero(old.values[stretch])
            slots, _ = _place(self._hashes.values, old.values[stretch][there])
            for name, notes in old_notes.items():
                self._notes[name].values[slots] = notes.values[stretch][there]
            for column in (old, *old_notes.values()):
                column.give_back(start)


class _Column:
    """Zeros that take memory only where they are written, and give it back by stretches.

    So a table that grows needs no more memory at any time than the new one in the end: low
    slots of the old one go to low slots of each half of the new one.
    """

    def __init__(self, size: int, kind: npt.DTypeLike) -> None:
        self._memory = mmap.mmap(-1, size * np.dtype(kind).itemsize)
        self.values: npt.NDArray[Any] = np.frombuffer(self._memory, kind)

    def give_back(self, start: int) -> None:
        """Forget the stretch from *start* on, where the system can."""
        if hasattr(mmap, "MADV_DONTNEED"):
            width = self.values.itemsize
            self._memory.madvise(mmap.MADV_DONTNEED, start * width, _STRETCH * width)


def _place(table: Hashes, hashes: Hashes) -> tuple[Slots, Mask]:
    """Put hashes into the table where they are not yet; return their slots and which were new."""
    mask = table.size - 1
    slots = (hashes & np.uint64(mask)).astype(np.int64)
    new = np.zeros(hashes.size, np.bool_)
    rows = np.arange(hashes.size)
    while rows.size:
        at, wanted = slots[rows], hashes[rows]
        there = table[at]
        free = np.flatnonzero(there == 0)
        if free.size:
            table[at[free]] = wanted[free]  # of several for one slot the last stays
            there[free] = table[at[free]]
            new[rows[free]] = there[free] == wanted[free]
        rows = rows[there != wanted]
        slots[rows] = slots[rows] + 1 & mask
    return slots, new


def first_of_each(slots: Slots) -> Mask:
    """Tell which rows are the first of all those with the same slot."""
    rows = np.arange(slots.size, dtype=np.int32)
    cells = slots & _CELLS - 1
    owners = np.zeros(_CELLS, np.int32)
    owners[cells[::-1]] = rows[::-1]  # of several rows for one cell the first stays
    owner = owners[cells]
    first: Mask = owner == rows
    # Rows in a cell that a row of another slot owns are few: those are sorted.
    left = np.flatnonzero(slots[owner] != slots)
    if left.size:
        _, firsts = np.unique(slots[left], return_index=True)
        first[left[firsts]] = True
    return first
