"""Whether a copy of a segment is complete.

Customer Insights does not say. A copy counts as complete when nothing in it was written for
a while and when no file of it waits in an archive.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.errors import ExportError, SegmentIncomplete, SnapshotInvalid
from shared.segments.listings import Copies, in_order, missing_numbers, written
from shared.segments.snapshots import Layout, Snapshot
from shared.segments.source import SourceFile

# Metadata that does not match its folder is waited for this many times longer.
_PATIENCE = 3


@dataclass(frozen=True)
class Segment:
    """A segment found, with its newest copy.

    Attributes:
        path: Folder (ending in ``/``) or file of the newest copy.
        files: Of the newest copy, complete or not.
        snapshot: The newest copy, None if it is not complete.
        trouble: Why it is not, None if it is.
    """

    name: str
    layout: Layout
    path: str
    files: tuple[SourceFile, ...]
    snapshot: Snapshot | None = None
    trouble: ExportError | None = None


@dataclass(frozen=True)
class Judge:
    """Decides whether a copy is complete."""

    now: datetime
    quiet: timedelta

    def judged(
        self, segment: Segment, snapshot: Snapshot, since: datetime | None = None
    ) -> Segment:
        """Return *segment* with *snapshot*, or with what is in its way.

        Args:
            since: Last write to anything the copy rests on; to its files if it is not given.
        """
        cold = next((file for file in snapshot.files if file.tier == "Archive"), None)
        if cold is not None:
            return replace(
                segment,
                trouble=SnapshotInvalid(
                    "The file is in the archive tier, where it cannot be read",
                    file=cold.name,
                    action="Move the segment's files to the hot, cool or cold tier.",
                ),
            )
        if self.now - (since or snapshot.complete_since) < self.quiet:
            return self.waiting(segment, "It was written a moment ago")
        if segment.layout is Layout.DATED_FOLDERS and (gaps := missing_numbers(snapshot.files)):
            shown = ", ".join(map(str, gaps[:10])) + (", …" if len(gaps) > 10 else "")
            notes = (*snapshot.notes, f"The numbers of the files have gaps: {shown}.")
            snapshot = snapshot.model_copy(update={"notes": notes})
        return replace(segment, snapshot=snapshot)

    def patient(self, files: Iterable[SourceFile]) -> bool:
        """Tell whether nothing was written for so long that contradictions will stay."""
        return self.now - written(files) >= _PATIENCE * self.quiet

    def waiting(self, segment: Segment, why: str) -> Segment:
        return replace(
            segment, trouble=SegmentIncomplete(f"{segment.name} is not complete yet. {why}.")
        )


def dated_segment(root: str, table: str, copies: Copies) -> Segment:
    path = f"{root}{table}/{copies.stamp}/"
    return Segment(table, Layout.DATED_FOLDERS, path, in_order(copies.files))
