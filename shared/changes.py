"""Says of each state that a run enters that it has: one event, where the document was written.

A worker that is killed right after that write has not said it: the document is the record.
"""

from __future__ import annotations

from shared.events import Event, emit
from shared.runs import Run, RunState

ENTERED = {
    RunState.QUEUED: Event.RUN_QUEUED,
    RunState.PREPARING: Event.RUN_PREPARING,
    RunState.HELD: Event.RUN_HELD,
    RunState.SENDING: Event.RUN_SENDING,
    RunState.FOLLOWING: Event.RUN_FOLLOWING,
    RunState.REMOVING: Event.RUN_REMOVING,
    RunState.COMPLETED: Event.RUN_COMPLETED,
    RunState.FAILED: Event.RUN_FAILED,
    RunState.CANCELLED: Event.RUN_CANCELLED,
}


def announce(run: Run) -> None:
    """Say that *run* has entered its state."""
    emit(ENTERED[run.state], **facts(run))


def facts(run: Run, code: str | None = None) -> dict[str, str | int | float | bool | None]:
    """Return what an event says of *run*: ids, counts and seconds of work, not of approval.

    Args:
        code: What the event is about, where that is not the run's error.
    """
    worked = sum(spent for state, spent in run.phases.items() if state != RunState.HELD)
    return {
        "run_id": run.id,
        "export_id": run.export_id,
        "state": run.state.value,
        "trigger": run.trigger,
        "code": code or (run.error.code if run.error else None),
        "seconds": round(worked, 3),
        "calls": run.calls,
        "reconciled": run.reconciled,
        **run.counts.model_dump(),
    }
