"""The segments that are there, by name, as exports refer to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from shared.errors import NotFound, SegmentAbsent, SegmentError, SegmentIncomplete
from shared.exports import Export, FileFormat
from shared.runs import PinnedSnapshot
from shared.segments.description import Description, columns, describe
from shared.segments.discovery import Segment, find_segments, named
from shared.segments.snapshots import Snapshot
from shared.segments.source import SegmentSource


@dataclass(frozen=True)
class Catalogue:
    """Looks into the segment container.

    Attributes:
        quiet: How long a snapshot must be unchanged before it counts as complete.
    """

    source: SegmentSource
    prefix: str
    quiet: timedelta

    def segments(self) -> list[Segment]:
        """Return every segment with its newest snapshot, by name."""
        return find_segments(self.source, self.prefix, self.quiet)

    def describe(self, name: str) -> tuple[Segment, Description | None]:
        """Return the segment and its columns with masked samples, None while it is incomplete."""
        segment = named(self.segments(), name)
        if segment is None:
            raise NotFound("There is no such segment.")
        snapshot = segment.snapshot
        return segment, describe(self.source, snapshot) if snapshot else None

    def columns(
        self,
        segments: Sequence[Segment],
        name: str,
        form: FileFormat | None,
        wanted: Sequence[str],
    ) -> list[str] | None:
        """Return the columns of a segment's newest snapshot, as a run for *wanted* would see them.

        None if there is no such segment, or its newest snapshot cannot be read just now.
        """
        segment = named(segments, name)
        if segment is None or segment.snapshot is None:
            return None
        try:
            return columns(self.source, read_as(segment.snapshot, form), wanted)
        except SegmentError:
            return None


def pin(export: Export, segments: Sequence[Segment]) -> tuple[PinnedSnapshot, ...]:
    """Return the newest snapshot of every segment that *export* sends or excludes.

    Raises:
        SegmentAbsent: A segment is not there at all.
        SegmentIncomplete: A snapshot is still being written.
        SegmentError: A snapshot is there and cannot be read.
    """
    formats = {target.name: target.format for target in export.segments}
    pinned = []
    for name in export.segment_names:
        segment = named(segments, name)
        if segment is None:
            raise SegmentAbsent(f"There is no snapshot of the segment {name}.")
        if segment.snapshot is None:
            raise segment.trouble or SegmentIncomplete(f"{name} is still being written.")
        snapshot = read_as(segment.snapshot, formats.get(name))
        pinned.append(
            PinnedSnapshot.model_validate(
                {**dict(snapshot), "segment": name, "excluded": name in export.exclude_segments}
            )
        )
    return tuple(pinned)


def read_as(snapshot: Snapshot, form: FileFormat | None) -> Snapshot:
    """Return *snapshot* read as the export says, where nothing else says it."""
    return snapshot if form is None else snapshot.in_dialect(form.header, form.delimiter)
