"""Parquet files: only the pages of the columns asked for are fetched, a few at a time."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from shared.errors import SnapshotInvalid
from shared.segments import headers
from shared.segments.delimited import Records
from shared.segments.source import RangeReader, SourceFile
from shared.segments.streams import PARQUET_MAGIC, ranges

ROWS = 2**14  # at a time

# A smaller file is fetched in one go: that costs less than asking for its parts.
SMALL_BYTES = 8 * 2**20
_BUFFER_BYTES = 2**20

# A footer grows with columns times row groups; real ones stay below one MB.
LARGEST_FOOTER_BYTES = 16 * 2**20
# One page at least is decompressed at once, and a page can be as large as its column chunk.
LARGEST_CHUNK_BYTES = 2**30
_MOST_EXPANSION = 1_000
_EXPANSION_FREE_BYTES = 2**24
# Addresses differ, so a segment cannot have more rows than bytes.
_FREE_ROWS = 2**20

# What pyarrow raises for a damaged file; a name that is not UTF-8 is a ValueError.
_BROKEN = (pa.ArrowException, OSError, ValueError)


class ParquetTable:
    """A Parquet file that has been looked at: its columns, and its rows as text."""

    def __init__(self, source: RangeReader, file: SourceFile) -> None:
        self._file = file
        _check_footer(source, file)
        content = (
            pa.BufferReader(b"".join(ranges(source, file)))
            if file.size <= SMALL_BYTES
            else pa.PythonFile(_RangedFile(source, file), mode="r")
        )
        try:
            self._table = pq.ParquetFile(
                content,
                pre_buffer=False,
                buffer_size=_BUFFER_BYTES,
                page_checksum_verification=True,
            )
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
            field = self.schema.field(position)
            if pa.types.is_nested(field.type):
                raise SnapshotInvalid(
                    f'The column "{field.name}" holds lists or records, not single values',
                    file=self._file.name,
                    action="Map another column.",
                )
        self._check_sizes(set(positions))
        names = [self.schema.field(position).name for position in positions]
        try:
            for batch in self._table.iter_batches(ROWS, columns=names, use_threads=False):
                columns = [_text(batch.column(name)) for name in names]
                for column in columns:
                    column.validate(full=True)
                records.delivered += batch.num_rows
                yield pa.RecordBatch.from_arrays(columns, [str(p) for p in positions])
        except _BROKEN as error:
            raise self._damaged(f"after record {records.last}") from error

    def _check_sizes(self, positions: set[int]) -> None:
        """Refuse what would not fit into memory, going by what the footer says."""
        metadata = self._table.metadata
        if metadata.num_rows > max(_FREE_ROWS, self._file.size):
            raise SnapshotInvalid(
                f"The file of {self._file.size} bytes says it has {metadata.num_rows} rows",
                file=self._file.name,
            )
        names = {self.schema.field(position).name for position in positions}
        chosen = [
            index
            for index in range(metadata.num_columns)
            if metadata.schema.column(index).path in names
        ]
        for group in range(metadata.num_row_groups):
            for index in chosen:
                chunk = metadata.row_group(group).column(index)
                size, packed = chunk.total_uncompressed_size, chunk.total_compressed_size
                absurd = size > max(_EXPANSION_FREE_BYTES, _MOST_EXPANSION * max(packed, 0))
                if absurd or size > LARGEST_CHUNK_BYTES or size < 0 or packed < 0:
                    raise SnapshotInvalid(
                        f"A column of {size} bytes in one row group is not read",
                        file=self._file.name,
                        position=f"row group {group}",
                        action="Write the segment in smaller row groups.",
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


def _text(column: Any) -> Any:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column if column.type == pa.string() else column.cast(pa.string())


class _RangedFile(io.RawIOBase):
    """A file of the source that can be read from any place."""

    def __init__(self, source: RangeReader, file: SourceFile) -> None:
        super().__init__()
        self._source = source
        self._file = file
        self._place = 0

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
        data = self._source.read(self._file, self._place, length) if length else b""
        self._place += len(data)
        return data
