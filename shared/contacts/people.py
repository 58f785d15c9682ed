"""Who is sent from which row, when the same address comes again.

One address is one person. The row that gives her values is the newest by a date column or
the first of the export; a later segment adds her to its lists by her address alone, unless
she is on all of them already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.contacts.duplicates import Hashes, SeenAddresses, Slots, first_of_each
from shared.contacts.texts import Mask

Seconds = npt.NDArray[np.int64]

# Older than every date: what has none.
NO_DATE = np.iinfo(np.int64).min + 1
_UNSEEN = np.iinfo(np.int64).min

_EXCLUDED = 0  # a bit
_WORD = 64  # bits


@dataclass(frozen=True)
class Verdict:
    """What becomes of each row; exactly one of the four is true for a row."""

    in_full: Mask
    address_only: Mask
    duplicate: Mask
    excluded: Mask


class People:
    """The people of one export, by the hashes of their addresses."""

    def __init__(
        self, lists: Sequence[Sequence[str]], *, with_excluded: bool, by_date: bool
    ) -> None:
        """Begin with nobody.

        Args:
            lists: Those of each segment, in the order of the export.
            with_excluded: `exclude` will be called.
            by_date: `note_date` will be called for every row before the first decision.
        """
        wanted = [frozenset(ids) for ids in lists]
        sets = list(dict.fromkeys(wanted))
        # One bit says that a person is excluded, and one for each set of lists that she is on it.
        self._bits = [sets.index(ids) + 1 for ids in wanted]
        self._covers = [_covers(ids, sets) for ids in wanted]
        self._by_date = by_date
        columns: dict[str, npt.DTypeLike] = {}
        self._words: list[str] = []
        if with_excluded or by_date or len(lists) > 1:
            self._words = [f"lists{word}" for word in range(len(sets) // _WORD + 1)]
            kind = np.min_scalar_type((1 << len(sets) + 1) - 1) if len(sets) < _WORD else np.uint64
            columns = dict.fromkeys(self._words, kind)
        if by_date:
            columns |= {"newest": np.int64, "home": np.uint16, "sent": np.bool_}
        self._seen = SeenAddresses(columns)

    def exclude(self, hashes: Hashes) -> None:
        """Refuse these people from now on."""
        slots, _ = self._seen.add(hashes)
        self._mark(slots, _EXCLUDED)

    def note_date(self, segment: int, hashes: Hashes, seconds: Seconds) -> None:
        """Look at rows for the newest of each person; of equally new ones the first counts."""
        slots, new = self._seen.add(hashes)
        newest = self._seen.columns["newest"]
        newest[slots[new]] = _UNSEEN
        before = newest[slots]
        np.maximum.at(newest, slots, seconds)
        self._seen.columns["home"][slots[newest[slots] > before]] = segment

    def decide(self, segment: int, hashes: Hashes, seconds: Seconds | None = None) -> Verdict:
        """Return what becomes of rows of a segment, in the order of the export."""
        slots, new = self._seen.add(hashes)
        columns = self._seen.columns
        if not columns:
            return _verdict(in_full=new)
        excluded = self._has(slots, 1 << _EXCLUDED)
        listed = self._has(slots, -1)  # or excluded
        if self._by_date and seconds is not None:
            home = columns["home"][slots]
            here = ~excluded & (home == segment)
            in_full = here & (seconds == columns["newest"][slots]) & ~columns["sent"][slots]
            in_full = _first(in_full, slots)
            columns["sent"][slots[in_full]] = True
            later = ~excluded & ~here
            fresh = later & ~listed
            for other in np.unique(home[fresh]).tolist():
                self._mark(slots[fresh & (home == other)], self._bits[other])
        else:
            in_full = _first(~listed, slots)
            later = ~excluded & listed
            self._mark(slots[in_full], self._bits[segment])
        address_only = self._not_yet_on(segment, slots, later)
        return _verdict(in_full, address_only, excluded)

    def _not_yet_on(self, segment: int, slots: Slots, later: Mask) -> Mask:
        on_all = np.ones(slots.size, np.bool_)
        for sets in self._covers[segment]:
            on_all &= self._has(slots, sets)
        lacking = _first(later & ~on_all, slots)
        self._mark(slots[lacking], self._bits[segment])
        return lacking

    def _has(self, slots: Slots, bits: int) -> Mask:
        """Tell which people have any of *bits*."""
        found = np.zeros(slots.size, np.bool_)
        for name in self._words:
            column = self._seen.columns[name]
            found |= column[slots] & column.dtype.type(bits & int(np.iinfo(column.dtype).max)) != 0
            bits >>= _WORD
        return found

    def _mark(self, slots: Slots, bit: int) -> None:
        column = self._seen.columns[self._words[bit // _WORD]]
        column[slots] |= column.dtype.type(1 << bit % _WORD)


def _covers(wanted: frozenset[str], sets: Sequence[frozenset[str]]) -> set[int]:
    """Return, for each of the *wanted* lists, the bits of the sets it is in."""
    return {
        sum(1 << bit for bit, ids in enumerate(sets, start=1) if list_id in ids)
        for list_id in wanted
    }


def _first(rows: Mask, slots: Slots) -> Mask:
    """Keep of *rows* only the first for each slot."""
    chosen = np.flatnonzero(rows)
    first = np.zeros(rows.size, np.bool_)
    first[chosen[first_of_each(slots[chosen])]] = True
    return first


def _verdict(
    in_full: Mask, address_only: Mask | None = None, excluded: Mask | None = None
) -> Verdict:
    none = np.zeros(in_full.size, np.bool_)
    address_only = none if address_only is None else address_only
    excluded = none if excluded is None else excluded
    return Verdict(in_full, address_only, ~(in_full | address_only | excluded), excluded)
