"""Which columns a text file has, and whether its first record names them.

Metadata is obeyed and then checked against the first record. Where nothing says, the
first record is a header only if it proves to be one; that is never guessed.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shared.errors import SnapshotInvalid
from shared.masking import masked
from shared.segments.snapshots import Column, Dialect

MAX_COLUMNS = 10_000
LONGEST_RECORD_BYTES = 2**20
DELIMITERS = (",", ";", "\t", "|")

# One limit for the whole process, and 128 KB by default: less than a cell may have here.
csv.field_size_limit(2 * LONGEST_RECORD_BYTES)

# Share of cells of the first record that must be attribute names to make it a header.
_HEADER_SHARE = 0.8

# Enough for nearly every first record, so that the rest of the sample is not looked at.
_USUAL_RECORD_BYTES = 2**16


@dataclass(frozen=True)
class Heading:
    """How one text file begins.

    Attributes:
        names: Of the columns, in the order of the file.
        delimiter: Between cells.
        length: Bytes to skip before the first row: the header with what is before it.
        records: Records before the first row: 1 with a header, else 0.
    """

    names: tuple[str, ...]
    delimiter: str
    length: int
    records: int


def heading(
    start: bytes, dialect: Dialect, columns: Sequence[Column], wanted: Sequence[str], file: str
) -> Heading | None:
    """Return how the file that begins with *start* is to be read; None if it is empty.

    Args:
        start: Beginning of the text, with all of its first record.
        columns: Of the file, where metadata tells.
        wanted: Columns to be read; where nothing says, a first record that holds all of
            them is the header.
        file: Name, for errors.

    Raises:
        SnapshotInvalid: Metadata and file contradict each other, or nothing says what the
            first record is.
    """
    readings = [first_record(start, mark) for mark in _candidates(dialect)]
    if readings[0] is None:
        return None
    found = [reading for reading in readings if reading is not None]
    first = found[0]
    if dialect.delimiter is None and dialect.header is not False:
        names = {key(name) for name in (*wanted, *(column.name for column in columns))}
        first = max(found, key=lambda r: len(names & {key(cell) for cell in r.cells}))
    if first.end >= LONGEST_RECORD_BYTES:
        raise SnapshotInvalid(
            f"The first record is longer than {LONGEST_RECORD_BYTES} bytes, or a quote is opened"
            " and never closed",
            file=file,
            position="record 1",
        )
    if len(first.cells) > MAX_COLUMNS:
        raise SnapshotInvalid(
            f"The first record has {len(first.cells)} columns, more than the {MAX_COLUMNS} allowed",
            file=file,
            position="record 1",
        )
    if _is_header(first.cells, dialect, columns, wanted, file):
        if any("\0" in cell for cell in first.cells):
            raise SnapshotInvalid(
                "The header holds NUL characters: the file is damaged, or UTF-16 without a"
                " byte order mark",
                file=file,
                position="record 1",
            )
        return Heading(first.cells, first.delimiter, first.end, 1)
    names_in_order = tuple(column.name for column in columns) or tuple(
        f"Column{number}" for number in range(1, len(first.cells) + 1)
    )
    return Heading(names_in_order, first.delimiter, 0, 0)


def proposed(start: bytes, dialect: Dialect, is_name: Callable[[str], bool]) -> Dialect:
    """Return *dialect* with what its first record suggests where nothing says.

    For a person to confirm: the delimiter that gives the most cells, and a header only if a cell
    is known for the name of a column. Names are shown as they are, so that a first row of data
    must never pass for them.

    Args:
        is_name: Tells whether a cell is known for a name of a column that a segment must have.
    """
    readings = [first_record(start, mark) for mark in _candidates(dialect)]
    found = [reading for reading in readings if reading is not None]
    if not found:
        return dialect
    best = max(found, key=lambda reading: len(reading.cells))
    words = {key(cell) for cell in best.cells}
    data = any("@" in word or word[:1].isdigit() for word in words)
    header = not data and any(map(is_name, best.cells))
    return Dialect(
        header=header if dialect.header is None else dialect.header,
        delimiter=best.delimiter,
        line_breaks=dialect.line_breaks,
    )


@dataclass(frozen=True)
class FirstRecord:
    """The first record that is not blank; *end* is the byte after it."""

    cells: tuple[str, ...]
    delimiter: str
    end: int


def first_record(start: bytes, delimiter: str) -> FirstRecord | None:
    """Return the first record in *start*, None if there is none but blank lines."""
    start = start[: 2 * LONGEST_RECORD_BYTES]
    for size in (_USUAL_RECORD_BYTES, len(start)):
        sample = start[:size].decode("utf-8", "replace")
        lines = [line + "\n" for line in sample.split("\n")]
        lines[-1] = lines[-1][:-1]
        reader = csv.reader(lines, delimiter=delimiter)
        cells = next((cells for cells in reader if cells), None)
        if reader.line_num < len(lines) or size >= len(start):
            break
    if cells is None:
        return None
    end = sum(len(line.encode()) for line in lines[: reader.line_num])
    return FirstRecord(tuple(cells), delimiter, end)


def position(names: Sequence[str], name: str) -> int | None:
    """Return where *name* is among *names*: as written, else without regard to case and space.

    None if it is not there, or there more than once.
    """
    exact = [index for index, other in enumerate(names) if other == name]
    if len(exact) == 1:
        return exact[0]
    loose = [index for index, other in enumerate(names) if key(other) == key(name)]
    return loose[0] if len(loose) == 1 else None


def key(name: str) -> str:
    """Return *name* as it is compared with other names of columns."""
    return name.strip().casefold()


def _candidates(dialect: Dialect) -> tuple[str, ...]:
    return (dialect.delimiter,) if dialect.delimiter else DELIMITERS


def _is_header(
    cells: Sequence[str],
    dialect: Dialect,
    columns: Sequence[Column],
    wanted: Sequence[str],
    file: str,
) -> bool:
    present = {key(cell) for cell in cells}
    attributes = [column.name for column in columns]
    named = sum(key(name) in present for name in attributes)
    looks_it = bool(attributes) and named >= _HEADER_SHARE * len(attributes)
    if dialect.header is True:
        if attributes and named < len(attributes):
            raise _contradiction("names the columns", attributes, cells, file)
        return True
    if dialect.header is False:
        if looks_it:
            raise _contradiction("is the first row of data", attributes, cells, file)
        return False
    if attributes:
        return looks_it
    if wanted and all(key(name) in present for name in wanted):
        return True
    raise SnapshotInvalid(
        "Nothing says whether the first record names the columns, and it does not name the"
        " mapped ones",
        file=file,
        position="record 1",
        action='Say so in the export: "format": {"header": true or false, "delimiter": ","}.',
    )


def _contradiction(
    said: str, attributes: Sequence[str], cells: Sequence[str], file: str
) -> SnapshotInvalid:
    names = {key(name) for name in attributes}
    read = [cell if key(cell) in names else masked(cell) for cell in cells[:20]]
    return SnapshotInvalid(
        f"The metadata says that the first record {said} and that the columns are"
        f" {_some(attributes)}; the first record reads {_some(read)}",
        file=file,
        position="record 1",
        action="Have the segment exported again, or its metadata corrected.",
    )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(name[:50] for name in names[:20])
    return f"{shown}, …" if len(names) > 20 else shown
