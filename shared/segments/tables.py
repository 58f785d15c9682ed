"""The rows of a snapshot: only the columns asked for, as text, a few thousand at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shared.errors import ColumnMissing
from shared.segments import headers, streams
from shared.segments.ahead import ReadAhead
from shared.segments.delimited import DelimitedTable, Numbers, Records
from shared.segments.parquet import ParquetTable, is_named_parquet
from shared.segments.snapshots import Dialect, Snapshot
from shared.segments.source import RangeReader, SegmentSource, SourceFile

# Kernels work best on about this many rows; wide values are handed on sooner.
ROWS_AT_ONCE = 16_384
BYTES_AT_ONCE = 8 * 2**20

_TEXT_ENDINGS = (".csv", ".tsv", ".txt", ".gz")


@dataclass(frozen=True)
class Rows:
    """A stretch of one file.

    Attributes:
        file: Index of the file in the snapshot.
        records: Number of each row in its file: 1 is the file's first record, the header if
            it has one; blank lines do not count.
        columns: A RecordBatch of strings without nulls, in the order and under the names
            asked for; ``""`` stands for what is missing.
        malformed: Numbers of the records left out because their fields are not as many as
            the columns.
    """

    file: int
    records: Numbers
    columns: Any
    malformed: tuple[int, ...] = ()


def read_columns(
    source: SegmentSource, snapshot: Snapshot, columns: Sequence[str]
) -> Iterator[Rows]:
    """Yield every row of the snapshot, file by file, as it was pinned.

    Raises:
        SnapshotInvalid: A file breaks its format, or has no such column.
        SnapshotChanged: A file changed since the snapshot was pinned.
        ServiceUnavailable: The store cannot be reached just now.
    """
    with ReadAhead(source, snapshot.files) as reader:
        for index, file in enumerate(snapshot.files):
            if file.size or not _is_plain(file):  # an uneven split leaves empty partitions
                yield from _read_file(reader, snapshot, index, columns)


def _read_file(
    reader: RangeReader, snapshot: Snapshot, index: int, columns: Sequence[str]
) -> Iterator[Rows]:
    file = snapshot.files[index]
    table: DelimitedTable | ParquetTable
    if is_parquet(reader, file):
        table = ParquetTable(reader, file)
        names, before = table.names, 0
    else:
        table = DelimitedTable(reader, snapshot, index, columns)
        if table.heading is None:
            return
        names, before = list(table.heading.names), table.heading.records
    positions = [_position(names, name, file) for name in columns]
    records = Records(before)
    for batch in _joined(table.batches(list(dict.fromkeys(positions)), records)):
        numbers, malformed = records.take(batch.num_rows)
        yield Rows(index, numbers, _chosen(batch, positions, columns), malformed)


def read_names(
    source: SegmentSource, snapshot: Snapshot, wanted: Sequence[str] = ()
) -> dict[str, str]:
    """Return the columns of the first file and their types; those that share a name are left out.

    Args:
        wanted: Columns that will be read; they tell the delimiter where nothing else does.

    Raises:
        SnapshotInvalid: The file breaks its format, or nothing says whether it has a header.
    """
    file = snapshot.files[0]
    if is_parquet(source, file):
        table = ParquetTable(source, file)
        names, types = table.names, table.types
    else:
        heading = DelimitedTable(source, snapshot, 0, wanted).heading
        names = list(heading.names) if heading else []
        types = dict.fromkeys(names, "string")
    return {name: types[name] for name in types if headers.position(names, name) is not None}


def proposed_dialect(
    source: SegmentSource, snapshot: Snapshot, is_name: Callable[[str], bool]
) -> Dialect:
    """Return how the first file is to be read; see `headers.proposed`."""
    file, dialect = snapshot.files[0], snapshot.dialects[0]
    if snapshot.columns or is_parquet(source, file):
        return dialect
    return headers.proposed(next(streams.text(source, file), b""), dialect, is_name)


def is_parquet(reader: RangeReader, file: SourceFile) -> bool:
    """Tell Parquet by its name, and where that tells nothing, by the first bytes."""
    if is_named_parquet(file):
        return True
    if file.name.lower().endswith(_TEXT_ENDINGS):
        return False
    size = len(streams.PARQUET_MAGIC)
    return file.size > size and reader.read(file, 0, size) == streams.PARQUET_MAGIC


def _is_plain(file: SourceFile) -> bool:
    """Tell whether it may be empty: gzip and Parquet have an end of their own."""
    return not (is_named_parquet(file) or file.name.lower().endswith(".gz"))


def _position(names: Sequence[str], name: str, file: SourceFile) -> int:
    position = headers.position(names, name)
    if position is None:
        raise ColumnMissing(
            f'There is not exactly one column "{name}"',
            file=file.name,
            action="Map a column that the segment has.",
        )
    return position


def _chosen(batch: Any, positions: Sequence[int], columns: Sequence[str]) -> Any:
    """Return the columns in the order and under the names asked for, without nulls."""
    arrays = [batch.column(str(position)) for position in positions]
    arrays = [pc.fill_null(array, "") if array.null_count else array for array in arrays]
    return pa.RecordBatch.from_arrays(arrays, list(columns))


def _joined(batches: Iterator[Any]) -> Iterator[Any]:
    """Yield the rows of *batches* in larger stretches, and one at least."""
    waiting: list[Any] = []
    rows = size = 0
    for batch in batches:
        waiting.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
        if rows >= ROWS_AT_ONCE or size >= BYTES_AT_ONCE:
            yield _one(waiting)
            waiting, rows, size = [], 0, 0
    if waiting:
        yield _one(waiting)


def _one(batches: list[Any]) -> Any:
    if len(batches) == 1:
        return batches[0]
    columns = zip(*(batch.columns for batch in batches), strict=True)
    return pa.RecordBatch.from_arrays(
        [pa.concat_arrays(column) for column in columns], schema=batches[0].schema
    )
