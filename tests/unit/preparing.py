"""A sink that keeps what it is given, and what became of it in plain values."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.contacts.batches import MAX_IMPORT_BYTES, MAX_IMPORT_LINES, BatchFile

Origin = list[dict[str, Any]]


@dataclass
class Shelf:
    """Keeps import files and rejects in memory, and checks what holds for every one."""

    batches: list[tuple[int, tuple[str, ...], BatchFile]] = field(default_factory=list)
    pieces: list[bytes] = field(default_factory=list)

    def batch(self, number: int, segment: int, list_ids: Sequence[str], file: BatchFile) -> None:
        assert number == len(self.batches)
        assert len(file.csv) <= MAX_IMPORT_BYTES
        assert file.csv.count(b"\n") <= MAX_IMPORT_LINES
        assert file.rows == len(file.origin) == file.csv.count(b"\n") - 1
        self.batches.append((segment, tuple(list_ids), file))

    def rejects(self, csv: bytes) -> None:
        self.pieces.append(csv)

    @property
    def files(self) -> list[bytes]:
        return [file.csv for _, _, file in self.batches]

    @property
    def contacts(self) -> list[dict[str, str]]:
        """Every line that is staged, by heading."""
        return [row for file in self.files for row in table(file)]

    @property
    def emails(self) -> list[str]:
        return [contact["email"] for contact in self.contacts]

    @property
    def origins(self) -> Origin:
        return [row for _, _, file in self.batches for row in file.origin.to_pylist()]

    @property
    def rejected(self) -> list[dict[str, str]]:
        """Every reject, by heading."""
        return table(b"".join(self.pieces))

    @property
    def reasons(self) -> list[tuple[int, str]]:
        """Row and reason of every reject."""
        return [(int(reject["row"]), reject["reason"]) for reject in self.rejected]


def table(content: bytes) -> list[dict[str, str]]:
    """Return the rows of a CSV file as a reader other than ours sees them."""
    return list(csv.DictReader(io.StringIO(content.decode(), newline=""), strict=True))
