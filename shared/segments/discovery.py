"""Which segments there are, and the newest copy of each.

The newest copy counts or none: an older one is never exported in its place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta

from shared.errors import SnapshotChanged, SnapshotInvalid
from shared.segments.completeness import Judge, Segment, dated_segment
from shared.segments.described import described_segments
from shared.segments.listings import DATA, DATED, Finds, in_order, is_part_of, written
from shared.segments.snapshots import Dialect, Layout, Snapshot
from shared.segments.source import SegmentSource

__all__ = ["Segment", "confirm", "find_segments", "named"]

DEFAULT_QUIET = timedelta(minutes=10)

# Partitions of one copy are written together; without metadata a wider gap means two copies.
_WIDEST_GAP = timedelta(minutes=30)


def find_segments(
    source: SegmentSource, prefix: str = "", quiet: timedelta = DEFAULT_QUIET
) -> list[Segment]:
    """Return every segment below *prefix*, in order of their names.

    Args:
        quiet: How long a copy must be unchanged before it counts as complete.

    Raises:
        ServiceUnavailable: The store cannot be reached just now.
    """
    base = prefix[: prefix.rfind("/") + 1]
    found = Finds(base)
    for file in source.files(prefix):
        found.add(file)
    judge = Judge(source.now(), quiet)
    segments = [*described_segments(source, found, judge), *_undescribed_segments(found, judge)]
    return sorted(_distinct(segments, base), key=lambda segment: segment.name)


def named(segments: Iterable[Segment], name: str) -> Segment | None:
    """Return the segment of this name; case does not count where that is enough."""
    known = {segment.name: segment for segment in segments}
    if name in known:
        return known[name]
    loose = [segment for other, segment in known.items() if other.casefold() == name.casefold()]
    return loose[0] if len(loose) == 1 else None


def confirm(source: SegmentSource, snapshot: Snapshot) -> None:
    """See to it that the snapshot is still what it was when it was pinned.

    Raises:
        SnapshotChanged: A file changed, is gone, or came late.
    """
    pinned = {file.name: file.etag for file in snapshot.files if file.snapshot is None}
    now = {file.name: file for file in source.files(snapshot.path)}
    within = {name for name in pinned if name.startswith(snapshot.path)}
    if any(name not in now or now[name].etag != pinned[name] for name in within):
        raise SnapshotChanged(f"A file of {snapshot.segment} changed since the run began.")
    late = now.keys() - pinned.keys() - set(snapshot.unlisted)
    if snapshot.path.endswith("/") and any(is_part_of(snapshot.path, name) for name in late):
        raise SnapshotChanged(f"A file of {snapshot.segment} came late.")


def _undescribed_segments(found: Finds, judge: Judge) -> Iterator[Segment]:
    """Yield the segments that nothing describes but their files."""
    for folder, reason in found.refused.items():
        name = folder[len(found.base) :].rstrip("/") or folder.rstrip("/") or "container"
        trouble = SnapshotInvalid("The format is not supported", file=folder, action=reason)
        yield Segment(name, Layout.FILES, folder, (), trouble=trouble)
    for (root, table), copies in found.dated.items():
        if root not in found.models and not found.within_refused(root):
            segment = dated_segment(root, table, copies)
            times = [file.modified for file in segment.files]
            if max(times) - min(times) > _WIDEST_GAP:
                gap = int((max(times) - min(times)).total_seconds() // 60)
                mixed = SnapshotInvalid(
                    f"Its files were written {gap} minutes apart, so it may mix two copies",
                    file=segment.path,
                    action="Keep the export's model.json beside the segment, or export it again.",
                )
                yield replace(segment, trouble=mixed)
            else:
                yield judge.judged(segment, _undescribed(segment))
    for key, copies in found.stamped.items():
        if not found.within_model(key) and not found.within_refused(key):
            name = key.rpartition("/")[2].strip()
            files = tuple(copies.files)
            segment = Segment(name, Layout.FLAT_FILE, files[0].name, files)
            yield judge.judged(segment, _undescribed(segment))
    for key, plain in found.plain.items():
        if not found.within_model(key) and not found.within_refused(key):
            name = key[len(found.base) :].rstrip("/")
            name = name if key.endswith("/") else DATA.sub("", name)
            segment = Segment(name, Layout.FILES, key, in_order(plain))
            yield judge.judged(segment, _undescribed(segment))


def _undescribed(segment: Segment) -> Snapshot:
    return Snapshot(
        segment=segment.name,
        path=segment.path,
        layout=segment.layout,
        files=segment.files,
        dialects=tuple(Dialect() for _ in segment.files),
        complete_since=written(segment.files),
    )


def _distinct(segments: Iterable[Segment], base: str) -> Iterator[Segment]:
    """Name segments of the same name by their folder too."""
    segments = list(segments)
    seen = Counter(segment.name.casefold() for segment in segments)
    for segment in segments:
        if seen[segment.name.casefold()] == 1:
            yield segment
            continue
        depth = 5 if DATED.match(f"{segment.path}.") else 1
        folder = "/".join(segment.path[len(base) :].rstrip("/").split("/")[:-depth])
        name = f"{folder}/{segment.name}" if folder else segment.path[len(base) :].rstrip("/")
        snapshot = segment.snapshot
        renamed = snapshot and snapshot.model_copy(update={"segment": name})
        yield replace(segment, name=name, snapshot=renamed)
