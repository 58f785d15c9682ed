"""Rows that Constant Contact did not take, as lines of the rejects.

It reports how many, and sometimes which: ``Line n: …`` counts the header as line 1. A line that
is named is traced back to its row; for the others one line says how many of which batch.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

import pyarrow.parquet as pq

from shared.runs import Batch, PinnedSnapshot
from shared.verdicts import refused_lines

REFUSED = "refused_by_constant_contact"
SUPPRESSED = "unsubscribed"


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
    if batch.found:
        return list(batch.found)
    lines = [line for line in refused_lines(batch.errors) if 2 <= line <= batch.rows + 1]
    return lines if len(lines) <= batch.refused else []


def _lines(batch: Batch, snapshot: PinnedSnapshot, origin: bytes) -> Iterator[Sequence[object]]:
    named = named_lines(batch)
    if named:
        table = pq.read_table(io.BytesIO(origin), columns=["file", "record"])
        for line in named:
            row = table.slice(line - 2, 1).to_pylist()[0]
            name = snapshot.files[row["file"]].name
            yield snapshot.segment, name, row["record"], "email", REFUSED, ""
    unnamed = batch.refused - len(named)
    if unnamed:
        yield snapshot.segment, "", "", "email", REFUSED, f"{unnamed} rows of batch {batch.number}"
    if batch.suppressed:
        yield (
            *(snapshot.segment, "", "", "email", SUPPRESSED),
            f"{batch.suppressed} rows of batch {batch.number}",
        )
