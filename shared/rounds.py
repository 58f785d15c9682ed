"""The timer's round: start what is due, pick up what was left lying, say what was done."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from shared.catalogue import Catalogue, pin
from shared.connections import Connection, ConnectionState
from shared.constant_contact.budget import Budget
from shared.due import is_due_by_clock, is_due_by_refresh
from shared.errors import Conflict, ExportError, SegmentError, SegmentIncomplete
from shared.events import Event, emit
from shared.exports import Export
from shared.jobs import Jobs, Trigger
from shared.removal import Removal
from shared.roles import Principal, Role
from shared.runs import KEPT, PinnedSnapshot, Run, RunState
from shared.segments.discovery import Segment
from shared.tokens import Tokens

log = logging.getLogger(__name__)

TIMER = Principal("timer", "timer", frozenset({Role.ADMINISTRATOR}))

LOST_AFTER = timedelta(minutes=15)
"""A run without a sign of life for so long has lost its message: locks last ten minutes."""


@dataclass(frozen=True)
class Round:
    """One look at everything that may be due."""

    jobs: Jobs
    catalogue: Catalogue
    tokens: Tokens
    budget: Budget
    removal: Removal
    quiet: timedelta
    now: Callable[[], datetime]

    def make(self) -> str:
        """Do what is due and return a sentence of what was done.

        Trouble with one export does not keep the others waiting.
        """
        done: Counter[str] = Counter()
        connections = {connection.id: connection for connection in self.jobs.connections.all()}
        segments = cache(self.catalogue.segments)  # runs are picked up without them
        export_ids = self.jobs.exports.keys()
        for export_id in export_ids:
            try:
                done[self._look_at(export_id, connections, segments)] += 1
            except ExportError as error:
                log.warning("export %s was passed over: %s: %s", export_id, error.code, error)
                done["passed over"] += 1
        for connection in connections.values():
            done.update(self._care_for(connection))
        done["cleared"] += self._clear_staged()
        usage = self.budget.today()
        emit(Event.CALLS_COUNTED, used=usage.used, limit=usage.limit)
        return ", ".join(f"{count} {what}" for what, count in sorted(done.items()) if count) or (
            "nothing to do"
        )

    def _look_at(
        self,
        export_id: str,
        connections: Mapping[str, Connection],
        segments: Callable[[], list[Segment]],
    ) -> str:
        export, _ = self.jobs.exports.read(export_id)
        connection = connections.get(export.connection_id)
        active = self.jobs.ledger.active(export.id)
        if active:
            return self._pick_up(active)
        last = self.jobs.ledger.last(export.id)
        if not export.enabled:
            return "disabled"
        if connection is None or not connection.works_in(self.jobs.deployment_id):
            return "not connected"
        if is_due_by_clock(export, last, self.now()):
            return self._start(export, "schedule")
        if export.schedule == "refresh":
            return self._start_if_refreshed(export, connection, segments())
        return "not due"

    def _start_if_refreshed(
        self, export: Export, connection: Connection, segments: Sequence[Segment]
    ) -> str:
        last = self.jobs.ledger.last_pinned(export.id)
        try:
            snapshots = pin(export, segments)
        except SegmentIncomplete:
            self._tell_nothing_new(export, last)
            return "waiting for a complete snapshot"
        except SegmentError:
            self._tell_nothing_new(export, last)
            raise
        if not is_due_by_refresh(export, snapshots, last, connection, self.quiet):
            self._tell_nothing_new(export, last)
            return "without news"
        return self._start(export, "refresh", snapshots)

    def _tell_nothing_new(self, export: Export, last: Run | None) -> None:
        """Say for how many days the export has had nothing to send, since *last* or its saving."""
        now = self.now()
        since = last.created_at if last else export.updated_at or now
        days = round((now - since) / timedelta(days=1), 2)
        emit(Event.NOTHING_NEW, export_id=export.id, days=days)

    def _start(
        self, export: Export, trigger: Trigger, snapshots: Sequence[PinnedSnapshot] = ()
    ) -> str:
        try:
            self.jobs.start(export.id, TIMER, trigger=trigger, snapshots=snapshots)
        except Conflict as conflict:  # somebody was faster, or two exports mirror one list
            log.warning("export %s was not started: %s", export.id, conflict)
            return "not started"
        return "started"

    def _pick_up(self, run: Run) -> str:
        """Carry on a run whose message vanished; end a held one that nobody approved."""
        now = self.now()
        if run.state is RunState.HELD and not run.cancel_requested:
            if now - run.entered_at < KEPT:
                return "held"
            self.jobs.expire(run, TIMER)
            return "expired"
        alive_until = max(run.updated_at, run.waiting.until if run.waiting else run.updated_at)
        if now - alive_until < LOST_AFTER:
            return "under way"
        self.jobs.resume(run)
        return "resumed"

    def _clear_staged(self) -> int:
        """Remove staged files that no run needs any more, and return of how many runs."""
        cleared = 0
        for key in self.jobs.ledger.keys_with_staged():
            try:
                cleared += self._clear_if_over(key)
            except ExportError as error:
                log.warning("staged files of %s were passed over: %s: %s", key, error.code, error)
        return cleared

    def _clear_if_over(self, key: str) -> bool:
        run = self.jobs.ledger.runs.find(key)
        if run and not is_over(run, self.now()):
            return False
        self.jobs.ledger.unstage(key)
        return True

    def _care_for(self, connection: Connection) -> Sequence[str]:
        """Return what was done: keep its tokens alive, or finish a removal that was cut off."""
        try:
            if connection.state is ConnectionState.REMOVED:
                self.removal.finish(connection, TIMER)
                return () if connection.removal_complete else ("removed",)
            return ("refreshed",) if self.tokens.care(connection, self.now()) else ()
        except ExportError as error:
            log.warning("connection %s was passed over: %s: %s", connection.id, error.code, error)
            return ()


def is_over(run: Run, now: datetime) -> bool:
    """Say whether the staged files of *run* serve nothing any more."""
    if not run.ended:
        return False
    may_be_retried = run.state is RunState.FAILED and bool(run.failed_batches)
    return not may_be_retried or run.finished_at is None or now - run.finished_at > KEPT
