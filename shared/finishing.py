"""Finish: what came of a run, and nothing left lying about."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from shared.changes import facts
from shared.constant_contact.client import Client
from shared.errors import ExportError, MirrorStopped, NotFound, Overtaken
from shared.events import Event, emit
from shared.ledger import Ledger, Turn, origin_name, staged_name
from shared.opt_outs import OptOuts
from shared.refusals import refusals
from shared.remembering import Remembering
from shared.runs import Note, Problem, Route, Run, RunState
from shared.verdicts import give_up


@dataclass(frozen=True)
class Finishing:
    """Closes runs. All of it can be repeated, whatever of it was done before."""

    ledger: Ledger
    remembering: Remembering
    opt_outs: OptOuts

    def finish(self, turn: Turn, client: Client) -> None:
        """Close a run whose batches have all ended: completed, or failed if it fell short."""
        count_lists(turn, client)
        self._write_opt_outs(turn, client)
        problem = find_shortfall(turn.run)
        self.end(turn, RunState.FAILED if problem else RunState.COMPLETED, problem)

    def end(self, turn: Turn, state: RunState, problem: Problem | None = None) -> None:
        """Close the run in *state*; staged files go, but those of failed batches.

        Why it ends is written down first, so that a worker that dies here leaves the reason; the
        files go before the last word, so that a run that has ended has left nothing behind.
        """
        if problem:
            gives_up = turn.run.begun and state is RunState.FAILED
            turn.close(
                lambda run: (run.with_batches(give_up) if gives_up else run).having(error=problem)
            )
        run = turn.run
        if run.begun:
            self._name_rows(run)
        if state is RunState.COMPLETED or run.reached:
            self.remembering.remember(run)
        keep = self._wanted_for_a_retry(run) if state is RunState.FAILED else []
        self.ledger.unstage(run.key, keep)
        self._unstage_older(run, state, keep)
        run = turn.close(
            lambda run: run.moved_to(state, turn.now()).having(
                error=problem, reconciled=reconciled(run)
            )
        )
        if run.reconciled is False and state is RunState.COMPLETED:
            emit(Event.RUN_UNRECONCILED, **facts(run))

    def _write_opt_outs(self, turn: Turn, client: Client) -> None:
        """Write who has opted out; trouble with that is a note, since the people are sent."""
        try:
            self.opt_outs.write(turn.run.export, client)
        except Overtaken:
            raise
        except ExportError as error:
            message = f"The file of people who opted out was not written: {error}"
            note = Note(code="opt_outs_not_written", message=message)
            turn.note(lambda run: run.having(notes=(*(n for n in run.notes if n != note), note)))

    def _wanted_for_a_retry(self, run: Run) -> list[str]:
        """Return the names of the staged files that sending the failed batches again takes."""
        if not run.failed_batches:
            return []
        files = [
            name(batch.number)
            for batch in run.failed_batches
            for name in (staged_name, origin_name)
        ]
        return [*files, *self.remembering.wanted_for_a_retry(run)]

    def _unstage_older(self, run: Run, state: RunState, kept: Collection[str]) -> None:
        """Delete what older runs of the export keep for a retry that *run* has made pointless."""
        if run.retry_of and (state is RunState.COMPLETED or kept):
            self.ledger.unstage(f"{run.export_id}/{run.retry_of}")
        if state is RunState.COMPLETED or (run.reached and not run.retry_of):
            for key in self.ledger.keys_with_staged():
                if key.startswith(f"{run.export_id}/") and key < run.key:
                    self.ledger.unstage(key)

    def _name_rows(self, run: Run) -> None:
        """Put the rows that did not arrive, or may not have, behind the rejects."""
        audiences = [snapshot for snapshot in run.snapshots if not snapshot.excluded]
        for batch in run.batches:
            if batch.accepted == batch.rows:
                continue
            try:
                origin = self.ledger.staged(run.key, origin_name(batch.number))
            except NotFound:
                continue  # an earlier try came as far as removing it: the lines are there
            lines = refusals(batch, audiences[batch.segment], origin)
            self.ledger.append_rejects(run.key, lines)


def find_shortfall(run: Run) -> Problem | None:
    """Return what *run*, whose batches have all ended, has not done of what it was to do."""
    if failed := run.failed_batches:
        verdicts = ", ".join(sorted({batch.verdict or "failed" for batch in failed}))
        return Problem(
            code="batches_failed",
            message=f"Constant Contact did not carry out {len(failed)} of the "
            f"{len(run.batches)} uploaded files ({verdicts}).",
            action="Retry the run within seven days: it sends those files again.",
        )
    if run.mirror and run.mirror.route is not Route.NOBODY and not run.mirror.done:
        return Problem.of(
            MirrorStopped(
                "Constant Contact did not account for everybody who was sent, so who has left "
                "the segment was not taken off the list."
            )
        )
    return None


def count_lists(turn: Turn, client: Client) -> None:
    """Read each list's members again: a check that does not rest on the activities."""
    run = turn.run
    checks = []
    for check in run.lists:
        contact_list = client.contact_list(check.list_id, count=True)
        brought = [0] * (1 + max((batch.segment for batch in run.batches), default=0))
        for batch in run.batches:
            if check.list_id in batch.list_ids:
                brought[batch.segment] += batch.accepted
        members = contact_list.count if contact_list else None
        checks.append(check.having(after=members, accepted=max(brought)))
    turn.note(lambda run: run.having(lists=tuple(checks)))


def reconciled(run: Run) -> bool | None:
    """Say whether the run's numbers add up; None where nothing was read or nothing sent.

    The lists are an independent check: whoever was accepted is a member afterwards.
    """
    nothing_sent = not run.reached if run.batches else not run.counts.read
    if nothing_sent:
        return None
    return (
        run.counts.prepared_whole
        and run.counts.sent_whole
        and all(batch.verdict == "completed" for batch in run.batches)
        and all(check.plausible for check in run.lists)
    )
