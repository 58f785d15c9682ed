"""Which trouble is waited out in place, and for how long; all other waits are the queue's."""

from __future__ import annotations

from collections.abc import Iterable

import stamina

from shared.errors import RateLimited, ServiceUnavailable

LONGEST_PAUSE = 30.0
"""Seconds; a longer wait is left to the queue."""


def pause_before_repeating(error: Exception) -> bool | float:
    """Say whether a call is repeated in place, and after how many seconds.

    Only what certainly had no effect is: an `AnswerLost` never.
    """
    match error:
        case RateLimited(retry_after=None):
            return 1.0
        case RateLimited(retry_after=float(seconds)):
            return seconds if seconds <= LONGEST_PAUSE else False
        case ServiceUnavailable():
            return True
        case _:
            return False


def attempts() -> Iterable[stamina.Attempt]:
    """The one policy for calls to Constant Contact: ``for attempt in attempts(): with attempt: …``

    A context and not stamina's decorator, which logs the arguments of what it decorates.
    """
    return stamina.retry_context(
        on=pause_before_repeating, attempts=4, timeout=90.0, wait_initial=0.5
    )
