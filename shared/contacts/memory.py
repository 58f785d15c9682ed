"""What Constant Contact accepted last time, as keyed hashes: no personal data is kept.

A contact is 24 bytes: two halves of a 128-bit hash of the address and 64 bits of the hash of
its line in the import file, all keyed with a secret from Key Vault; 8 more where the export says
what names a person whatever the address. Kept sorted by the first half, so that a million
contacts are compared in one pass of binary searches.

Two facts are kept apart. Whoever is in the memory may be on the list, so that she is found once
she has left. Only where her row is not `NO_ROW` was that line accepted, so that it need not be
sent again.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
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
Places = npt.NDArray[np.int64]

NO_ROW = np.uint64(0)
"""Stands where no line of a contact is known to have been accepted."""

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

    def unaccepted(self) -> Marks:
        """Return the marks without what was accepted: of people who may be on the list."""
        return Marks(self.address, self.check, np.full(len(self), NO_ROW), self.person)

    def sorted(self) -> Marks:
        """Return the marks in the order that `find` needs."""
        return self.where(np.argsort(self.address, kind="stable"))

    def distinct(self) -> Marks:
        """Return the first mark of each address, in the order that `find` needs."""
        marks = self.sorted()
        again = (marks.address[1:] == marks.address[:-1]) & (marks.check[1:] == marks.check[:-1])
        return marks.where(~np.append(np.zeros(min(1, len(marks)), np.bool_), again))

    def find(self, others: Marks) -> Places:
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
        new: People of whom nothing was accepted; *changed*: others with another line or address.
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
        self._persons: dict[int, Places] = {}
        self._now: dict[int, Numbers] = {}
        self.new = self.changed = 0

    def afresh(self) -> Memory:
        """Return a memory of the same people in which nothing was accepted: all are sent."""
        return Memory(self._secret, {n: marks.unaccepted() for n, marks in self._before.items()})

    def unchanged(
        self, segment: int, keys: Text, lines: Text, identities: Identities | None = None
    ) -> Mask:
        """Tell which contacts were accepted before with this very line."""
        people = identities.now if identities else None
        marks = Marks.of(keys, lines, self._secret, people)
        before = self._before.get(segment, Marks.none())
        places = self._seek(segment, marks)
        known = places >= 0
        moved = self._note_moves(segment, marks.person, identities, ~known)
        accepted = np.full(len(marks), NO_ROW)
        accepted[known] = before.row[places[known]]
        same: Mask = (accepted == marks.row) & (accepted != NO_ROW)
        changed = moved + int(((accepted != NO_ROW) & ~same).sum())
        self.changed += changed
        self.new += int((~same).sum()) - changed
        self._seen.setdefault(segment, []).append(marks.where(same))
        self._staged.setdefault(segment, []).append(marks.where(~same))
        return same

    def present(self, segment: int, keys: Text, identities: Identities | None = None) -> None:
        """Note people who are in the segment and are not sent: they have not left it.

        Whose new address cannot be sent, or who has none now, keeps the one she is known by.
        """
        people = identities.now if identities else None
        marks = Marks.of(keys, texts.repeated("", len(keys)), self._secret, people).unaccepted()
        addressed = marks.where(~texts.empty(keys))
        self._seek(segment, addressed)
        _, places = self._known_persons(segment, marks.person, identities)
        places = places[~self._found[segment][places]] if len(places) else places
        self._unsent.setdefault(segment, []).append(addressed)
        if len(places):
            self._found[segment][places] = True
            self._unsent[segment].append(self._before[segment].where(places).unaccepted())

    def moved(self, segment: int) -> int:
        """Return how many people have another address than before, the old one gone."""
        if segment not in self._moved:
            return 0
        return int((self._moved[segment] & ~self._found[segment]).sum())

    def _note_moves(
        self, segment: int, persons: Numbers, identities: Identities | None, rows: Mask
    ) -> int:
        """Note who of *rows* was known by another address; return how many that are."""
        moved, places = self._known_persons(segment, persons, identities, rows)
        if len(moved):
            self._moved[segment][places] = True
            now = self._now.setdefault(segment, self._before[segment].person.copy())
            now[places] = persons[moved]
        return np.unique(moved).size

    def _known_persons(
        self,
        segment: int,
        persons: Numbers,
        identities: Identities | None,
        rows: Mask | None = None,
    ) -> tuple[Places, Places]:
        """Return which of *rows* are about people who were known, and where each stands there.

        A row whose person took the place of several stands with each of them.
        """
        if identities is None or not len(self._before.get(segment, ())):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        asked = np.ones(len(persons), np.bool_) if rows is None else rows
        known = np.where(asked, self._with_person(segment, persons), -1)
        found = np.flatnonzero(known >= 0)
        pairs = [(found, known[found])]
        if identities.before is not None:
            earlier = ~texts.empty(identities.before)
            for row in np.flatnonzero(asked & (known < 0) & earlier):
                ids = [part.strip() for part in identities.before[int(row)].as_py().split(";")]
                hashes = _persons(pa.array(ids, pa.string()), self._secret)
                places = self._with_person(segment, hashes)
                places = np.unique(places[places >= 0])
                pairs.append((np.full(places.size, row), places))
        moved, places = (np.concatenate(each) for each in zip(*pairs, strict=True))
        return moved, places

    def _with_person(self, segment: int, persons: Numbers) -> Places:
        """Return where each person stands in what was accepted before, -1 for nowhere."""
        before = self._before[segment]
        order = self._persons.setdefault(segment, np.argsort(before.person, kind="stable"))
        places = np.searchsorted(before.person, persons, sorter=order)
        places[places == len(before)] = 0
        found: Places = order[places]
        return np.where((before.person[found] == persons) & (persons != 0), found, -1)

    def _seek(self, segment: int, marks: Marks) -> Places:
        """Return where *marks* stand in what was accepted before, and tick them off there."""
        places = self._before.get(segment, Marks.none()).find(marks)
        if segment in self._found:
            self._found[segment][places[places >= 0]] = True
        return places

    def left(self, segment: int) -> Marks:
        """Return the marks of those who may be on the list and are not in the segment now.

        Whose address has changed goes by the id that she has now.
        """
        before = self._before.get(segment, Marks.none())
        if segment in self._now:
            before = Marks(before.address, before.check, before.row, self._now[segment])
        return before.where(~self._found[segment]) if segment in self._found else before

    def everybody(self, segment: int) -> Iterator[Marks]:
        """Yield the marks of all in the segment who have a good address, sent or not."""
        for noted in (self._seen, self._staged, self._unsent):
            yield from noted.get(segment, ())

    def kept(self, segment: int) -> Marks:
        """Return the marks of the contacts found unchanged."""
        return Marks.joined(self._seen.get(segment, ()))

    def staged(self, segment: int) -> Marks:
        """Return the marks of those who are sent, in the order they were staged."""
        return Marks.joined(self._staged.get(segment, ()))

    def count_unsent(self, segment: int) -> int:
        """Return how many people in the segment are not sent."""
        return sum(len(marks) for marks in self._unsent.get(segment, ()))

    def unsent(self, segment: int) -> Marks:
        """Return the marks of people in the segment who are not sent."""
        return Marks.joined(self._unsent.get(segment, ()))


def leavers(left: Marks, present: Iterable[Marks]) -> Marks:
    """Return those of *left*, each once, who are nowhere among *present*."""
    left = left.distinct()
    gone = np.ones(len(left), np.bool_)
    for some in present:
        places = left.find(some)
        gone[places[places >= 0]] = False
    return left.where(gone)


def of_people(marks: Marks, people: Marks) -> Mask:
    """Tell which of *marks* are of the same persons as *people*, whatever the addresses."""
    return np.isin(marks.person, people.person[people.person != 0])


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
