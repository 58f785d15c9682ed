"""Rows that did not arrive at Constant Contact, or may not have, as lines of the rejects.

It reports how many it did not take, and sometimes which: ``Line n: …`` counts the header as
line 1. A line that is named is traced back to its row; for the others one line says how many of
which batch. Of a batch that was not carried out every row has its line.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

import pyarrow.parquet as pq

from shared.runs import Batch, BatchState, PinnedSnapshot

REFUSED = "refused_by_constant_contact"
SUPPRESSED = "unsubscribed"
ROWS_MISSING = "rows_missing"
NOT_SENT = "not_sent"
IMPORT_FAILED = "import_failed"
REASONS = (REFUSED, SUPPRESSED, ROWS_MISSING, NOT_SENT, IMPORT_FAILED)


def refusals(batch: Batch, snapshot: PinnedSnapshot, origin: bytes) -> bytes:
    """Return the reject lines of *batch*: segment, file, row, field, reason, value.

    Args:
        origin: Parquet with ``file`` and ``record`` of each line after the header.
    """
    text = io.StringIO(newline="")
    csv.writer(text).writerows(_lines(batch, snapshot, origin))
    return text.getvalue().encode()


def named_lines(batch: Batch) -> list[int]:
    """Return the lines of *batch* that are known to be refused: named, or found by narrowing."""
    return list(batch.found or batch.named)


def _lines(batch: Batch, snapshot: PinnedSnapshot, origin: bytes) -> Iterator[Sequence[object]]:
    if batch.state is not BatchState.COMPLETED:
        reason = IMPORT_FAILED if batch.reached else NOT_SENT
        for file, record in _rows(origin, range(batch.rows)):
            yield snapshot.segment, snapshot.files[file].name, record, "", reason, ""
        return
    named = named_lines(batch)
    if named:
        for file, record in _rows(origin, [line - 2 for line in named]):
            yield snapshot.segment, snapshot.files[file].name, record, "email", REFUSED, ""
    unnamed = {
        REFUSED: batch.refused - len(named),
        SUPPRESSED: batch.suppressed,
        ROWS_MISSING: batch.rows - batch.accepted - batch.refused - batch.suppressed,
    }
    for reason, rows in unnamed.items():
        if rows:
            yield snapshot.segment, "", "", "email", reason, f"{rows} rows of batch {batch.number}"


def _rows(origin: bytes, places: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield which file and record the rows at *places* of a batch came from."""
    table = pq.read_table(io.BytesIO(origin), columns=["file", "record"]).take(list(places))
    yield from zip(*(column.to_pylist() for column in table.columns), strict=True)
