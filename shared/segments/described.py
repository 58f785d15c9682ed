"""Segments that metadata describes, matched with the files that are there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from shared.errors import SegmentIncomplete, SnapshotChanged, SnapshotInvalid
from shared.segments.completeness import Judge, Segment, dated_segment
from shared.segments.listings import Finds, written
from shared.segments.locations import Location, parse_location
from shared.segments.manifests import MANIFEST_SUFFIX, parse_manifest
from shared.segments.models import LARGEST_BYTES, Entity, Model, Pattern, parse_model
from shared.segments.snapshots import Dialect, Layout, Snapshot
from shared.segments.source import SegmentSource, SourceFile

_Listed = dict[str, tuple[Location, Dialect]]


def described_segments(source: SegmentSource, found: Finds, judge: Judge) -> Iterator[Segment]:
    """Yield the segments that metadata describes, and those in its folder that it does not."""
    for folder, metadata in sorted(found.models.items()):
        if found.within_refused(folder):
            continue
        dated = [
            dated_segment(root, table, copies)
            for (root, table), copies in found.dated.items()
            if root == folder
        ]
        try:
            model = _read_model(source, metadata, folder)
        except (SnapshotInvalid, SegmentIncomplete) as error:
            name = folder.rstrip("/").rpartition("/")[2] or metadata.name
            at_least = Segment(name, Layout.CDM_FOLDER, metadata.name, (metadata,))
            for segment in dated or [at_least]:
                yield replace(segment, trouble=error)
            continue
        by_name = {segment.name.casefold(): segment for segment in dated}
        for entity in model.entities:
            nowhere = Segment(entity.name, Layout.CDM_FOLDER, metadata.name, ())
            if entity.name.casefold() not in by_name:
                below = _one_level_below(found, folder, entity.name)
                by_name[entity.name.casefold()] = below or nowhere
            segment = by_name.pop(entity.name.casefold())
            described = _Described(source, metadata, folder, entity, model.modified)
            segment = replace(segment, name=entity.name, trouble=entity.trouble)
            try:
                yield segment if entity.trouble else described.judged(segment, judge)
            except SnapshotInvalid as error:
                yield replace(segment, trouble=error)
        for segment in by_name.values():
            yield _unlisted(segment, metadata, judge)


def _one_level_below(found: Finds, folder: str, table: str) -> Segment | None:
    """Return the dated copies of a table whose metadata lies one level off; nobody else's then."""
    taken = found.take_dated_below(folder, table)
    return dated_segment(*taken) if taken else None


def _unlisted(segment: Segment, metadata: SourceFile, judge: Judge) -> Segment:
    if not judge.patient([*segment.files, metadata]):
        return judge.waiting(segment, "The metadata does not list it yet")
    gone = SnapshotInvalid(
        "The metadata no longer lists the segment, though older copies are there",
        file=metadata.name,
        action="Check whether the segment was deactivated or taken out of the export.",
    )
    return replace(segment, trouble=gone)


@dataclass(frozen=True)
class _Described:
    """A table as metadata describes it, to be matched with the files that are there."""

    source: SegmentSource
    metadata: SourceFile
    folder: str
    entity: Entity
    modified: datetime | None

    def judged(self, segment: Segment, judge: Judge) -> Segment:
        """Return *segment* with its newest copy, or with what is in its way."""
        listed = self._listed()
        elsewhere = any(location.snapshot for location, _ in listed.values())
        if elsewhere or segment.layout is Layout.CDM_FOLDER:
            return self._as_listed(segment, {**self._matching(), **listed}, judge)
        since = self.modified
        if self.entity.partitions == () and since and since > written(segment.files):
            return self._empty(segment, judge)
        return self._in_newest_folder(segment, listed, judge)

    def _in_newest_folder(self, segment: Segment, listed: _Listed, judge: Judge) -> Segment:
        """Judge a dated folder by what the metadata lists of it."""
        here = {name: entry for name, entry in listed.items() if name.startswith(segment.path)}
        there = {file.name for file in segment.files}
        if missing := set(here) - there:
            why = f"The metadata lists {len(missing)} files that are not there"
            return judge.waiting(segment, why)
        patient = judge.patient([*segment.files, self.metadata])
        notes: tuple[str, ...] = ()
        if extra := there - set(here) if here else None:
            if not patient:
                why = f"The folder holds {len(extra)} files that the metadata does not list"
                return judge.waiting(segment, why)
            notes = (f"{len(extra)} files of the folder are not listed and are not read.",)
            kept = tuple(file for file in segment.files if file.name in here)
            segment = replace(segment, files=kept)
        elif not here and self.entity.partitions is not None:
            if not patient:
                return judge.waiting(segment, "The metadata still lists an older copy")
            notes = ("The metadata lists an older copy; the newest folder is read.",)
        default = next((dialect for _, dialect in listed.values()), Dialect())
        dialects = tuple(here.get(file.name, (None, default))[1] for file in segment.files)
        snapshot = self._snapshot(segment, dialects, notes)
        unlisted = tuple(sorted(there - {file.name for file in segment.files}))
        return judge.judged(segment, snapshot.model_copy(update={"unlisted": unlisted}))

    def _as_listed(self, segment: Segment, listed: _Listed, judge: Judge) -> Segment:
        """Judge the files that the metadata lists, wherever they are in the container."""
        segment = replace(segment, path=self.metadata.name, files=())
        if not listed:
            return self._empty(segment, judge)
        there = self._there({location.name for location, _ in listed.values()})
        files = [
            there.get(location.name)
            if location.snapshot is None
            else self.source.file_at(location.name, location.snapshot)
            for location, _ in listed.values()
        ]
        found = tuple(file for file in files if file is not None)
        segment = replace(segment, files=found)
        if len(found) < len(files):
            why = f"The metadata lists {len(files) - len(found)} files that are not there"
            return judge.waiting(segment, why)
        dialects = tuple(dialect for _, dialect in listed.values())
        # The metadata is a part of the copy: what it lists may still be changing.
        since = written([*found, self.metadata])
        return judge.judged(segment, self._snapshot(segment, dialects), since)

    def _listed(self) -> _Listed:
        """Return the listed files by name and blob snapshot."""
        listed: _Listed = {}
        for partition in self.entity.partitions or ():
            location = parse_location(
                partition.location, self.source.url, self.folder, self.metadata.name
            )
            key = f"{location.name}?{location.snapshot}" if location.snapshot else location.name
            listed[key] = (location, partition.dialect)
        return listed

    def _there(self, names: set[str]) -> dict[str, SourceFile]:
        """Return the files of these names, by few listings."""
        folders = {name.rpartition("/")[0] for name in names}
        return {
            file.name: file
            for folder in sorted(folders)
            for file in self.source.files(f"{folder}/" if folder else "")
            if file.name in names
        }

    def _matching(self) -> _Listed:
        """Return the files that the table's patterns match."""
        matching: _Listed = {}
        for pattern in self.entity.patterns:
            root = self.folder + pattern.root.strip("/")
            below = root if root.endswith("/") or not root else f"{root}/"
            names = [file.name for file in self.source.files(below)]
            for name in matched(pattern, names, below):
                matching[name] = (Location(name), pattern.dialect)
        return matching

    def _empty(self, segment: Segment, judge: Judge) -> Segment:
        """Judge a table without files: empty only if the metadata means it."""
        segment = replace(segment, path=self.metadata.name, files=())
        if self.modified is None or self.entity.partitions is None:
            why = "The metadata lists no file and does not say since when, so it may be absent"
            return judge.waiting(segment, why)
        notes = ("The metadata lists no files: the segment is empty.",)
        snapshot = self._snapshot(segment, (), notes)
        since = max(self.modified, self.metadata.modified)
        snapshot = snapshot.model_copy(update={"complete_since": since})
        return judge.judged(segment, snapshot, since)

    def _snapshot(
        self, segment: Segment, dialects: tuple[Dialect, ...], notes: tuple[str, ...] = ()
    ) -> Snapshot:
        if self.entity.contradicts_itself:
            notes = (*notes, "Traits of the metadata contradict its format settings, and win.")
        return Snapshot(
            segment=segment.name,
            path=segment.path,
            layout=segment.layout,
            files=segment.files,
            dialects=dialects,
            columns=self.entity.columns,
            date_patterns=self.entity.date_patterns,
            culture=self.entity.culture,
            complete_since=written(segment.files or [self.metadata]),
            notes=notes,
        )


def matched(pattern: Pattern, names: Sequence[str], folder: str) -> list[str]:
    """Return the *names* below *folder* that match, in time linear in their length.

    Raises:
        SnapshotInvalid: The expression is not one.
    """
    import pyarrow as pa  # noqa: PLC0415 - listing segments must not load it
    import pyarrow.compute as pc  # noqa: PLC0415

    below = [name[len(folder) :] for name in names]
    expression = _glob(pattern.expression) if pattern.is_glob else pattern.expression
    try:
        found = pc.match_substring_regex(pa.array(below, pa.string()), f"^/?(?:{expression})$")
    except ValueError:  # Arrow's among them
        raise SnapshotInvalid("A partition pattern is not an expression", file=folder) from None
    return [name for name, match in zip(names, found.to_pylist(), strict=True) if match]


def _glob(pattern: str) -> str:
    """Return the expression for a glob in which ``*`` stays within a folder and ``**`` does not."""
    parts = re.split(r"(\*\*/?|\*|\?)", pattern.removeprefix("/"))
    words = {"**": ".*", "**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    return "".join(words.get(part) or re.escape(part) for part in parts)


def _read_model(source: SegmentSource, metadata: SourceFile, folder: str) -> Model:
    def read(file: SourceFile) -> bytes:
        if file.size > LARGEST_BYTES:
            raise SnapshotInvalid(
                f"The metadata is larger than {LARGEST_BYTES} bytes", file=file.name
            )
        try:
            return source.read(file, 0, file.size) if file.size else b""
        except SnapshotChanged as error:
            raise SegmentIncomplete("The metadata is being written.") from error

    def read_beside(name: str) -> bytes:
        location = parse_location(name, source.url, folder, metadata.name)
        file = next((f for f in source.files(location.name) if f.name == location.name), None)
        if file is None:
            raise SnapshotInvalid("A file named by the manifest is not there", file=location.name)
        return read(file)

    if metadata.name.endswith(MANIFEST_SUFFIX):
        return parse_manifest(read(metadata), metadata.name, read_beside)
    return parse_model(read(metadata), metadata.name)
