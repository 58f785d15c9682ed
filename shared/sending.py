"""Send: every staged batch to Constant Contact, each at most once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from datetime import datetime

from shared.constant_contact.answers import Activity
from shared.constant_contact.client import Client
from shared.errors import AnswerLost, ExportError
from shared.ledger import Ledger, RunCancelled, Turn
from shared.runs import Batch, BatchState, Run

IN_FLIGHT = 3
"""Calls under way at once: what it takes to hide answers of 300 ms at four calls a second."""


def send(turn: Turn, client: Client, ledger: Ledger) -> None:
    """Send what is staged and return when every batch has an activity.

    Each intent is written down before its call and each activity id after it, so that a batch
    whose answer was lost is looked up by its file name before anything is repeated.

    Raises:
        RunCancelled: Nothing more goes out; what was under way is written down.
        ExportError: Trouble with one call; the others that were under way are written down.
    """
    find_unanswered(turn, client)
    _Sender(turn, client, ledger).send()


def find_unanswered(turn: Turn, client: Client) -> None:
    """Settle the batches whose intent is written down but not their activity."""
    for batch in turn.run.batches:
        if batch.state is BatchState.SENDING:
            activity = client.find_import(batch.file_name)
            turn.note(_outcome(batch.number, activity, turn.now()))


def _outcome(number: int, activity: Activity | None, now: datetime) -> Callable[[Run], Run]:
    if activity is None:
        return lambda run: run.with_batch(number, state=BatchState.STAGED)
    return lambda run: run.with_batch(
        number, state=BatchState.SENT, activity_id=activity.id, sent_at=now
    )


class _Sender:
    """The calls under way and what has come of them."""

    def __init__(self, turn: Turn, client: Client, ledger: Ledger) -> None:
        self._turn = turn
        self._client = client
        self._ledger = ledger
        self._flying: dict[Future[Activity], int] = {}
        self._trouble: ExportError | RunCancelled | None = None
        self._staged = deque(b for b in turn.run.batches if b.state is BatchState.STAGED)

    def send(self) -> None:
        with ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="import") as pool:
            landed: list[Callable[[Run], Run]] = []
            while self._flying or (self._staged and not self._trouble):
                starting = self._take()
                self._note([*landed, *(_intent(batch.number) for batch in starting)])
                if self._trouble:
                    landed = [_outcome(batch.number, None, self._turn.now()) for batch in starting]
                else:
                    for batch in starting:
                        upload = pool.submit(copy_context().run, self._upload, batch)
                        self._flying[upload] = batch.number
                    landed = []
                landed += self._land()
            self._note(landed)
        if self._trouble:
            raise self._trouble

    def _take(self) -> list[Batch]:
        free = 0 if self._trouble else IN_FLIGHT - len(self._flying)
        return [self._staged.popleft() for _ in range(min(free, len(self._staged)))]

    def _note(self, changes: list[Callable[[Run], Run]]) -> None:
        def change(run: Run) -> Run:
            for one in changes:
                run = one(run)
            return run

        if not changes:
            return
        try:
            self._turn.note(change)
        except RunCancelled as cancelled:  # written down; nothing more goes out
            self._trouble = self._trouble or cancelled

    def _upload(self, batch: Batch) -> Activity:
        content = self._ledger.staged(self._turn.run.key, staged_name(batch.number))
        return self._client.import_contacts(batch.file_name, content, batch.list_ids)

    def _land(self) -> list[Callable[[Run], Run]]:
        if not self._flying:
            return []
        ended, _ = wait(self._flying, return_when=FIRST_COMPLETED)
        changes = []
        for future in ended:
            number = self._flying.pop(future)
            try:
                activity = future.result()
            except (ExportError, RunCancelled) as trouble:
                self._trouble = self._trouble or trouble
                if not isinstance(trouble, AnswerLost):
                    changes.append(_outcome(number, None, self._turn.now()))
            else:
                changes.append(_outcome(number, activity, self._turn.now()))
        return changes


def _intent(number: int) -> Callable[[Run], Run]:
    return lambda run: run.with_batch(number, state=BatchState.SENDING)


def staged_name(number: int) -> str:
    """Return the name of a batch's staged file."""
    return f"{number:04d}.csv"


def origin_name(number: int) -> str:
    """Return the name of the file that says which row of which file each line came from."""
    return f"{number:04d}.origin"
