"""Prepare: from pinned snapshots to import files and rejects, every row with exactly one fate.

The same snapshots give the same files to the byte, so a preparation that was killed is
simply done again.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shared.contacts import addresses, batches, dates, rejects, texts
from shared.contacts.addresses import Addresses
from shared.contacts.batches import Lines
from shared.contacts.duplicates import Hashes, hashed
from shared.contacts.encoding import EMAIL, Encoder
from shared.contacts.people import NO_DATE, People, Seconds
from shared.contacts.rejects import Reason
from shared.contacts.texts import Mask, Text
from shared.segments.discovery import confirm
from shared.segments.snapshots import Snapshot
from shared.segments.source import SegmentSource
from shared.segments.tables import Rows, read_columns

Reasons = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Consent:
    """Who may be written to: rows whose *column* holds one of *values*; all others may not."""

    column: str
    values: frozenset[str]

    def given(self, column: Text) -> Mask:
        """Tell which rows have consent. Case does not count; ``1`` and ``0`` are booleans too."""
        wanted = set(_folded(pa.array(sorted(self.values), pa.string())).to_pylist())
        wanted |= {digit for word, digit in (("true", "1"), ("false", "0")) if word in wanted}
        return texts.flags(pc.is_in(_folded(column), pa.array(sorted(wanted - {""}), pa.string())))


def _folded(column: Text) -> Text:
    """Return words as they are compared; both sides by the one kernel."""
    return pc.utf8_lower(texts.trimmed(column))


@dataclass(frozen=True)
class Audience:
    """A pinned segment and the lists its people go to."""

    snapshot: Snapshot
    list_ids: tuple[str, ...]


@dataclass(frozen=True)
class Order:
    """What to prepare.

    Attributes:
        audiences: In the order of the export; the first segment a person is in gives the values.
        mapping: Field to column, ``email`` among them.
        custom_fields: Type of each mapped custom field, by its name at Constant Contact.
        excluded: People in these segments are not sent.
        newest_by: Column of dates: of rows with one address the newest is sent, not the first.
        identity: Column that names the person whatever the address, such as ``CustomerId``.
        previous_identity: Column of the ids that this one took the place of, ``;`` between.
    """

    audiences: tuple[Audience, ...]
    mapping: Mapping[str, str]
    custom_fields: Mapping[str, str] = field(default_factory=dict)
    excluded: tuple[Snapshot, ...] = ()
    consent: Consent | None = None
    newest_by: str | None = None
    identity: str | None = None
    previous_identity: str | None = None

    @property
    def columns(self) -> Mapping[str, str]:
        """Every column that is read → what the rejects call it."""
        named: dict[str, str] = {}
        for name, column in self.mapping.items():
            named.setdefault(column, name)
        consent = self.consent.column if self.consent else None
        for other in (consent, self.newest_by, self.identity, self.previous_identity):
            if other is not None:
                named.setdefault(other, other)
        return named


@dataclass(frozen=True)
class Exclusion:
    """What an excluded segment held.

    Attributes:
        addresses: Rows with a good address: these people are not sent.
        unusable: Rows that keep nobody out, as they are malformed or hold no good address,
            though they hold something; each has a line in the rejects.
    """

    segment: str
    addresses: int
    unusable: int


@dataclass
class Counts:
    """Rows of the segments that are sent by fate, under the names of the run document.

    Values are counted over all rows that would be sent, those that are unchanged included.

    Attributes:
        sendable: Rows of each segment that may be sent, also where another has the same address.
    """

    read: int = 0
    missing_email: int = 0
    invalid: int = 0
    duplicate: int = 0
    excluded: int = 0
    no_consent: int = 0
    unchanged: int = 0
    staged: int = 0
    shortened_values: int = 0
    left_out_values: int = 0
    filled: dict[str, int] = field(default_factory=dict)
    exclusions: list[Exclusion] = field(default_factory=list)
    sendable: dict[str, int] = field(default_factory=dict)

    def note_sendable(self, segment: str, reasons: Reasons) -> None:
        """Count the rows of a segment that nothing speaks against but another row."""
        count = int(np.isin(reasons, (0, Reason.DUPLICATE.number)).sum())
        self.sendable[segment] = self.sendable.get(segment, 0) + count

    def note_filled(self, names: Sequence[str], columns: Sequence[Text]) -> None:
        """Count the values of each field that are not empty."""
        for name, column in zip(names, columns, strict=True):
            count = int((~texts.empty(column)).sum())
            self.filled[name] = self.filled.get(name, 0) + count

    def add(self, **counts: int) -> None:
        """Add to the counts of these names."""
        for name, count in counts.items():
            setattr(self, name, getattr(self, name) + count)

    @property
    def adds_up(self) -> bool:
        """Every row read has one fate."""
        refused = self.missing_email + self.invalid + self.duplicate
        return self.read == (
            refused + self.excluded + self.no_consent + self.unchanged + self.staged
        )


class Sink(Protocol):
    """Where the results go, as they come."""

    def batch(
        self, number: int, segment: int, list_ids: Sequence[str], file: batches.BatchFile
    ) -> None:
        """Keep one import file.

        Args:
            number: Counts from 0 through all segments.
            segment: Index among the order's audiences.
            file: Its origin has the columns ``file`` (index in the snapshot) and ``record``.
        """

    def rejects(self, csv: bytes) -> None:
        """Append to the rejects; the first piece is the header."""


@dataclass(frozen=True)
class Identities:
    """Who some rows are about, whatever their addresses; *before* is None if nothing tells."""

    now: Text
    before: Text | None


class Memory(Protocol):
    """What was accepted before."""

    def unchanged(
        self, segment: int, keys: Text, lines: Text, identities: Identities | None
    ) -> Mask:
        """Tell which contacts need not be sent again.

        Called once for every stretch of contacts in the order they are staged; what is not
        unchanged is staged.

        Args:
            segment: Index among the order's audiences.
            keys: Addresses as they are compared.
            lines: Their lines in the import file.
        """

    def present(self, segment: int, keys: Text, identities: Identities | None) -> None:
        """Take note of people who are in the segment and are not sent, by any of their rows.

        Args:
            keys: Their addresses as they are compared; empty where a row has no good one.
        """


def prepare(
    source: SegmentSource,
    order: Order,
    sink: Sink,
    *,
    memory: Memory | None = None,
    seed: int | None = None,
) -> Counts:
    """Read the order's snapshots once and hand files and rejects to *sink*; return the counts.

    Args:
        seed: Of the hash of addresses; random if it is not given. It does not show in the
            result.

    Raises:
        SegmentError: A snapshot cannot be read as it was pinned.
        ServiceUnavailable: The store cannot be reached just now; nothing is lost by repeating.
    """
    seed = secrets.randbits(64) if seed is None else seed
    preparation = _Preparation(source, order, sink, memory, seed)
    sink.rejects(rejects.HEADER)
    for snapshot in order.excluded:
        preparation.exclude(snapshot)
    if order.newest_by is not None:
        for segment, audience in enumerate(order.audiences):
            preparation.note_dates(segment, audience.snapshot)
    number = 0
    for segment, audience in enumerate(order.audiences):
        snapshot = audience.snapshot
        encoder = Encoder(order.mapping, order.custom_fields, _date_shapes(snapshot))
        lines = preparation.lines(segment, snapshot, encoder)
        for file in batches.cut(lines, encoder.header):
            sink.batch(number, segment, audience.list_ids, file)
            number += 1
    for snapshot in (*order.excluded, *(audience.snapshot for audience in order.audiences)):
        confirm(source, snapshot)
    return preparation.counts


@dataclass(frozen=True)
class _Stretch:
    """Some rows of a segment, judged by themselves."""

    rows: Rows
    judged: Addresses
    reasons: Reasons  # 0 where nothing speaks against the row

    @property
    def sendable(self) -> Mask:
        return np.asarray(self.reasons == 0, np.bool_)


class _Preparation:
    def __init__(
        self, source: SegmentSource, order: Order, sink: Sink, memory: Memory | None, seed: int
    ) -> None:
        self._source = source
        self._order = order
        self._sink = sink
        self._memory = memory
        self._seed = seed
        self.counts = Counts()
        self._people = People(
            [audience.list_ids for audience in order.audiences],
            with_excluded=bool(order.excluded),
            by_date=order.newest_by is not None,
        )
        self._email = order.mapping[EMAIL]

    def exclude(self, snapshot: Snapshot) -> None:
        """Keep the people of a segment out; rows that keep nobody out go to the rejects."""
        good = unusable = 0
        for rows in read_columns(self._source, snapshot, [self._email]):
            judged = addresses.judged(rows.columns.column(self._email))
            self._people.exclude(self._hashes(judged, judged.faults == 0))
            faults = judged.faults.copy()
            faults[faults == Reason.EMAIL_MISSING.number] = 0  # somebody who cannot be written to
            self._refuse(_Stretch(rows, judged, faults), snapshot)
            good += int((judged.faults == 0).sum())
            unusable += int((faults != 0).sum()) + len(rows.malformed)
        self.counts.exclusions.append(Exclusion(snapshot.segment, good, unusable))

    def note_dates(self, segment: int, snapshot: Snapshot) -> None:
        """Read a segment once for the newest row of each person."""
        for rows in read_columns(self._source, snapshot, list(self._order.columns)):
            stretch = self._judged(rows)
            hashes = self._hashes(stretch.judged, stretch.sendable)
            self._people.note_date(segment, hashes, self._seconds(stretch, snapshot))

    def lines(self, segment: int, snapshot: Snapshot, encoder: Encoder) -> Iterator[Lines]:
        """Yield what is staged of a segment; every other row goes to the rejects."""
        order = self._order
        self.counts.sendable[snapshot.segment] = 0
        for rows in read_columns(self._source, snapshot, list(order.columns)):
            stretch = self._judged(rows)
            sendable = stretch.sendable
            verdict = self._people.decide(
                segment,
                self._hashes(stretch.judged, sendable),
                self._seconds(stretch, snapshot) if order.newest_by else None,
            )
            stretch.reasons[_among(sendable, verdict.excluded)] = Reason.EXCLUDED.number
            stretch.reasons[_among(sendable, verdict.duplicate)] = Reason.DUPLICATE.number

            chosen = _among(sendable, verdict.in_full)
            emails = texts.picked(stretch.judged.text, chosen)
            values = [
                texts.picked(rows.columns.column(order.mapping[name]), chosen)
                for name in encoder.fields
            ]
            lines, shortened, left_out = encoder.lines(emails, values)
            self.counts.add(shortened_values=shortened, left_out_values=left_out)
            self.counts.note_filled(encoder.fields, values)
            yield from self._staged(segment, stretch, chosen, lines, encoder)

            if verdict.address_only.any():
                chosen = _among(sendable, verdict.address_only)
                emails = texts.picked(stretch.judged.text, chosen)
                lines = encoder.address_lines(emails)
                yield from self._staged(segment, stretch, chosen, lines, encoder)
            self._note_unsent(segment, stretch)
            self.counts.note_sendable(snapshot.segment, stretch.reasons)
            self.counts.add(read=len(stretch.reasons) + len(rows.malformed))
            self.counts.add(**self._refuse(stretch, snapshot))

    def _judged(self, rows: Rows) -> _Stretch:
        judged = addresses.judged(rows.columns.column(self._email))
        reasons = judged.faults.copy()
        for column in rows.columns.columns:
            reasons[texts.holding(column, "\0")] = Reason.NUL.number
        if (consent := self._order.consent) is not None:
            refused = ~consent.given(rows.columns.column(consent.column))
            reasons[refused & (reasons == 0)] = Reason.NO_CONSENT.number
        return _Stretch(rows, judged, reasons)

    def _hashes(self, judged: Addresses, rows: Mask) -> Hashes:
        return hashed(texts.picked(judged.keys, rows), self._seed)

    def _seconds(self, stretch: _Stretch, snapshot: Snapshot) -> Seconds:
        """Return the dates of the sendable rows."""
        column = stretch.rows.columns.column(self._order.newest_by)
        read = dates.parsed(texts.trimmed(column), _date_shapes(snapshot))
        seconds: Seconds = np.where(read.known, read.seconds, NO_DATE)[stretch.sendable]
        return seconds

    def _staged(
        self,
        segment: int,
        stretch: _Stretch,
        chosen: Mask,
        lines: Text,
        encoder: Encoder,
    ) -> Iterator[Lines]:
        """Yield the lines of the *chosen* rows, less those remembered and those too long."""
        long = batches.too_long(lines, encoder.header)
        if long.any():
            stretch.reasons[_among(chosen, long)] = Reason.ROW_TOO_LARGE.number
            chosen, lines = _among(chosen, ~long), lines.filter(pa.array(~long))
        if self._memory is not None and len(lines):
            keys = texts.picked(stretch.judged.keys, chosen)
            identities = self._identities(stretch.rows, chosen)
            unchanged = self._memory.unchanged(segment, keys, lines, identities)
            if unchanged.any():
                self.counts.add(unchanged=int(unchanged.sum()))
                chosen, lines = _among(chosen, ~unchanged), lines.filter(pa.array(~unchanged))
        if len(lines):
            self.counts.add(staged=len(lines))
            yield Lines(lines, self._origin(stretch.rows, chosen))

    def _note_unsent(self, segment: int, stretch: _Stretch) -> None:
        unsent = (stretch.reasons != 0) & (stretch.reasons != Reason.DUPLICATE.number)
        if self._memory is not None and unsent.any():
            good = pa.array(stretch.judged.faults[unsent] == 0)
            keys = pc.if_else(good, texts.picked(stretch.judged.keys, unsent), "")
            self._memory.present(segment, keys, self._identities(stretch.rows, unsent))

    def _origin(self, rows: Rows, chosen: Mask) -> Any:
        records = rows.records[chosen]
        files = np.full(records.size, rows.file, np.int32)
        columns = {"file": pa.array(files), "record": pa.array(records)}
        return pa.RecordBatch.from_pydict(columns)

    def _identities(self, rows: Rows, chosen: Mask) -> Identities | None:
        order = self._order
        if order.identity is None:
            return None

        def ids(name: str) -> Text:
            return texts.trimmed(texts.picked(rows.columns.column(name), chosen))

        before = order.previous_identity
        return Identities(ids(order.identity), ids(before) if before else None)

    def _refuse(self, stretch: _Stretch, snapshot: Snapshot) -> dict[str, int]:
        """Write the rejects of a stretch and return them by fate."""
        rows, malformed = stretch.rows, stretch.rows.malformed
        place = rejects.Place(snapshot.segment, snapshot.files[rows.file].name)
        refused = ~stretch.sendable
        if refused.any():
            found = stretch.reasons[refused]
            fields, values = self._at_fault(rows, refused, found)
            self._sink.rejects(place.lines(rows.records[refused], fields, found, values))
        misshapen = np.full(len(malformed), Reason.ROW_MALFORMED.number, np.uint8)
        if malformed:
            nothing = texts.repeated("", len(malformed))
            records = np.array(malformed, np.int64)
            self._sink.rejects(place.lines(records, nothing, misshapen, nothing))
        return rejects.fates(np.concatenate((stretch.reasons, misshapen)))

    def _at_fault(self, rows: Rows, refused: Mask, found: Reasons) -> tuple[Text, Text]:
        """Return the field that the reason of each *refused* row is about, and its value."""
        fields = texts.repeated(EMAIL, found.size)
        values = texts.picked(rows.columns.column(self._email), refused)

        def name(column: str, field: str, at: Mask, mark: str = "") -> None:
            nonlocal fields, values
            if at.any():
                some = texts.picked(rows.columns.column(column), refused)
                chosen = pa.array(at & texts.holding(some, mark) if mark else at)
                fields = pc.if_else(chosen, field, fields)
                values = pc.if_else(chosen, some, values)

        if (consent := self._order.consent) is not None:
            name(consent.column, consent.column, found == Reason.NO_CONSENT.number)
        for column, called in self._order.columns.items():
            name(column, called, found == Reason.NUL.number, "\0")
        return fields, values


def _date_shapes(snapshot: Snapshot) -> tuple[str, ...]:
    return dates.shapes(snapshot.date_patterns, snapshot.culture)


def _among(rows: Mask, chosen: Mask) -> Mask:
    """Return which rows are *chosen*, a mask over those in *rows* only."""
    among = np.zeros(rows.size, np.bool_)
    among[rows] = chosen
    return among
