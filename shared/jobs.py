"""Runs from start to end: one queue message carries a run one step on.

A message only wakes a run; what is done next, the run document decides. So a message that comes
twice, late or never does no harm: one behind the run's position is dropped, and a run whose
message vanished is found by the timer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from shared import audit
from shared.changes import announce, facts
from shared.connections import Connection, ConnectionState
from shared.constant_contact.client import Client
from shared.errors import (
    Busy,
    DocumentGone,
    ExportDisabled,
    ExportError,
    MirroredTwice,
    NotConnected,
    NotFound,
    NotHeld,
    NothingPrepared,
    NothingToRetry,
    OtherPersonNeeded,
    Overtaken,
    ReconnectRequired,
    RetryExpired,
    RetryOutdated,
    RetrySuperseded,
    RunEnded,
    ServiceUnavailable,
    TerminalError,
    TransientError,
    TroublePersists,
)
from shared.events import Event, emit
from shared.exports import Export, mirrored_elsewhere
from shared.finishing import Finishing
from shared.following import follow, follow_again_in
from shared.ids import new_run_id
from shared.ledger import Ledger, RunCancelled, Turn
from shared.mirroring import Mirroring
from shared.narrowing import may_narrow, narrow
from shared.preparing import Preparing
from shared.roles import Principal, require_use
from shared.runs import STEP_OF, Audit, PinnedSnapshot, Problem, Route, Run, RunState, Waiting
from shared.sending import send
from shared.steps import Step, StepKind
from shared.storage.documents import Records
from shared.storage.leases import Leases
from shared.storage.queue import StepQueue
from shared.tracing import step_span
from shared.waits import LONGEST_TROUBLE, wait_for

log = logging.getLogger(__name__)

BUSY_DELAY = timedelta(seconds=15)
OUTAGE_DELAY = timedelta(seconds=60)
SENDER = "sender"
"""The lease for sending: one run at a time per API key, which all of this app's runs share."""

_DOING = {
    StepKind.PREPARE: "prepared the segment",
    StepKind.SEND: "sent the files",
    StepKind.FOLLOW: "asked what had become of the files",
    StepKind.REMOVE: "took people off the list",
    StepKind.FINISH: "was being closed",
}

Trigger = Literal["refresh", "schedule", "manual", "retry"]


@dataclass(frozen=True)
class Jobs:
    """What it takes to start runs and carry them on."""

    exports: Records[Export]
    connections: Records[Connection]
    ledger: Ledger
    leases: Leases
    queue: StepQueue
    client_for: Callable[[str], Client]
    preparing: Preparing
    mirroring: Mirroring
    finishing: Finishing
    poll: timedelta
    deployment_id: str
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def start(
        self,
        export_id: str,
        who: Principal,
        *,
        trigger: Trigger = "manual",
        hold: bool = False,
        full: bool = False,
        retry_of: str | None = None,
        snapshots: Sequence[PinnedSnapshot] = (),
    ) -> Run:
        """Queue a run of the export and return its document.

        Args:
            retry_of: Id of a failed run whose failed batches are to be sent again.
            snapshots: What to send, where the caller has looked already; passed over where
                the export has come to name other segments since.

        Raises:
            NotFound: There is no such export.
            Forbidden: The connection may not be used by *who*.
            Conflict: A run is under way (with its location), the export is disabled, its
                connection needs a person, another export mirrors its lists, there is nothing to
                retry, or what failed was meant for lists that are no longer the export's.
        """
        export, _ = self.exports.read(export_id)
        connection = self.connections.find(export.connection_id)
        if connection is None or not connection.works_in(self.deployment_id):
            raise NotConnected(
                "The export's connection is not connected; an administrator can do it."
            )
        require_use(who, connection.usable_by)
        if not export.enabled:
            raise ExportDisabled("The export is disabled.")
        if mirrored_elsewhere(export, self.exports.all()):
            raise MirroredTwice(
                "Another export mirrors one of its lists; two would undo each other."
            )
        if retry_of:
            self._require_retriable(export, f"{export_id}/{retry_of}")
        now = self.now()
        named = tuple(snapshot.segment for snapshot in snapshots)
        run = Run(
            id=new_run_id(now),
            export_id=export_id,
            export=export,
            connection_id=export.connection_id,
            trigger="retry" if retry_of else trigger,
            requested_by=who.name,
            hold=hold,
            full=full,
            two_people=export.two_people,
            retry_of=retry_of,
            snapshots=tuple(snapshots) if named == export.segment_names else (),
            audit=(Audit(what="started", who=who.id, name=who.name, at=now),),
            created_at=now,
            entered_at=now,
            updated_at=now,
        )
        self.ledger.open(run)
        self._queue_next(run)
        audit.note(
            "run_started",
            who,
            after={"state": run.state, "trigger": run.trigger, "hold": hold, "full": full},
            run_id=run.id,
            export_id=export_id,
        )
        return run

    def _require_retriable(self, export: Export, key: str) -> None:
        run = self.ledger.runs.find(key)
        if run is None or run.state is not RunState.FAILED or not run.failed_batches:
            raise NothingToRetry("That run has no failed batches to send again.")
        if any(takes_the_place_of(newer, run) for newer in self.ledger.newer(run)):
            raise RetrySuperseded(
                "A newer run of the export has taken its place: retrying this one would put"
                " older values back. Start a new run instead."
            )
        if not self.ledger.has_staged(key):
            raise RetryExpired("The files of that run are gone; start a new run instead.")
        if run.connection_id != export.connection_id or not is_meant_for(export, run):
            raise RetryOutdated(
                "The export's lists or connection have changed since that run; start a new run"
                " instead."
            )

    def approve(self, key: str, who: Principal) -> Run:
        """Let a held run send exactly what it has staged.

        Raises:
            Conflict: The run is not held.
            Forbidden: The export asked for two people and *who* started the run.
        """
        run, _ = self.ledger.runs.read(key)
        connection, _ = self.connections.read(run.connection_id)
        require_use(who, connection.usable_by)
        now = self.now()

        def approved(run: Run) -> Run:
            if run.state is not RunState.HELD or run.cancel_requested:
                raise NotHeld(f"Only a held run can be approved; this one is {run.state}.")
            if run.plan is None:
                raise NothingPrepared(
                    "Nothing was prepared, so there is nothing to send: cancel the run."
                )
            if run.two_people and any(a.who == who.id and a.what == "started" for a in run.audit):
                raise OtherPersonNeeded(
                    "Another person than the one who started the run has to approve it."
                )
            entry = Audit(what="approved", who=who.id, name=who.name, at=now)
            return run.approved(entry)

        run = self.ledger.runs.update(key, approved)
        announce(run)
        audit.note(
            "run_approved",
            who,
            before={"state": RunState.HELD},
            after={"state": run.state},
            run_id=run.id,
            export_id=run.export_id,
        )
        self._queue_next(run)
        return run

    def cancel(self, key: str, who: Principal) -> Run:
        """Ask for the run to be cancelled; it is, before its next call to Constant Contact.

        Raises:
            RunEnded: There is nothing left to cancel.
        """
        now = self.now()
        entry = Audit(what="cancelled", who=who.id, name=who.name, at=now)

        def cancelled(run: Run) -> Run:
            if run.ended:
                raise RunEnded(f"The run has ended already: it is {run.state}.")
            if run.cancel_requested:
                return run
            return run.having(
                cancel_requested=True, error=None, audit=(*run.audit, entry), updated_at=now
            )

        run = self.ledger.runs.update(key, cancelled)
        if entry in run.audit:  # and not somebody else's, who asked before
            _note_cancel_requested("run_cancelled", run, who)
        # Nobody may be at it just now: it may be held, or wait for hours.
        self.queue.send(run.next_step(StepKind.FINISH))
        return run

    def perform(self, step: Step, *, redelivered: bool = False) -> None:
        """Carry the run on by one step.

        Returning completes the message; what comes next is queued already. Raises only what
        nobody foresaw, so that the host delivers the message again.
        """
        with step_span(f"step {step.step}", step.traceparent, run=step.run, position=step.position):
            self._perform(step, redelivered=redelivered)

    def _perform(self, step: Step, *, redelivered: bool) -> None:
        try:
            run = self.ledger.runs.find(step.run)
            if run is None:
                log.warning("dropped a step: its run is gone")
            elif not run.ended and step.position == run.position:
                with self.leases.hold(f"exports/{run.export_id}"):
                    self._take_turn(step)
            elif (redelivered or step.outages) and follows(run, step):
                self._queue_next(run)  # whoever carried it on may not have come to that
        except Overtaken:
            log.info("dropped a step: another worker has carried its run on")
        except Busy:
            self.queue.send(step, BUSY_DELAY)
        except ServiceUnavailable as outage:
            # The run document cannot be written just now, so the message keeps count.
            if step.outages * OUTAGE_DELAY >= LONGEST_TROUBLE:
                raise
            log.warning("a step waits: %s", outage)
            self.queue.send(step.after_outage(), OUTAGE_DELAY)

    def _take_turn(self, step: Step) -> None:
        turn = self.ledger.turn(step.run)
        if turn.run.ended or turn.run.position != step.position:
            return
        turn.begin()
        client = self.client_for(turn.run.connection_id)
        client.still_wanted = turn.check
        turn.calls = lambda: client.calls
        if turn.run.failing:
            self._close(turn, client, RunState.FAILED, turn.run.error)
            return
        try:
            waiting = self._attempt(turn, client)
            if turn.run.state in STEP_OF:
                turn.advance(waiting)
                self._queue_next(turn.run)
        except RunCancelled:
            self._close(turn, client, RunState.CANCELLED, turn.run.error)
        except TerminalError as error:
            log.warning("run %s cannot go on: %s", turn.run.key, error)
            self._close(turn, client, self._ending(turn.run, error), Problem.of(error))

    def _ending(self, run: Run, error: TerminalError) -> RunState:
        """Return how *run* ends for *error*: removing its connection cancels it."""
        if isinstance(error, ReconnectRequired):
            connection = self.connections.find(run.connection_id)
            if connection is None or connection.state is ConnectionState.REMOVED:
                return RunState.CANCELLED
        return RunState.FAILED

    def _close(self, turn: Turn, client: Client, state: RunState, problem: Problem | None) -> None:
        """End the run before its time."""
        self._clear(turn, client)
        self.finishing.end(turn, state, problem)

    def _finish(self, turn: Turn, client: Client) -> None:
        """End the run once Constant Contact has said its last word on it."""
        self._clear(turn, client)
        self.finishing.finish(turn, client)

    def _clear(self, turn: Turn, client: Client) -> None:
        """Delete the run's temporary lists now if that can be, or else with the next run."""
        client.still_wanted = lambda: None
        try:
            self.mirroring.clear(turn, client)
        except ExportError as error:
            log.info("temporary lists stay for now: %s", error.code)

    def _attempt(self, turn: Turn, client: Client) -> Waiting | None:
        """Do what the run's state asks for and return what the next step has to wait for."""
        before = turn.run
        try:
            return self._carry_on(turn, client)
        except (Overtaken, RunCancelled, TerminalError):
            raise
        except NotFound:
            raise DocumentGone from None
        except TransientError as error:
            got_on = turn.run.state is not before.state or turn.run.sent > before.sent
            waiting = wait_for(error, None if got_on else before.waiting, self.now())
            if waiting is None:
                raise TroublePersists(error) from None
            emit(Event.RUN_WAITING, **facts(turn.run, code=waiting.reason))
            return waiting
        except Exception as error:
            trouble = type(error).__name__
            turn.close(lambda run: run.having(last_trouble=trouble))
            raise

    def _carry_on(self, turn: Turn, client: Client) -> Waiting | None:
        if turn.run.cancel_requested:
            raise RunCancelled
        match turn.run.state:
            case RunState.QUEUED | RunState.PREPARING:
                self._prepare(turn, client)
                return None
            case RunState.SENDING:
                return self._send(turn, client)
            case RunState.FOLLOWING:
                return self._follow(turn, client)
            case RunState.REMOVING:
                return self._remove(turn, client)
            case state:
                log.warning("a run that is %s got a step", state)
                return None

    def _prepare(self, turn: Turn, client: Client) -> None:
        if not self.ledger.is_claimed_by(turn.run):
            raise RunCancelled  # another run of the export was faster
        self.preparing.prepare(turn, client)

    def _send(self, turn: Turn, client: Client) -> Waiting:
        with self._as_sender(turn, client):
            self.mirroring.open_lists(turn, client)
            send(turn, client, self.ledger)
        turn.note(lambda run: run.moved_to(RunState.FOLLOWING, self.now()))
        return self._wait_for_activities(turn)

    def _follow(self, turn: Turn, client: Client) -> Waiting | None:
        if not follow(turn, client) or not self._narrow(turn, client):
            return self._wait_for_activities(turn)
        if may_remove(turn.run):
            turn.note(lambda run: run.moved_to(RunState.REMOVING, self.now()))
        else:
            self._finish(turn, client)
        return None

    def _narrow(self, turn: Turn, client: Client) -> bool:
        if not may_narrow(turn.run):
            return True
        with self._as_sender(turn, client):
            return narrow(turn, client, self.ledger)

    @contextmanager
    def _as_sender(self, turn: Turn, client: Client) -> Iterator[None]:
        """Hold the right to upload; a worker that has lost it stops before its next call."""
        with self.leases.hold(SENDER) as lease:

            def check() -> None:
                lease.check()
                turn.check()

            client.still_wanted = check
            try:
                yield
            finally:
                client.still_wanted = turn.check

    def _remove(self, turn: Turn, client: Client) -> Waiting | None:
        if not self.mirroring.carry_on(turn, client):
            return self._wait_for_activities(turn)
        if turn.run.state is RunState.REMOVING:
            self._finish(turn, client)
        return None

    def _wait_for_activities(self, turn: Turn) -> Waiting:
        before = turn.run.waiting
        now = self.now()
        removing = turn.run.state is RunState.REMOVING
        work = "changing the lists" if removing else "working on the uploaded files"
        since = before.since if before and before.reason == "activities" else now
        if removing and turn.run.mirror:
            since = turn.run.mirror.called_at or now  # of this operation, not of the first
        return Waiting(
            reason="activities",
            message=f"Constant Contact is {work}.",
            since=since,
            until=now + follow_again_in(now - since, self.poll),
        )

    def abandon(self, step: Step) -> None:
        """Close the run whose step failed on every delivery."""
        run = self.ledger.runs.find(step.run)
        if run is None or run.ended or run.position != step.position:
            return
        problem = Problem(
            code="step_failed",
            message=f"A fault in the app stopped the run while it {_DOING[step.step]}: it was tried"
            " five times.",
            action="Tell whoever runs the app. What had been sent is counted here, and what had not"
            " is in the rejects; retry the run or start it again.",
        )
        turn = self.ledger.turn(step.run)
        turn.begin()
        self._close(turn, self.client_for(run.connection_id), RunState.FAILED, problem)

    def resume(self, run: Run) -> None:
        """Queue the step of a run whose message vanished; of a held one, what cancels it."""
        self._queue_next(run)

    def expire(self, run: Run, who: Principal) -> None:
        """Ask for the end of a run that nobody approved in time: from here on, nobody can."""
        problem = Problem(
            code="hold_expired",
            message="Nobody approved the run in time, so it went no further.",
            action="Start the run again; it takes the newest snapshot.",
        )
        now = self.now()

        def expired(run: Run) -> Run:
            if run.state is not RunState.HELD or run.cancel_requested:
                return run
            return run.having(cancel_requested=True, error=problem, updated_at=now)

        run = self.ledger.runs.update(run.key, expired)
        if run.updated_at == now:
            _note_cancel_requested("hold_expired", run, who)
        self.queue.send(run.next_step(StepKind.FINISH))

    def _queue_next(self, run: Run) -> None:
        delay = run.waiting.until - self.now() if run.waiting else timedelta(0)
        self.queue.send(run.next_step(STEP_OF.get(run.state, StepKind.FINISH)), delay)


def follows(run: Run, step: Step) -> bool:
    """Say whether *step* was the last that carried *run* on."""
    return step.position + 1 == run.position and run.state in STEP_OF


def _note_cancel_requested(what: str, run: Run, who: Principal) -> None:
    audit.note(
        what,
        who,
        before={"cancel_requested": False},
        after={"cancel_requested": True},
        run_id=run.id,
        export_id=run.export_id,
    )


def is_meant_for(export: Export, failed: Run) -> bool:
    """Say whether the failed batches of a run are for the lists that *export* names today."""
    names = [snapshot.segment for snapshot in failed.snapshots if not snapshot.excluded]
    meant = {names[batch.segment] for batch in failed.failed_batches}
    then, today = (
        {target.name: set(target.list_ids) for target in order.segments}
        for order in (failed.export, export)
    )
    return all(then[name] == today.get(name) for name in meant)


def takes_the_place_of(newer: Run, run: Run) -> bool:
    """Say whether sending the batches of *run* after *newer* would undo what that did."""
    if newer.retry_of == run.id:
        return False
    return newer.reached or newer.state is RunState.COMPLETED


def may_remove(run: Run) -> bool:
    """Say whether everything that must come before removals has: all imports, all counts."""
    mirrors = run.mirror is not None and run.mirror.route is not Route.NOBODY
    return mirrors and not run.failed_batches and run.counts.sent_whole
