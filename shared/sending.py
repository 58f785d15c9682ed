"""Send: every staged batch to Constant Contact, each at most once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from datetime import datetime

from shared.constant_contact.answers import Activity
from shared.constant_contact.client import Client
from shared.errors import AnswerLost, ExportError
from shared.ledger import Ledger, RunCancelled, Turn, staged_name
from shared.runs import Batch, BatchState
from shared.verdicts import Imported
from shared.waits import may_be_under_way

IN_FLIGHT = 3
"""Calls under way at once: what it takes to hide answers of 300 ms at four calls a second."""


def send(turn: Turn, client: Client, ledger: Ledger) -> None:
    """Send what is staged and return when every batch has an activity.

    Each intent is written down before its call and each activity id after it, so that a batch
    whose answer was lost is looked up by its file name before anything is repeated, once it
    cannot be on its way any more.

    Raises:
        RunCancelled: Nothing more goes out; what was under way is written down.
        ExportError: Trouble with one call; the others that were under way are written down.
    """
    find_unanswered(turn, client, turn.run.batches)
    _Sender(turn, client, ledger).send()


def find_unanswered(turn: Turn, client: Client, imports: Iterable[Batch]) -> None:
    """Settle those of *imports* whose intent is written down but not their activity.

    Raises:
        AnswerLost: One of them may still be on its way, so that its absence would tell nothing.
    """
    unanswered = [each for each in imports if each.state is BatchState.SENDING]
    if any(may_be_under_way(each.called_at, turn.now()) for each in unanswered):
        raise AnswerLost("An upload whose answer got lost may still be on its way.")
    if unanswered:
        found = [client.find_import(each.file_name) for each in unanswered]
        settled = [answered(*pair, turn.now()) for pair in zip(unanswered, found, strict=True)]
        turn.note(lambda run: run.with_imports(*settled))


def begun(imported: Imported, now: datetime) -> Imported:
    """Return *imported* with the intent to upload it."""
    return imported.having(state=BatchState.SENDING, called_at=now)


def answered(imported: Imported, activity: Activity | None, now: datetime) -> Imported:
    """Return *imported* with its activity, or staged as before if it was not received."""
    if activity is None:
        return imported.having(state=BatchState.STAGED, called_at=None)
    return imported.having(state=BatchState.SENT, activity_id=activity.id, sent_at=now)


class _Sender:
    """The calls under way and what has come of them."""

    def __init__(self, turn: Turn, client: Client, ledger: Ledger) -> None:
        self._turn = turn
        self._client = client
        self._ledger = ledger
        self._flying: dict[Future[Activity], Batch] = {}
        self._trouble: ExportError | RunCancelled | None = None
        self._staged = deque(b for b in turn.run.batches if b.state is BatchState.STAGED)

    def send(self) -> None:
        with ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="import") as pool:
            landed: list[Batch] = []
            while self._flying or (self._staged and not self._trouble):
                starting = [begun(batch, self._turn.now()) for batch in self._take()]
                self._note([*landed, *starting])
                if self._trouble:
                    landed = [answered(batch, None, self._turn.now()) for batch in starting]
                else:
                    for batch in starting:
                        upload = pool.submit(copy_context().run, self._upload, batch)
                        self._flying[upload] = batch
                    landed = []
                landed += self._land()
            self._note(landed)
        if self._trouble:
            raise self._trouble

    def _take(self) -> list[Batch]:
        free = 0 if self._trouble else IN_FLIGHT - len(self._flying)
        return [self._staged.popleft() for _ in range(min(free, len(self._staged)))]

    def _note(self, changed: list[Batch]) -> None:
        if not changed:
            return
        try:
            self._turn.note(lambda run: run.with_imports(*changed))
        except RunCancelled as cancelled:  # written down; nothing more goes out
            self._trouble = self._trouble or cancelled

    def _upload(self, batch: Batch) -> Activity:
        content = self._ledger.staged(self._turn.run.key, staged_name(batch.number))
        return self._client.import_contacts(batch.file_name, content, batch.list_ids)

    def _land(self) -> list[Batch]:
        if not self._flying:
            return []
        ended, _ = wait(self._flying, return_when=FIRST_COMPLETED)
        changed = []
        for future in ended:
            batch = self._flying.pop(future)
            try:
                changed.append(answered(batch, future.result(), self._turn.now()))
            except (ExportError, RunCancelled) as trouble:
                self._trouble = self._trouble or trouble
                if not isinstance(trouble, AnswerLost):
                    changed.append(answered(batch, None, self._turn.now()))
        return changed
