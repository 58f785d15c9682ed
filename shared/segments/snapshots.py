"""A snapshot: one complete copy of a segment, pinned by its files' ETags."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, model_validator

from shared.segments.source import SourceFile


class Layout(StrEnum):
    """How a segment lies in the container."""

    DATED_FOLDERS = "L1"
    FLAT_FILE = "L2"
    FILES = "L3"
    CDM_FOLDER = "L4"


class Column(BaseModel):
    """A column as metadata names it; *type* is a CDM data type in lower case."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    type: str = "string"


class Dialect(BaseModel):
    """How a text file is written, as far as metadata or the export say; None: nothing says.

    Attributes:
        header: The first record names the columns.
        delimiter: One ASCII character.
        line_breaks: A line break inside quotes is data (`QuoteStyle.Csv`), not the end of a row.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    header: bool | None = None
    delimiter: str | None = None
    line_breaks: bool = True

    @model_validator(mode="after")
    def _one_ascii_character(self) -> Self:
        mark = self.delimiter
        if mark is not None and (len(mark) != 1 or not mark.isascii() or mark in '"\r\n\0'):
            raise ValueError("the delimiter must be one ASCII character, no quote, no line break")
        return self


class Snapshot(BaseModel):
    """One complete copy of a segment: what a run pins and every later read must still find.

    Attributes:
        segment: Name of the segment.
        path: Folder or file it was found at, for people.
        files: In the order they are read; every read is conditional on their ETags.
        dialects: One for each file.
        columns: In the order of the file, where metadata tells; empty otherwise.
        date_patterns: Java-style patterns of dates that metadata declares.
        culture: Whose order of day and month the metadata declares, such as ``en-US``.
        complete_since: Last write to any of its files.
        unlisted: Names of files in its folder that are none of it and are not read.
        notes: What a person should know about how it was judged complete.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    segment: str
    path: str
    layout: Layout
    files: tuple[SourceFile, ...]
    dialects: tuple[Dialect, ...]
    columns: tuple[Column, ...] = ()
    date_patterns: tuple[str, ...] = ()
    culture: str | None = None
    complete_since: AwareDatetime
    unlisted: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_dialect_each(self) -> Self:
        if len(self.dialects) != len(self.files):
            raise ValueError("a snapshot needs one dialect for each file")
        return self

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def fingerprint(self) -> str:
        """Tells whether two snapshots hold the same files; safe to show."""
        pins = sorted((file.name, file.etag, file.size) for file in self.files)
        return hashlib.sha256(repr((self.path, pins)).encode()).hexdigest()[:32]

    def in_dialect(self, header: bool | None, delimiter: str | None) -> Self:
        """Return this snapshot read as the export says, where metadata says nothing."""
        return self.model_copy(
            update={
                "dialects": tuple(
                    Dialect(
                        header=header if dialect.header is None else dialect.header,
                        delimiter=dialect.delimiter or delimiter,
                        line_breaks=dialect.line_breaks,
                    )
                    for dialect in self.dialects
                )
            }
        )
