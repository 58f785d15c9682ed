"""Keeps the memory of what was accepted: only what Constant Contact has confirmed enters it.

``memory/<export_id>/memory.json`` names the files of the last run that moved it; between
*prepare* and *finish* the new hashes lie among the run's staged files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from pydantic import BaseModel, ConfigDict

from shared.connections import Connection
from shared.contacts.memory import Marks, Memory, leavers, of_people
from shared.errors import NotFound
from shared.exports import Export, Mode
from shared.ledger import Ledger
from shared.refusals import named_lines
from shared.runs import Batch, BatchState, Note, Route, Run
from shared.storage.documents import Documents, Records
from shared.storage.hash_key import HashKey


class Remembered(BaseModel):
    """Which files hold the memory, and what has to be the same for it to count.

    Attributes:
        terms: Digest of mapping, lists, account and hash key.
        files: Segment name → file.
        mirrored: Whether the lists were made equal to the segments at that time.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str
    terms: str
    files: dict[str, str]
    mirrored: bool = False


@dataclass(frozen=True)
class Recollection:
    """The memory as a run found it.

    Attributes:
        note: Why everybody is sent; None if that need not be said.
        mirrored: Whether who is in it and not in the segment any more is all that has left.
    """

    memory: Memory
    terms: str
    note: Note | None = None
    mirrored: bool = False

    def afresh(self) -> Recollection:
        """Return this without what was accepted, so that everybody is sent."""
        return replace(self, memory=self.memory.afresh(), mirrored=False)


class Remembering:
    """The memory of every export."""

    def __init__(self, documents: Documents, ledger: Ledger, hash_key: HashKey) -> None:
        self._documents = documents
        self._ledger = ledger
        self._hash_key = hash_key
        self._heads = Records(documents, Remembered, "memory/{}/memory.json")

    def recall(self, export: Export, connection: Connection, run: Run) -> Recollection:
        """Return what was accepted before, as far as it still counts for *run*."""
        secret = self.secret()
        terms = terms_of(export, connection, secret)
        head = self._heads.find(export.id)
        if head is None or head.terms != terms:
            note = Note(
                code="terms_changed",
                message="Everyone is sent: the mapping, the lists or the account have changed.",
            )
            return Recollection(Memory(secret, {}), terms, note if head else None)
        before = self._marks(head, export)
        whole = head.mirrored and len(before) == len(head.files)
        found = Recollection(Memory(secret, before), terms, mirrored=whole)
        if run.full:
            note = Note(code="everyone_asked", message="Everyone is sent, as asked for.")
            return replace(found.afresh(), note=note)
        return found if export.only_changes else found.afresh()

    def secret(self) -> bytes:
        """Return the key of the hashes."""
        return hashlib.sha256(self._hash_key.read().encode()).digest()

    def _marks(self, head: Remembered, export: Export) -> dict[int, Marks]:
        names = [target.name for target in export.segments]
        marks = {}
        for name, path in head.files.items():
            if name in names:
                try:
                    marks[names.index(name)] = Marks.parse(self._documents.read(path).content)
                except NotFound:
                    continue  # gone: its people are sent again, and who has left is not known
        return marks

    def stage(self, run: Run, recollection: Recollection, segments: int) -> None:
        """Keep the run's new hashes beside its batches until it is known what was accepted."""
        for segment in range(segments):
            memory = recollection.memory
            for part, marks in (
                ("kept", memory.kept(segment)),
                ("new", memory.staged(segment)),
                ("unsent", memory.unsent(segment)),
                ("left", memory.left(segment)),
            ):
                self._ledger.stage(run.key, _part(segment, part), marks.packed())
        self._ledger.stage(run.key, _TERMS, json.dumps(recollection.terms).encode())

    def wanted_for_a_retry(self, run: Run) -> list[str]:
        """Return the names of the staged files that `stage_again` reads."""
        return [_TERMS, *(_part(segment, "new") for segment in range(len(_audiences(run))))]

    def stage_again(self, run: Run, failed: Run) -> None:
        """Keep the hashes of the batches that *run* sends again beside what is remembered.

        What is remembered of the same people gives way: nobody knows which values they have now.
        """
        try:
            terms = json.loads(self._ledger.staged(failed.key, _TERMS))
        except NotFound:
            return  # the run kept no memory
        head = self._heads.find(run.export_id)
        files = head.files if head and head.terms == terms else {}
        for segment, name in enumerate(_audiences(failed)):
            staged = self.read(failed, segment, "new")
            again = staged.where(_lines_of(failed, segment, len(staged), _has_failed))
            known = self._documents.read(files[name]).content if name in files else None
            kept = leavers(Marks.parse(known), [again]) if known else Marks.none()
            self._ledger.stage(run.key, _part(segment, "new"), again.packed())
            self._ledger.stage(run.key, _part(segment, "kept"), kept.packed())
        self._ledger.stage(run.key, _TERMS, json.dumps(terms).encode())

    def remember(self, run: Run) -> None:
        """Move the memory to what was accepted in *run*: the unchanged and the confirmed.

        All else is sent again: it was refused, or nobody knows. A mirror keeps these people in
        mind all the same, since they may be on its lists. Repeating this changes nothing, also
        when the run's staged files are gone in part; and a worker that stalled meets what a newer
        run has written and leaves it alone.

        Raises:
            DocumentChanged: Another worker moved the memory at the same time.
        """
        try:
            terms = json.loads(self._ledger.staged(run.key, _TERMS))
        except NotFound:
            return  # the run keeps no memory, or this was done already
        head, etag = self._head(run.export_id)
        if head is None or head.run_id < run.id:
            head = self._move(run, terms, head, etag)
        newest = _file(run.export_id, head.run_id)
        for path in list(self._documents.paths(_file(run.export_id))):
            if path < newest and path not in head.files.values():
                self._documents.delete(path)

    def _head(self, export_id: str) -> tuple[Remembered | None, str]:
        try:
            return self._heads.read(export_id)
        except NotFound:
            return None, ""

    def _move(self, run: Run, terms: str, before: Remembered | None, etag: str) -> Remembered:
        """Write the files of *run*, then the head over the one that was read under *etag*."""
        files = {}
        for segment, name in enumerate(_audiences(run)):
            parts = [self.read(run, segment, "kept"), self._staged(run, segment, accepted=True)]
            if run.export.mode is Mode.MIRROR:
                parts += (marks.unaccepted() for marks in self._unaccepted(run, segment))
            path = f"{_file(run.export_id, run.id)}-{segment}.parquet"
            self._documents.put(path, Marks.joined(parts).distinct().packed())
            files[name] = path
        head = Remembered(
            run_id=run.id, terms=terms, files=files, mirrored=is_mirrored(run, before)
        )
        if before is None:
            self._heads.create(run.export_id, head)
        else:
            self._heads.replace(run.export_id, head, etag)
        return head

    def _staged(self, run: Run, segment: int, *, accepted: bool) -> Marks:
        staged = self.read(run, segment, "new")
        return staged.where(confirmed_lines(run, segment, len(staged)) == accepted)

    def _unaccepted(self, run: Run, segment: int) -> Iterator[Marks]:
        """Yield who may be on a list after *run* though no line of theirs was accepted."""
        unaccepted = self._staged(run, segment, accepted=False)
        yield unaccepted
        if run.mirror:
            yield self.read(run, segment, "unsent")
            left = self.read(run, segment, "left")
            yield left.where(of_people(left, unaccepted)) if run.mirror.done else left

    def gone(self, run: Run, segments: Sequence[int]) -> Marks:
        """Return who may be on a list that *segments* go to and is in none of them now."""
        left = Marks.joined(self.read(run, n, "left") for n in segments)
        present = (self.read(run, n, part) for n in segments for part in ("kept", "new", "unsent"))
        unaccepted = self._not_arrived(run, segments)
        return leavers(left.where(~of_people(left, unaccepted)), present)

    def spared(self, run: Run, segments: Sequence[int]) -> Marks:
        """Return who stays on a list that *segments* go to though no import brought them there.

        Among them is whoever is known by another address, if her new one was not accepted.
        """
        left = Marks.joined(self.read(run, n, "left") for n in segments)
        parts = [self.read(run, n, part) for n in segments for part in ("new", "unsent")]
        earlier = left.where(of_people(left, self._not_arrived(run, segments)))
        return Marks.joined([*parts, earlier]).sorted()

    def _not_arrived(self, run: Run, segments: Sequence[int]) -> Marks:
        return Marks.joined(self._staged(run, n, accepted=False) for n in segments)

    def read(self, run: Run, segment: int, part: str) -> Marks:
        """Return what `stage` kept of a segment: ``kept``, ``new``, ``unsent`` or ``left``."""
        return Marks.parse(self._ledger.staged(run.key, _part(segment, part)))

    def forget(self, export_id: str) -> None:
        """Forget everything about an export."""
        for path in list(self._documents.paths(f"memory/{export_id}/")):
            self._documents.delete(path)


def is_mirrored(run: Run, before: Remembered | None) -> bool:
    """Say whether the lists equal the segments after *run*, or differ by what was left then."""
    if run.mirror is None:
        return False
    if run.mirror.route is Route.LISTS:
        return run.mirror.done
    return before is not None and before.mirrored


def terms_of(export: Export, connection: Connection, secret: bytes) -> str:
    """Return a digest of all that makes an earlier acceptance count for this export."""
    account = connection.account.id if connection.account else ""
    content = json.dumps(
        [
            sorted(export.mapping.items()),
            [(target.name, sorted(target.list_ids)) for target in export.segments],
            account,
        ]
    )
    return hashlib.blake2b(content.encode(), key=secret, digest_size=16).hexdigest()


def confirmed_lines(
    run: Run, segment: int, staged: int
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Tell which of a segment's staged lines were accepted, as far as that is known.

    A batch with refusals that nobody can name counts as not accepted at all: it costs one call
    to send it again, and no refused row is taken for accepted. People who had unsubscribed are
    remembered like the accepted: nobody says which they are, and sending them again would
    change nothing. They are sent when their values change, or with a full run.
    """
    return _lines_of(run, segment, staged, _is_confirmed)


def _lines_of(
    run: Run, segment: int, staged: int, chosen: Callable[[Batch], bool]
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Flag a segment's staged lines that are in *chosen* batches, rows known to be refused apart"""
    flags = np.zeros(staged, np.bool_)
    start = 0
    for batch in run.batches:
        if batch.segment != segment:
            continue
        if chosen(batch):
            flags[start : start + batch.rows] = True
            for line in named_lines(batch):
                flags[start + line - 2] = False
        start += batch.rows
    return flags


def _has_failed(batch: Batch) -> bool:
    return batch.state is BatchState.FAILED


def _is_confirmed(batch: Batch) -> bool:
    return (
        batch.state is BatchState.COMPLETED
        and batch.verdict == "completed"
        and len(named_lines(batch)) == batch.refused
    )


def _audiences(run: Run) -> list[str]:
    return [snapshot.segment for snapshot in run.snapshots if not snapshot.excluded]


_TERMS = "memory.json"


def _file(export_id: str, run_id: str = "") -> str:
    """Return how the paths of the files that a run writes begin; these sort by the run's age."""
    return f"memory/{export_id}/marks-{run_id}"


def _part(segment: int, part: str) -> str:
    return f"memory-{segment}-{part}.parquet"
