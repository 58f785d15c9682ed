"""Parquet files: only the pages of the columns asked for are fetched, a few at a time."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shared.errors import SnapshotInvalid
from shared.segments import headers
from shared.segments.delimited import Numbers, Records
from shared.segments.pages import Chunk, PageGuard, Unpacking
from shared.segments.source import RangeReader, SourceFile
from shared.segments.streams import PARQUET_MAGIC, ranges

ROWS = 2**14  # at a time
BYTES = 8 * 2**20  # of text at a time
LONGEST_VALUE_BYTES = headers.LONGEST_RECORD_BYTES

# A smaller file is fetched in one go: that costs less than asking for its parts.
SMALL_BYTES = 8 * 2**20
_BUFFER_BYTES = 2**20

# A footer grows with columns times row groups; real ones stay below one MB.
LARGEST_FOOTER_BYTES = 16 * 2**20
# A page can be as large as its column chunk, and rows read at once can take in all of it.
LARGEST_CHUNK_BYTES = 64 * 2**20
_MOST_EXPANSION = 1_000
_EXPANSION_FREE_BYTES = 2**24
# Longer values of a fixed size are no text.
_LONGEST_FIXED_BYTES = 2**10
_LONGEST_NUMBER = 64  # or date, as text
# Up to this size a column chunk is taken as a dictionary, whatever it is.
_DICTIONARY_BYTES = 2 * 2**20
# Addresses differ, so a segment cannot have more rows than bytes.
_FREE_ROWS = 2**20

# What pyarrow raises for a damaged file; a name that is not UTF-8 is a ValueError.
_BROKEN = (pa.ArrowException, OSError, ValueError)


class ParquetTable:
    """A Parquet file that has been looked at: its columns, and its rows as text."""

    def __init__(self, source: RangeReader, file: SourceFile) -> None:
        self._file = file
        _check_footer(source, file)
        self._ranged = _RangedFile(source, file)
        self._whole = b"".join(ranges(source, file)) if file.size <= SMALL_BYTES else None
        self._content = (
            pa.PythonFile(self._ranged, mode="r")
            if self._whole is None
            else pa.BufferReader(self._whole)
        )
        try:
            self._table = self._opened()
            self.schema = self._table.schema_arrow
        except _BROKEN as error:
            raise self._damaged() from error
        self.names: list[str] = self.schema.names
        if len(self.schema) > headers.MAX_COLUMNS:
            raise SnapshotInvalid(
                f"The file has more than {headers.MAX_COLUMNS} columns", file=file.name
            )

    @property
    def types(self) -> dict[str, str]:
        """The columns of single values and their types."""
        return {
            field.name: str(field.type)
            for field in self.schema
            if not pa.types.is_nested(field.type)
        }

    def batches(self, positions: Sequence[int], records: Records) -> Iterator[Any]:
        """Yield batches of the columns at *positions* as text, each named by its position.

        Args:
            records: Told of every row, for its number.

        Raises:
            SnapshotInvalid: A column holds no single values, or the file is damaged.
        """
        for position in positions:
            self._check_type(self.schema.field(position))
        names = [self.schema.field(position).name for position in positions]
        try:
            for columns in self._columns(names, self._groups(set(names))):
                records.delivered += len(columns[0])
                yield pa.RecordBatch.from_arrays(columns, [str(p) for p in positions])
            if records.delivered != self._table.metadata.num_rows:
                raise self._damaged(f"after record {records.last}")
        except Unpacking as error:
            raise self._refused(str(error)) from None
        except _BROKEN as error:
            raise self._damaged(f"after record {records.last}") from error

    def _columns(
        self, names: list[str], groups: Mapping[int, Mapping[str, Any]]
    ) -> Iterator[list[Any]]:
        """Yield the columns of these names as text, a few megabytes at a time."""
        texts = [
            name
            for name in names
            if any(chunks[name].physical_type == "BYTE_ARRAY" for chunks in groups.values())
        ]
        packed = self._opened(read_dictionary=texts)
        for name in texts:
            if not pa.types.is_dictionary(packed.schema_arrow.field(name).type):
                raise self._refused(f'the column "{name}" keeps numbers as text')
        self._watch(groups)
        for number, chunks in groups.items():
            table, rows = packed, ROWS
            if any(chunk.total_uncompressed_size > _DICTIONARY_BYTES for chunk in chunks.values()):
                # Not all of it is by dictionary, and making one of it would cost more.
                table = self._table
                with self._ranged.keeping():
                    rows = self._rows_at_once(packed, number, chunks, texts)
            for batch in table.iter_batches(
                rows, row_groups=[number], columns=names, use_threads=False
            ):
                yield from self._portions([batch.column(name) for name in names])

    def _rows_at_once(
        self, packed: Any, number: int, chunks: Mapping[str, Any], texts: list[str]
    ) -> int:
        """Return how many rows of a row group can be unpacked at once.

        A value stands once in the dictionary of its column and is copied for every row that has
        it, so what counts is the longest value in each. A glance at the first row brings the
        dictionary and no copies.
        """
        size: int = sum(chunk.total_uncompressed_size for chunk in chunks.values())
        count: int = max((chunk.num_values for chunk in chunks.values()), default=0)
        width = size // max(count, 1)
        first = packed.iter_batches(1, row_groups=[number], columns=texts, use_threads=False)
        for column in next(first, pa.record_batch({})).columns if texts else ():
            width += self._longest(column)
        return max(1, min(ROWS, 4 * BYTES // max(width, 1)))

    def _portions(self, columns: Sequence[Any]) -> Iterator[list[Any]]:
        """Yield columns as text, unpacked in portions of some megabytes."""
        for column in columns:
            column.validate(full=True)  # damage: no text, or an index outside of the dictionary
        count = len(columns[0])
        ends = [count]
        if count * sum(self._longest(column) for column in columns) > BYTES:
            sizes = np.cumsum(sum(_lengths(column) for column in columns))
            ends = [*(np.flatnonzero(np.diff(sizes // BYTES)) + 1).tolist(), count]
        for start, end in pairwise((0, *ends)):
            yield [_text(column.slice(start, end - start)) for column in columns]

    def _longest(self, column: Any) -> int:
        """Return the bytes of the longest value, or raise `SnapshotInvalid` if it is too long."""
        values = column.dictionary if pa.types.is_dictionary(column.type) else column
        if not _is_bytes(values.type):
            return _LONGEST_NUMBER
        longest: int = pc.max(pc.binary_length(values)).as_py() or 0
        if longest > LONGEST_VALUE_BYTES:
            raise self._refused(f"a value is longer than {LONGEST_VALUE_BYTES} bytes")
        return longest

    def _opened(self, **options: Any) -> Any:
        return pq.ParquetFile(
            self._content,
            pre_buffer=False,
            buffer_size=_BUFFER_BYTES,
            page_checksum_verification=True,
            **options,
        )

    def _check_type(self, field: Any) -> None:
        kind = field.type
        fixed = pa.types.is_fixed_size_binary(kind) and kind.byte_width > _LONGEST_FIXED_BYTES
        if pa.types.is_nested(kind) or fixed:
            raise SnapshotInvalid(
                f'The column "{field.name}" holds lists or records, not single values',
                file=self._file.name,
                action="Map another column.",
            )

    def _groups(self, names: set[str]) -> dict[int, dict[str, Any]]:
        """Return what the footer says of these columns in each row group that has rows.

        Raises:
            SnapshotInvalid: It is absurd.
        """
        metadata = self._table.metadata
        if metadata.num_rows > max(_FREE_ROWS, self._file.size):
            raise SnapshotInvalid(
                f"The file of {self._file.size} bytes says it has {metadata.num_rows} rows",
                file=self._file.name,
            )
        paths = [metadata.schema.column(index).path for index in range(metadata.num_columns)]
        groups = {}
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            if not group.num_rows:
                continue
            chunks = {path: group.column(i) for i, path in enumerate(paths) if path in names}
            for chunk in chunks.values():
                size, packed = chunk.total_uncompressed_size, chunk.total_compressed_size
                most = max(_EXPANSION_FREE_BYTES, _MOST_EXPANSION * max(packed, 0))
                if not 0 <= size <= min(most, LARGEST_CHUNK_BYTES) or packed < 0:
                    raise self._refused(f"a column has {size} bytes in row group {number}")
            groups[number] = chunks
        return groups

    def _watch(self, groups: Mapping[int, Mapping[str, Any]]) -> None:
        """See to it that no page is unpacked that makes more of a column than it may."""
        places = []
        for chunk in (chunk for chunks in groups.values() for chunk in chunks.values()):
            start = chunk.data_page_offset
            if chunk.has_dictionary_page and 0 < chunk.dictionary_page_offset < start:
                start = chunk.dictionary_page_offset
            places.append(Chunk(start, start + chunk.total_compressed_size))
        guard = PageGuard(places, LARGEST_CHUNK_BYTES)
        if self._whole is None:
            self._ranged.guard = guard
        else:
            guard.look(0, self._whole)

    def _refused(self, why: str) -> SnapshotInvalid:
        return SnapshotInvalid(
            f"The Parquet file may not fit into memory: {why}",
            file=self._file.name,
            action="Write the segment in smaller row groups, encoded plainly or by dictionary.",
        )

    def _damaged(self, position: str = "") -> SnapshotInvalid:
        return SnapshotInvalid(
            "The Parquet file is damaged or cut off", file=self._file.name, position=position
        )


def is_named_parquet(file: SourceFile) -> bool:
    """Tell whether the name promises Parquet."""
    return file.name.lower().endswith(".parquet")


def _check_footer(source: RangeReader, file: SourceFile) -> None:
    """See to it that the footer is there, before a library is asked to read it."""
    least = 2 * len(PARQUET_MAGIC) + 4
    tail = source.read(file, file.size - 8, 8) if file.size >= least else b""
    if not tail.endswith(PARQUET_MAGIC):
        raise SnapshotInvalid(
            "The Parquet file has no footer: it was cut off, or is still being written",
            file=file.name,
        )
    footer = int.from_bytes(tail[:4], "little")
    if footer > LARGEST_FOOTER_BYTES or footer + least > file.size:
        raise SnapshotInvalid(
            f"The Parquet file's footer of {footer} bytes is not read",
            file=file.name,
            action="Write the segment with fewer columns and larger row groups.",
        )


def _is_bytes(kind: Any) -> bool:
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _lengths(column: Any) -> Numbers:
    """Return the bytes of each value."""
    if pa.types.is_dictionary(column.type):
        lengths = pc.binary_length(column.dictionary).take(column.indices)
    elif _is_bytes(column.type):
        lengths = pc.binary_length(column)
    else:
        return np.full(len(column), _LONGEST_NUMBER, np.int64)
    return np.asarray(lengths.fill_null(0).to_numpy(zero_copy_only=False), np.int64)


def _text(column: Any) -> Any:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column if column.type == pa.string() else column.cast(pa.string())


class _RangedFile(io.RawIOBase):
    """A file of the source that can be read from any place.

    Attributes:
        guard: Sees what is read before it is made use of.
    """

    def __init__(self, source: RangeReader, file: SourceFile) -> None:
        super().__init__()
        self.guard: PageGuard | None = None
        self._source = source
        self._file = file
        self._place = 0
        self._keeping = False
        self._kept: dict[tuple[int, int], bytes] = {}

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Keep what is read within, to be read once more without being fetched."""
        self._keeping, self._kept = True, {}
        try:
            yield
        finally:
            self._keeping = False

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._file.size}[whence]
        self._place = base + offset
        return self._place

    def read(self, size: int = -1, /) -> bytes:
        left = max(0, self._file.size - self._place)
        length = left if size < 0 else min(size, left)
        place = (self._place, length)
        data = self._kept.pop(place, None)
        if data is None:
            data = self._source.read(self._file, *place) if length else b""
        if self._keeping:
            self._kept[place] = data
        if self.guard:
            self.guard.look(self._place, data)
        self._place += len(data)
        return data
