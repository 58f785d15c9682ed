"""Runs as they are kept: a folder each, which anyone can read.

``runs/<export_id>/<run_id>/`` holds ``run.json``, ``rejects.csv`` and, while there is something
left to send, ``batches/``: the import files, with the origin of their rows beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import datetime, timedelta
from itertools import takewhile

from pydantic import AwareDatetime, BaseModel, ConfigDict

from shared.changes import announce
from shared.errors import DocumentChanged, NotFound, Overtaken, RunActive
from shared.runs import Run, RunState, Waiting
from shared.storage.documents import BlockFile, Documents, Records

_CLAIM_GRACE = timedelta(minutes=2)
"""How long a claim whose run document is not there yet is left alone."""

STAGED_TAG = ("staged", "true")
"""Blob index tag of staged files; the lifecycle rule in ``infra/`` removes what has it."""


class RunCancelled(Exception):
    """Somebody asked for the run to be cancelled; raised before the next outgoing call."""


class Claim(BaseModel):
    """Which run of an export is the active one."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    claimed_at: AwareDatetime


class Turn:
    """One worker's turn at a run, taken under the export's lease.

    The run document is written only under the ETag last seen, and only while no other worker has
    begun a turn: one that stalled until it lost its lease stops here. Not thread-safe, but for
    `check`.

    Attributes:
        calls: Tells how many requests this turn has sent to Constant Contact.
    """

    def __init__(
        self, runs: Records[Run], run: Run, etag: str, now: Callable[[], datetime]
    ) -> None:
        self._runs = runs
        self._etag = etag
        self._calls_before = run.calls
        self.run = run
        self.now = now
        self.calls: Callable[[], int] = lambda: 0

    def begin(self) -> None:
        """Put an end to any turn that another worker may still believe to have."""
        self.close(lambda run: run.having(turns=run.turns + 1))

    def check(self) -> None:
        """Look before a call goes out; thread-safe.

        Raises:
            RunCancelled: Somebody asked for the run to be cancelled.
            Overtaken: Another worker has carried the run on.
        """
        mine = self.run
        run, _ = self._runs.read(mine.key)
        _require_same_turn(mine, run)
        if run.cancel_requested:
            raise RunCancelled

    def note(self, change: Callable[[Run], Run]) -> Run:
        """Write *change* down and return the run as it now is.

        Raises:
            RunCancelled: It is written down, and the run is to be cancelled.
            Overtaken: Another worker has carried the run on.
        """
        before = self.run
        while True:
            calls = self._calls_before + self.calls()
            changed = change(self.run).having(updated_at=self.now(), calls=calls).progressed()
            try:
                self._etag = self._runs.replace(changed.key, changed, self._etag)
                break
            except DocumentChanged:
                self.run, self._etag = self._runs.read(changed.key)
                _require_same_turn(before, self.run)
        self.run = changed
        if changed.state is not before.state:
            announce(changed)
        if changed.cancel_requested and not changed.ended:
            raise RunCancelled
        return changed

    def advance(self, waiting: Waiting | None) -> None:
        """Write down that this turn is over and what the next one waits for."""
        self.note(lambda run: run.having(position=run.position + 1, waiting=waiting))

    def close(self, change: Callable[[Run], Run]) -> Run:
        """Write the run's last word down, whatever else was asked for."""
        try:
            return self.note(change)
        except RunCancelled:
            return self.run


def _require_same_turn(before: Run, now: Run) -> None:
    if now.turns != before.turns or now.position != before.position or now.ended:
        raise Overtaken("Another worker has carried the run on.")


class Ledger:
    """All runs of all exports."""

    def __init__(self, documents: Documents, now: Callable[[], datetime]) -> None:
        self._documents = documents
        self._now = now
        self.runs = Records(documents, Run, "runs/{}/run.json")
        self._claims = Records(documents, Claim, "runs/{}/active.json")

    def turn(self, key: str) -> Turn:
        """Return a turn at the run, or raise `NotFound`."""
        run, etag = self.runs.read(key)
        return Turn(self.runs, run, etag, self._now)

    def open(self, run: Run) -> None:
        """Make *run* the active run of its export and write its document.

        Raises:
            RunActive: Another run is active; carries its location.
        """
        claim = Claim(run_id=run.id, claimed_at=run.created_at)
        try:
            current, etag = self._claims.read(run.export_id)
        except NotFound:
            self._claim(run, lambda: self._claims.create(run.export_id, claim))
        else:
            self._refuse_if_active(run.export_id, current)
            self._claim(run, lambda: self._claims.replace(run.export_id, claim, etag))
        self.runs.create(run.key, run)
        announce(run)

    def _claim(self, run: Run, write: Callable[[], str]) -> None:
        try:
            write()
        except DocumentChanged:
            raise _already_active(run.export_id, None) from None

    def _refuse_if_active(self, export_id: str, claim: Claim) -> None:
        active = self.runs.find(f"{export_id}/{claim.run_id}")
        if active is None:
            if self._now() - claim.claimed_at < _CLAIM_GRACE:
                raise _already_active(export_id, claim.run_id)
        elif not active.ended:
            raise _already_active(export_id, claim.run_id)

    def active(self, export_id: str) -> Run | None:
        """Return the run that is under way, or None."""
        run = self.latest(export_id)
        return run if run and not run.ended else None

    def is_claimed_by(self, run: Run) -> bool:
        """Say whether *run* is the one its export is waiting for."""
        claim = self._claims.find(run.export_id)
        return claim is not None and claim.run_id == run.id

    def latest(self, export_id: str) -> Run | None:
        """Return the run that was opened last, or None; two reads, however many runs there are."""
        claim = self._claims.find(export_id)
        return self.runs.find(f"{export_id}/{claim.run_id}") if claim else None

    def newest(self, export_id: str) -> Iterator[str]:
        """Yield the ids of an export's runs, newest first."""
        yield from sorted(self._documents.folders(f"runs/{export_id}/"), reverse=True)

    def last(self, export_id: str) -> Run | None:
        """Return the newest run, or None."""
        return next(self._documents_of(export_id), None)

    def last_pinned(self, export_id: str) -> Run | None:
        """Return the newest run that came as far as pinning its snapshots, or None."""
        return next((run for run in self._documents_of(export_id) if run.snapshots), None)

    def last_completed(self, export_id: str) -> Run | None:
        """Return the newest run that completed and read the segments, or None."""
        runs = (run for run in self._documents_of(export_id) if not run.retry_of)
        return next((run for run in runs if run.state is RunState.COMPLETED), None)

    def newer(self, run: Run) -> Iterator[Run]:
        """Yield the export's runs that are newer than *run*, newest first."""
        return takewhile(lambda other: other.id > run.id, self._documents_of(run.export_id))

    def _documents_of(self, export_id: str) -> Iterator[Run]:
        for run_id in self.newest(export_id):
            run = self.runs.find(f"{export_id}/{run_id}")
            if run is not None:
                yield run

    def stage(self, key: str, name: str, content: bytes) -> None:
        """Write a staged file: personal data, gone when the run has ended."""
        self._documents.put(f"runs/{key}/batches/{name}", content, tag=STAGED_TAG)

    def staged(self, key: str, name: str) -> bytes:
        """Return a staged file, or raise `NotFound`."""
        return self._documents.read(f"runs/{key}/batches/{name}").content

    def has_staged(self, key: str) -> bool:
        """Say whether staged files of the run are still there."""
        return any(True for _ in self._documents.paths(f"runs/{key}/batches/"))

    def is_staged(self, key: str, name: str) -> bool:
        """Say whether a staged file is there."""
        path = f"runs/{key}/batches/{name}"
        return path in self._documents.paths(path)

    def keys_with_staged(self) -> set[str]:
        """Return the keys of all runs that have staged files."""
        paths = self._documents.tagged(STAGED_TAG)
        return {path.removeprefix("runs/").split("/batches/")[0] for path in paths}

    def unstage(self, key: str, keep: Collection[str] = ()) -> None:
        """Delete all staged files but those in *keep*."""
        folder = f"runs/{key}/batches/"
        for path in list(self._documents.paths(folder)):
            if path.removeprefix(folder) not in keep:
                self._documents.delete(path)

    def open_rejects(self, key: str) -> BlockFile:
        """Return the rejects of a run anew, to be written in pieces."""
        return self._documents.blocks(f"runs/{key}/rejects.csv")

    def append_rejects(self, key: str, chunk: bytes) -> None:
        """Put *chunk* behind the rejects; once, however often it is asked for."""
        self._documents.append_block(f"runs/{key}/rejects.csv", chunk)

    def rejects(self, key: str) -> Iterator[bytes]:
        """Yield the rejects in chunks, or raise `NotFound`."""
        return self._documents.stream(f"runs/{key}/rejects.csv")


def _already_active(export_id: str, run_id: str | None) -> RunActive:
    location = f"/api/runs/{export_id}/{run_id}" if run_id else None
    return RunActive("A run of this export is already under way.", location=location)


def staged_name(number: int) -> str:
    """Return the name of a batch's staged file."""
    return f"{number:04d}.csv"


def origin_name(number: int) -> str:
    """Return the name of the file that says which row of which file each line came from."""
    return f"{number:04d}.origin"
