"""What Constant Contact accepted last time, as keyed hashes: no personal data is kept.

A contact is 24 bytes: two halves of a 128-bit hash of the address and 64 bits of the hash of
its line in the import file, all keyed with a secret from Key Vault; 8 more where the export says
what names a person whatever the address. Kept sorted by the first half, so that a million
contacts are compared in one pass of binary searches.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from shared.contacts import texts
from shared.contacts.preparation import Identities
from shared.contacts.texts import Mask, Text

Numbers = npt.NDArray[np.uint64]

_NAMES = ("address", "check", "row", "person")


@dataclass(frozen=True)
class Marks:
    """Hashes of some contacts, a place in each array for each; *person* is 0 if unknown."""

    address: Numbers
    check: Numbers
    row: Numbers
    person: Numbers

    def __len__(self) -> int:
        return self.address.size

    @classmethod
    def none(cls) -> Self:
        """Return the marks of nobody."""
        return cls(*(np.empty(0, np.uint64) for _ in _NAMES))

    @classmethod
    def of(cls, keys: Text, lines: Text, secret: bytes, people: Text | None = None) -> Self:
        """Hash addresses as they are compared, their lines, and who they are about."""
        both = _hashes(keys, secret, b"address", 16).reshape(-1, 2)
        person = np.zeros(len(keys), np.uint64) if people is None else _persons(people, secret)
        return cls(both[:, 0].copy(), both[:, 1].copy(), _hashes(lines, secret, b"row", 8), person)

    @classmethod
    def joined(cls, parts: Iterable[Marks]) -> Self:
        """Return *parts* one behind the other."""
        parts = (cls.none(), *parts)
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in _NAMES))

    def where(self, chosen: Any) -> Marks:
        """Return the marks at a mask, slice or indices."""
        return Marks(*(getattr(self, name)[chosen] for name in _NAMES))

    def sorted(self) -> Marks:
        """Return the marks in the order that `find` needs."""
        return self.where(np.argsort(self.address, kind="stable"))

    def find(self, others: Marks) -> npt.NDArray[np.int64]:
        """Return where each of *others*' addresses stands here, -1 for nowhere."""
        if not len(self):
            return np.full(len(others), -1, np.int64)
        places = np.searchsorted(self.address, others.address)
        places[places == len(self)] = 0
        same = (self.address[places] == others.address) & (self.check[places] == others.check)
        return np.where(same, places, -1)

    def packed(self) -> bytes:
        """Return the marks as a Parquet file; hashes do not compress, nobody's do."""
        sink = io.BytesIO()
        table = pa.table({name: pa.array(getattr(self, name)) for name in _NAMES})
        compression = {name: "zstd" if name == "person" else "none" for name in _NAMES}
        pq.write_table(table, sink, compression=compression, use_dictionary=False)
        return sink.getvalue()

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Return what `packed` wrote."""
        table = pq.read_table(io.BytesIO(content))
        return cls(*(table.column(name).to_numpy() for name in _NAMES))


class Memory:
    """Tells unchanged contacts from others, and notes all that go by, segment by segment.

    Attributes:
        new: People who were not known; *changed*: known ones with another line or address.
    """

    def __init__(self, secret: bytes, before: dict[int, Marks]) -> None:
        self._secret = secret
        self._before = before
        self._seen: dict[int, list[Marks]] = {}
        self._staged: dict[int, list[Marks]] = {}
        self._unsent: dict[int, list[Marks]] = {}
        self._found: dict[int, Mask] = {
            segment: np.zeros(len(marks), np.bool_) for segment, marks in before.items()
        }
        self._moved: dict[int, Mask] = {
            segment: np.zeros(len(marks), np.bool_) for segment, marks in before.items()
        }
        self._persons: dict[int, npt.NDArray[np.int64]] = {}
        self.new = self.changed = 0

    def emptied(self) -> Memory:
        """Return a memory of nobody, with the same key."""
        return Memory(self._secret, {})

    def unchanged(
        self, segment: int, keys: Text, lines: Text, identities: Identities | None = None
    ) -> Mask:
        """Tell which contacts were accepted before with this very line."""
        people = identities.now if identities else None
        marks = Marks.of(keys, lines, self._secret, people)
        before = self._before.get(segment, Marks.none())
        places = self._seek(segment, marks)
        same = places >= 0
        moved = self._moved_here(segment, marks.where(~same), identities, ~same)
        self.new += int((~same).sum()) - moved
        same[same] = before.row[places[same]] == marks.row[same]
        self.changed += int((places >= 0).sum() - same.sum()) + moved
        self._seen.setdefault(segment, []).append(marks.where(same))
        self._staged.setdefault(segment, []).append(marks.where(~same))
        return same

    def present(self, segment: int, keys: Text) -> None:
        """Note people who are in the segment and are not sent: they have not left it."""
        if len(keys):
            marks = Marks.of(keys, texts.repeated("", len(keys)), self._secret)
            self._seek(segment, marks)
            self._unsent.setdefault(segment, []).append(marks)

    def moved(self, segment: int) -> int:
        """Return how many people have another address than before, the old one gone."""
        if segment not in self._moved:
            return 0
        return int((self._moved[segment] & ~self._found[segment]).sum())

    def _moved_here(
        self, segment: int, marks: Marks, identities: Identities | None, rows: Mask
    ) -> int:
        """Tick off people who were known by another address; return how many of *marks* are."""
        before = self._before.get(segment)
        if identities is None or before is None or not len(marks) or not len(before):
            return 0
        known = self._with_person(segment, marks.person)
        if identities.before is not None:
            earlier = identities.before.filter(pa.array(rows)).to_pylist()
            for row in np.flatnonzero((known < 0) & np.array([bool(ids) for ids in earlier])):
                ids = pa.array([part.strip() for part in earlier[row].split(";") if part.strip()])
                found = (
                    self._with_person(segment, _persons(ids, self._secret)) if len(ids) else known
                )
                known[row] = max(found.max(), -1)
        self._moved[segment][known[known >= 0]] = True
        return int((known >= 0).sum())

    def _with_person(self, segment: int, persons: Numbers) -> npt.NDArray[np.int64]:
        """Return where each person stands in what was accepted before, -1 for nowhere."""
        before = self._before[segment]
        order = self._persons.setdefault(segment, np.argsort(before.person, kind="stable"))
        places = np.searchsorted(before.person, persons, sorter=order)
        places[places == len(before)] = 0
        found: npt.NDArray[np.int64] = order[places]
        return np.where((before.person[found] == persons) & (persons != 0), found, -1)

    def _seek(self, segment: int, marks: Marks) -> npt.NDArray[np.int64]:
        """Return where *marks* stand in what was accepted before, and tick them off there."""
        places = self._before.get(segment, Marks.none()).find(marks)
        if segment in self._found:
            self._found[segment][places[places >= 0]] = True
        return places

    def left(self, segment: int) -> Marks:
        """Return the marks of those who were accepted before and are not in the segment now."""
        before = self._before.get(segment, Marks.none())
        return before.where(~self._found[segment]) if segment in self._found else before

    def unsent(self, segment: int) -> Marks:
        """Return the marks of people in the segment who are not sent."""
        return Marks.joined(self._unsent.get(segment, ()))

    def everybody(self, segment: int) -> Marks:
        """Return the marks of all in the segment who have a good address, sent or not."""
        return Marks.joined((self.kept(segment), self.staged(segment), self.unsent(segment)))

    def kept(self, segment: int) -> Marks:
        """Return the marks of the contacts found unchanged."""
        return Marks.joined(self._seen.get(segment, ()))

    def staged(self, segment: int) -> Marks:
        """Return the marks of the others, in the order they were staged."""
        return Marks.joined(self._staged.get(segment, ()))


def leavers(left: Marks, present: Marks) -> Marks:
    """Return those of *left* who are not *present* in another segment of the same list."""
    return left.where(present.sorted().find(left) < 0)


def _persons(people: Text, secret: bytes) -> Numbers:
    return np.where(texts.empty(people), np.uint64(0), _hashes(people, secret, b"person", 8))


def _hashes(column: Text, secret: bytes, purpose: bytes, size: int) -> Numbers:
    """Return keyed hashes of *size* bytes as 64-bit numbers."""
    # A copy of a keyed state costs half of making one.
    keyed = blake2b(digest_size=size, key=secret, person=purpose).copy
    raw = bytes(texts.data(column))
    ends = (texts.bounds(column) - texts.bounds(column)[0]).tolist()
    digests = []
    for start, stop in pairwise(ends):
        state = keyed()
        state.update(raw[start:stop])
        digests.append(state.digest())
    return np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64)
