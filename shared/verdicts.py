"""What an activity's answer means for its batch."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TypeVar

from shared.constant_contact.answers import Activity
from shared.runs import Batch, BatchState

Imported = TypeVar("Imported", bound=Batch)

LONGEST_ACTIVITY = timedelta(hours=24)
"""An activity that has not ended by then is judged not to end; typical are seconds to minutes."""

MAX_ERRORS_KEPT = 100

_ADDRESS = re.compile(r"[^\s<>\"',;:()]+@[^\s<>\"',;:()]+")
_LINE = re.compile(r"\bline (\d+)\b", re.IGNORECASE)


def judge(batch: Imported, activity: Activity | None, now: datetime) -> Imported:
    """Return *batch* as *activity* says it went; unchanged while that has not ended.

    ``completed`` with row errors is not success for those rows: refused and suppressed are
    taken from its counts. Where Constant Contact counted fewer rows than were sent, the missing
    ones are neither accepted nor refused, and the run does not reconcile.

    Args:
        activity: None when Constant Contact does not know it. Records go after ten days; one
            that is not there sooner may be on its way.
    """
    if activity is None or not activity.ended:
        if batch.sent_at and now - batch.sent_at <= LONGEST_ACTIVITY:
            return batch
        verdict = "no_end" if activity else "record_gone"
        return batch.having(state=BatchState.FAILED, verdict=verdict)
    errors = tuple(masked(error) for error in activity.errors[:MAX_ERRORS_KEPT])
    if not activity.succeeded:
        return batch.having(state=BatchState.FAILED, verdict=activity.state, errors=errors)
    seen = rows_seen(activity, batch.rows)
    refused = min(activity.refused, seen)
    suppressed = min(activity.suppressed, seen - refused)
    return batch.having(
        state=BatchState.COMPLETED,
        verdict="completed" if seen == batch.rows else "rows_missing",
        refused=refused,
        suppressed=suppressed,
        accepted=seen - refused - suppressed,
        errors=errors,
    )


def rows_seen(activity: Activity, rows: int) -> int:
    """Return how many of *rows* Constant Contact counted; its total includes the header."""
    counted = activity.items_total - 1 if activity.items_total else activity.persons
    return rows if counted <= 0 else min(rows, counted)


def refused_lines(errors: Iterable[str]) -> list[int]:
    """Return the line numbers that *errors* name; line 1 is the header.

    The form ``Line n: …`` is inherited from v2 and unconfirmed, so any other is passed over.
    """
    found = (_LINE.search(error) for error in errors)
    return sorted({int(match.group(1)) for match in found if match})


def masked(error: str) -> str:
    """Return *error* without the addresses it may quote."""
    return _ADDRESS.sub("***", error)[:300]
