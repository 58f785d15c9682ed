"""Where segments lie: files under a prefix, read in ranges. The core knows no more of storage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True)
class SourceFile:
    """One file as it was when it was listed.

    Attributes:
        name: Full name in the container, ``/`` between folders.
        etag: Changes with every write.
        size: Bytes.
        modified: Last write, aware, in UTC.
        tier: Access tier (``Hot``, ``Archive``), where the store tells.
        snapshot: Blob snapshot to read instead of the current blob.
    """

    name: str
    etag: str
    size: int
    modified: datetime
    tier: str | None = None
    snapshot: str | None = None


class RangeReader(Protocol):
    """Gives parts of files that were listed."""

    def read(self, file: SourceFile, start: int, length: int) -> bytes:
        """Return bytes *start* to *start + length* of the file as it was listed.

        Raises:
            SnapshotChanged: The file is gone or was written since.
            ServiceUnavailable: The store cannot be reached just now.
        """


class SegmentSource(RangeReader, Protocol):
    """Read access to one container, and to nothing else.

    Attributes:
        url: Of the container; what metadata says of files elsewhere is refused.
    """

    @property
    def url(self) -> str: ...

    def files(self, prefix: str = "") -> Iterator[SourceFile]:
        """List files whose name begins with *prefix*, in order of their names; no folders.

        Raises:
            ServiceUnavailable: The store cannot be reached just now.
        """

    def file_at(self, name: str, snapshot: str) -> SourceFile | None:
        """Return the blob snapshot *snapshot* of a file, None if there is none."""

    def now(self) -> datetime:
        """Return the time by the clock that also stamps the files."""
