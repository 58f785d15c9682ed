"""A container of segments in memory, with a clock of its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.errors import SnapshotChanged
from shared.segments.discovery import find_segments, named
from shared.segments.snapshots import Dialect, Layout, Snapshot
from shared.segments.source import SegmentSource, SourceFile

URL = "https://contoso.blob.core.windows.net/segments"
EXPORT = "CustomerInsights_6b0c6c1e-2f0a-4d0f-9d3a-0f8f5a9a7c11/BlobExport/"
QUIET = timedelta(minutes=10)
START = datetime(2026, 3, 2, 5, 33, tzinfo=UTC)


class Container:
    """A `SegmentSource` whose files are written at the time its clock shows."""

    url = URL

    def __init__(self, contents: Mapping[str, bytes | str] | None = None) -> None:
        self.clock = START
        self.contents: dict[str, bytes] = {}
        self.listed: dict[str, SourceFile] = {}
        self.blob_snapshots: dict[tuple[str, str], SourceFile] = {}
        self.reads: list[tuple[str, int, int]] = []
        for name, content in (contents or {}).items():
            self.write(name, content)

    def write(self, name: str, content: bytes | str, *, tier: str | None = None) -> None:
        """Write a file now."""
        data = content.encode() if isinstance(content, str) else content
        etag = hashlib.sha256(data + self.clock.isoformat().encode()).hexdigest()[:16]
        self.contents[name] = data
        self.listed[name] = SourceFile(name, etag, len(data), self.clock, tier)

    def delete(self, name: str) -> None:
        """Delete a file."""
        del self.contents[name], self.listed[name]

    def wait(self, **time: float) -> None:
        """Let time pass, in the words of `timedelta`."""
        self.clock += timedelta(**time)

    def files(self, prefix: str = "") -> Iterator[SourceFile]:
        return iter([self.listed[name] for name in sorted(self.listed) if name.startswith(prefix)])

    def file_at(self, name: str, snapshot: str) -> SourceFile | None:
        return self.blob_snapshots.get((name, snapshot))

    def read(self, file: SourceFile, start: int, length: int) -> bytes:
        self.reads.append((file.name, start, length))
        if file.snapshot is None and self.listed.get(file.name) != file:
            raise SnapshotChanged(f"{file.name} changed or went away.")
        return self.contents[file.name][start : start + length]

    def now(self) -> datetime:
        return self.clock


def snapshot_of(container: Container, *dialects: Dialect, **more: Any) -> Snapshot:
    """Return all files of *container* as one snapshot, each in the last dialect given or none."""
    files = tuple(container.files())
    given = [*dialects, *[dialects[-1] if dialects else Dialect()] * len(files)]
    return Snapshot(
        segment="Spring_Renewals",
        path="",
        layout=Layout.FILES,
        files=files,
        dialects=tuple(given[: len(files)]),
        complete_since=container.clock,
        **more,
    )


def newest_snapshot(
    source: SegmentSource, name: str, *, prefix: str = "", quiet: timedelta = QUIET
) -> Snapshot | None:
    """Return the newest copy of a segment, None if there is none; raise what is in its way."""
    segment = named(find_segments(source, prefix, quiet), name)
    if segment is not None and segment.trouble is not None:
        raise segment.trouble
    return segment.snapshot if segment else None


def model(*entities: Mapping[str, Any], **more: Any) -> str:
    """Return a ``model.json`` with these entities."""
    return json.dumps({"name": "BlobExport", "version": "1.0", "entities": entities, **more})


def entity(
    name: str, columns: Sequence[str], partitions: Sequence[Mapping[str, Any]] | None = ()
) -> dict[str, Any]:
    """Return a table of text columns; *partitions* None leaves the member out."""
    described: dict[str, Any] = {
        "$type": "LocalEntity",
        "name": name,
        "attributes": [{"name": column, "dataType": "string"} for column in columns],
    }
    return described if partitions is None else {**described, "partitions": list(partitions)}


def partition(name: str, *, header: Any = True, **more: Any) -> dict[str, Any]:
    """Return a partition at *name* in the container."""
    return {
        "name": name.rpartition("/")[2],
        "location": f"{URL}/{name}",
        "fileFormatSettings": {
            "$type": "CsvFormatSettings",
            "columnHeaders": header,
            "delimiter": ",",
            "quoteStyle": "QuoteStyle.Csv",
            "csvStyle": "CsvStyle.QuoteAlways",
        },
        **more,
    }
