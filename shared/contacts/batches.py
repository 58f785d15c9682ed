"""Batches: lines of contacts cut into files within the import's limits.

Constant Contact drops what is over the limits without a word, so both are kept exactly,
after encoding: https://developer.constantcontact.com/api_guide/import_contacts.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from shared.contacts import texts
from shared.contacts.texts import Text

# The header is a line too.
MAX_IMPORT_LINES = 40_000

# Whether 4 MB are decimal, or count the form around the file, is not documented; so the
# whole request stays under 3.9 million bytes, with room for the form and 50 list ids.
MAX_IMPORT_BYTES = 3_900_000 - 4_096


@dataclass(frozen=True)
class Lines:
    """Encoded contacts: *text* has one line each, *origin* one row each (a RecordBatch)."""

    text: Text
    origin: Any


@dataclass(frozen=True)
class BatchFile:
    """One import file and, for each line after the header, where it came from."""

    csv: bytes
    rows: int
    origin: Any


def cut(
    lines: Iterable[Lines],
    header: bytes,
    *,
    max_lines: int = MAX_IMPORT_LINES,
    max_bytes: int = MAX_IMPORT_BYTES,
) -> Iterator[BatchFile]:
    """Yield files with all lines in their order, each as full as the limits allow.

    Args:
        lines: None of them longer than *max_bytes* with the header; see `too_long`.
    """
    parts: list[memoryview] = [memoryview(header)]
    origins: list[Any] = []
    rows, size = 0, len(header)
    for piece in lines:
        at = texts.bounds(piece.text).astype(np.int64)
        at -= at[0]
        data = texts.data(piece.text)
        start = 0
        while start < len(piece.text):
            room = at[start] + max_bytes - size
            fitting = int(np.searchsorted(at, room, side="right")) - 1
            end = min(fitting, start + max_lines - 1 - rows, len(piece.text))
            if end > start:
                parts.append(data[at[start] : at[end]])
                origins.append(piece.origin.slice(start, end - start))
                rows += end - start
                size += int(at[end] - at[start])
                start = end
            if start < len(piece.text):
                if not rows:
                    raise ValueError("a line is longer than a file may be")
                yield _file(parts, origins, rows)
                parts, origins = [memoryview(header)], []
                rows, size = 0, len(header)
    if rows:
        yield _file(parts, origins, rows)


def too_long(lines: Text, header: bytes, max_bytes: int = MAX_IMPORT_BYTES) -> texts.Mask:
    """Tell which lines do not fit into a file even alone."""
    return np.asarray(np.diff(texts.bounds(lines)) > max_bytes - len(header), np.bool_)


def _file(parts: list[memoryview], origins: list[Any], rows: int) -> BatchFile:
    return BatchFile(b"".join(parts), rows, pa.Table.from_batches(origins).combine_chunks())
