"""Delimited text, as CSV and its kin: parsed by Arrow, with every record accounted for.

Arrow is lenient where a segment must not be: it takes a file that was cut off for a whole one.
What it leaves out is numbered here, and what it would let pass is refused.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from shared.errors import SnapshotInvalid
from shared.segments import headers, streams
from shared.segments.snapshots import Snapshot
from shared.segments.source import RangeReader

# What an unquoted cell says instead of nothing, perhaps with blanks around it.
MISSING = ("NULL", "null")
_BLANK = 0x20

# A file is given up when its first records, or more than a thousandth and not just a few of
# them, have another number of fields than it has columns: its columns have shifted.
FIRST_RECORDS = 20
MALFORMED_SHARE = 0.001
_MOST_MALFORMED = 100_000

Numbers = npt.NDArray[np.int64]


class DelimitedTable:
    """One text file that has been looked at: its heading, and its rows as text."""

    def __init__(
        self, source: RangeReader, snapshot: Snapshot, index: int, wanted: Sequence[str] = ()
    ) -> None:
        """Read the first record.

        Args:
            wanted: Columns that will be read; they prove a header where nothing else does.

        Raises:
            SnapshotInvalid: There is no telling what the first record is.
        """
        self._file, dialect = snapshot.files[index], snapshot.dialects[index]
        pieces = streams.text(source, self._file)
        if not dialect.line_breaks:
            # Which quotes are open depends on the delimiter, so it cannot be looked for.
            dialect = dialect.model_copy(update={"delimiter": dialect.delimiter or ","})
            pieces = streams.closed_at_line_breaks(pieces, dialect.delimiter or ",", self._file)
        start = b""
        for piece in pieces:
            start = start + piece if start else piece
            if len(start) >= headers.LONGEST_RECORD_BYTES:
                break
        self.heading = headers.heading(start, dialect, snapshot.columns, wanted, self._file.name)
        skipped = self.heading.length if self.heading else 0
        self._body = chain((start[skipped:],), pieces)

    def batches(self, positions: Sequence[int], records: Records) -> Iterator[Any]:
        """Yield batches of the columns at *positions*, each named by its position; once.

        Args:
            records: Told of every record, for its number.

        Raises:
            SnapshotInvalid: A record is too long or cut off, or too many have a wrong shape.
        """
        if self.heading is None:
            return
        ended = _Ended(self._body, self.heading)
        held = None
        for batch in self._parsed(self.heading, ended, positions, records):
            records.delivered += batch.num_rows
            if held is not None:
                yield _without_padded(held)
            held = batch
        if held is None or not held.num_rows or not ended.is_its_row(held.slice(held.num_rows - 1)):
            raise self._invalid(
                "A quote is opened and never closed: the file was cut off, or is still being"
                " written",
                f"before record {records.last}",
            )
        records.delivered -= 1
        if not ended.ends_in_line_break and records.last_malformed == records.last:
            raise self._invalid(
                "The last record ends early: the file was cut off, or is still being written",
                f"record {records.last}",
            )
        many = records.left_out > max(FIRST_RECORDS, MALFORMED_SHARE * records.last)
        if many or (records.left_out and not records.delivered):
            raise self._misshapen(records)
        yield _without_padded(held.slice(0, held.num_rows - 1))

    def _parsed(
        self,
        heading: headers.Heading,
        ended: Iterable[bytes],
        positions: Sequence[int],
        records: Records,
    ) -> Iterator[Any]:
        width = len(heading.names)
        content = streams.PieceReader(iter(ended))
        try:
            yield from csv.open_csv(
                content,
                read_options=csv.ReadOptions(
                    use_threads=False,
                    block_size=streams.PieceReader.LARGEST,
                    column_names=[str(position) for position in range(width)],
                ),
                parse_options=csv.ParseOptions(
                    delimiter=heading.delimiter,
                    newlines_in_values=True,
                    ignore_empty_lines=width > 1,
                    invalid_row_handler=records.leave_out,
                ),
                convert_options=csv.ConvertOptions(
                    check_utf8=False,  # every byte was checked on its way
                    include_columns=[str(position) for position in positions],
                    column_types={str(position): pa.string() for position in positions},
                    null_values=list(MISSING),
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            )
        except pa.ArrowInvalid:
            # Arrow's own sentence may quote the record.
            if records.hopeless:
                raise self._misshapen(records) from None
            raise self._invalid(
                f"A record is longer than {headers.LONGEST_RECORD_BYTES} bytes, or a quote is"
                " opened and never closed",
                f"after record {records.last}",
            ) from None
        finally:
            content.leave()

    def _misshapen(self, records: Records) -> SnapshotInvalid:
        return self._invalid(
            f"{records.left_out} of the first {records.last} records have more or fewer fields"
            " than there are columns",
            f"record {records.last_malformed}",
        )

    def _invalid(self, message: str, position: str) -> SnapshotInvalid:
        return SnapshotInvalid(message, file=self._file.name, position=position)


@dataclass
class Records:
    """Numbers the records of a file; Arrow tells those it leaves out by their number.

    Attributes:
        before: Records before the first row: 1 if there is a header.
        delivered: Rows that came out of Arrow.
        left_out: Records that did not, for their fields are not as many as the columns.
        last_malformed: Number of the last of them.
        hopeless: There are so many of them that reading on is no use.
    """

    before: int
    delivered: int = 0
    left_out: int = 0
    last_malformed: int = 0
    hopeless: bool = False
    _malformed: deque[int] = field(default_factory=deque)
    _given: int = 0

    def __post_init__(self) -> None:
        self._given = self.before

    @property
    def last(self) -> int:
        """Number of the last record that Arrow has seen."""
        return self.before + self.delivered + self.left_out

    def leave_out(self, row: Any) -> str:
        """Note a record as Arrow's ``invalid_row_handler``; nothing of it is kept."""
        self.left_out += 1
        self.last_malformed = self.before + row.number
        self._malformed.append(self.last_malformed)
        none_yet = row.number == self.left_out
        self.hopeless = self.left_out >= (FIRST_RECORDS if none_yet else _MOST_MALFORMED)
        return "error" if self.hopeless else "skip"

    def take(self, count: int) -> tuple[Numbers, tuple[int, ...]]:
        """Return the numbers of the next *count* rows, and of those left out around them."""
        first = self._given + 1
        end = first + count
        gaps = []
        while self._malformed and self._malformed[0] <= end:
            gaps.append(self._malformed.popleft())
            end += 1
        self._given = end - 1
        numbers = np.arange(first, end, dtype=np.int64)
        return (np.delete(numbers, np.array(gaps) - first) if gaps else numbers), tuple(gaps)


def _without_padded(batch: Any) -> Any:
    """Return *batch* without values that say nothing with blanks around it.

    Arrow has set those without blanks to null, and left the quoted ones.
    """
    columns = []
    for column in batch.columns:
        padded = _padded(column)
        if padded.size:
            some = column.take(pa.array(padded))
            missing = pc.is_in(pc.ascii_trim(some, characters=" \t"), pa.array(MISSING))
            rows = np.zeros(len(column), np.bool_)
            rows[padded] = missing.to_numpy(zero_copy_only=False)
            column = pc.if_else(pa.array(rows), None, column)  # noqa: PLW2901
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def _padded(column: Any) -> Numbers:
    """Return the rows whose value may begin or end with a blank; empty ones look at a neighbour."""
    data = column.buffers()[2]
    if not data:
        return np.empty(0, np.int64)
    raw = np.frombuffer(data, np.uint8)
    bounds = np.frombuffer(column.buffers()[1], np.int32)
    bounds = bounds[column.offset : column.offset + len(column) + 1]
    firsts, lasts = raw.take(bounds[:-1], mode="clip"), raw.take(bounds[1:] - 1, mode="clip")
    return np.flatnonzero((firsts <= _BLANK) | (lasts <= _BLANK))


class _Ended:
    """A text with a last row of our own.

    Arrow takes a quote that is never closed for a field that ends with the file. The row
    added here does not come out as it went in when such a quote has swallowed it.
    """

    def __init__(self, body: Iterator[bytes], heading: headers.Heading) -> None:
        self._body = body
        self._cell = ("\x1f" if heading.delimiter == "\x1e" else "\x1e") * 16
        self._row = (heading.delimiter.join([self._cell] * len(heading.names)) + "\n").encode()
        self.ends_in_line_break = True

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._body:
            if piece:
                self.ends_in_line_break = piece.endswith(b"\n")
                yield piece
        yield self._row if self.ends_in_line_break else b"\n" + self._row

    def is_its_row(self, row: Any) -> bool:
        return all(column[0].as_py() == self._cell for column in row.columns)
