"""How long to wait before going on, decided without waiting."""

from __future__ import annotations

from datetime import datetime, timedelta

from shared.errors import (
    ActivityQueueFull,
    AnswerLost,
    Busy,
    QuotaExceeded,
    RateLimited,
    TransientError,
)
from shared.runs import Waiting

LONGEST_TROUBLE = timedelta(hours=24)
"""Trouble that has gone on for so long without a break does not pass by itself."""

LONGEST_CALL = timedelta(minutes=6)
"""Whatever was to be sent so long ago has been received by now, or never will be: repeats begin
within a minute and a half, the last waits two at most for its slot, and has a minute each for its
body and the answer; and a margin."""

_FIRST = timedelta(seconds=15)
_LONGEST = timedelta(minutes=15)


def wait_for(error: TransientError, before: Waiting | None, now: datetime) -> Waiting | None:
    """Return what to wait for after *error*, or None when it has gone on for a day.

    Args:
        before: What the run waited for last, if it has not got on since.
    """
    troubled = before is not None and before.reason not in {"activities", QuotaExceeded.code}
    since = before.since if before and troubled else now
    match error:
        case QuotaExceeded(until=until):
            return Waiting(
                reason=error.code,
                message="Today's calls to Constant Contact are used up; it goes on at 00:00 UTC.",
                action="Nothing is needed. Partners can ask Constant Contact for a larger quota.",
                since=now,
                until=max(until, now),
            )
        case _ if now - since > LONGEST_TROUBLE:
            return None
        case RateLimited(retry_after=float(seconds)):
            delay = timedelta(seconds=seconds)
        case Busy():
            delay = _FIRST
        case _:
            delay = max(_first(error), min((now - since) / 2, _LONGEST))
    return Waiting(
        reason=error.code,
        message=str(error),
        action="Nothing is needed: the run goes on by itself.",
        since=since,
        until=now + delay,
    )


def may_be_under_way(called_at: datetime | None, now: datetime) -> bool:
    """Say whether a call that was begun then may still take effect, so that it is not repeated."""
    return called_at is not None and now - called_at < LONGEST_CALL


def _first(error: TransientError) -> timedelta:
    match error:
        case ActivityQueueFull():
            return timedelta(seconds=60)
        case AnswerLost():
            return LONGEST_CALL
        case RateLimited():
            return timedelta(seconds=5)
        case _:
            return _FIRST
