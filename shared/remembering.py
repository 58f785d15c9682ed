"""Keeps the memory of what was accepted: only what Constant Contact has confirmed enters it.

``memory/<export_id>/memory.json`` names the files of the last run that moved it; between
*prepare* and *finish* the new hashes lie among the run's staged files.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict

from shared.connections import Connection
from shared.contacts.memory import Marks, Memory
from shared.errors import NotFound
from shared.exports import Export
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
        note: Why it does not count; None if it does, or if there is none.
        mirrored: Whether who is in it and not in the segment any more is all that has left.
    """

    memory: Memory
    terms: str
    note: Note | None = None
    mirrored: bool = False

    def afresh(self) -> Recollection:
        """Return a memory of nobody, on the same terms."""
        return Recollection(self.memory.emptied(), self.terms)


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
        if head is None:
            return Recollection(Memory(secret, {}), terms)
        if not export.only_changes:
            return Recollection(Memory(secret, {}), terms)
        if run.full:
            note = Note(code="everyone_asked", message="Everyone is sent, as asked for.")
        elif head.terms != terms:
            note = Note(
                code="terms_changed",
                message="Everyone is sent: the mapping, the lists or the account have changed.",
            )
        else:
            note = None
        before = {} if note else self._marks(head, export)
        return Recollection(Memory(secret, before), terms, note, head.mirrored and not note)

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
                    continue  # forgotten: its people are sent again
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

    def remember(self, run: Run) -> None:
        """Move the memory to what was accepted in *run*: the unchanged and the confirmed.

        All else is forgotten, so that it is sent again: it was refused, or nobody knows.
        Repeating this changes nothing, also when the run's staged files are gone in part.
        """
        try:
            terms = json.loads(self._ledger.staged(run.key, _TERMS))
        except NotFound:
            return  # the run keeps no memory, or this was done already
        head = self._heads.find(run.export_id)
        if head is None or head.run_id != run.id:
            head = self._move(run, terms, head)
        for path in list(self._documents.paths(f"memory/{run.export_id}/{_FILES}")):
            if path not in head.files.values():
                self._documents.delete(path)

    def _move(self, run: Run, terms: str, before: Remembered | None) -> Remembered:
        names = [snapshot.segment for snapshot in run.snapshots if not snapshot.excluded]
        files = {}
        for segment, name in enumerate(names):
            staged = self.read(run, segment, "new")
            confirmed = staged.where(confirmed_lines(run, segment, len(staged)))
            parts = [self.read(run, segment, "kept"), confirmed]
            if run.mirror and not run.mirror.done:
                parts.append(self.read(run, segment, "left"))  # still on the list, to be removed
            path = f"memory/{run.export_id}/{_FILES}{run.id}-{segment}.parquet"
            self._documents.put(path, Marks.joined(parts).sorted().packed())
            files[name] = path
        head = Remembered(
            run_id=run.id, terms=terms, files=files, mirrored=is_mirrored(run, before)
        )
        self._write_head(run.export_id, head)
        return head

    def read(self, run: Run, segment: int, part: str) -> Marks:
        """Return what `stage` kept of a segment: ``kept``, ``new``, ``unsent`` or ``left``."""
        return Marks.parse(self._ledger.staged(run.key, _part(segment, part)))

    def forget(self, export_id: str) -> None:
        """Forget everything about an export."""
        for path in list(self._documents.paths(f"memory/{export_id}/")):
            self._documents.delete(path)

    def _write_head(self, export_id: str, head: Remembered) -> None:
        try:
            _, etag = self._heads.read(export_id)
        except NotFound:
            self._heads.create(export_id, head)
        else:
            self._heads.replace(export_id, head, etag)


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
    to send it again, and no refused row is taken for accepted.
    """
    confirmed = np.zeros(staged, np.bool_)
    start = 0
    for batch in run.batches:
        if batch.segment != segment:
            continue
        if _is_confirmed(batch):
            confirmed[start : start + batch.rows] = True
            for line in named_lines(batch):
                confirmed[start + line - 2] = False
        start += batch.rows
    return confirmed


def _is_confirmed(batch: Batch) -> bool:
    return (
        batch.state is BatchState.COMPLETED
        and batch.verdict == "completed"
        and len(named_lines(batch)) == batch.refused
    )


_FILES = "marks-"
_TERMS = "memory.json"


def _part(segment: int, part: str) -> str:
    return f"memory-{segment}-{part}.parquet"
