"""What happened, as structured log records that alerts and the workbook query by name.

Every record's message is the event's name; its attributes are ids, counts, seconds and codes,
never an address, a name or a token.
"""

from __future__ import annotations

import logging
from enum import StrEnum

_log = logging.getLogger("events")


class Event(StrEnum):
    """Names that alerts, the workbook and operators hold on to."""

    RUN_QUEUED = "run_queued"
    RUN_PREPARED = "run_prepared"
    RUN_HELD = "run_held"
    RUN_WAITING = "run_waiting"
    RUN_COMPLETED = "run_completed"
    RUN_FAILED = "run_failed"
    RUN_CANCELLED = "run_cancelled"
    RUN_UNRECONCILED = "run_unreconciled"
    RECONNECT_REQUIRED = "reconnect_required"
    CONNECTION_REFRESHED = "connection_refreshed"
    NOTHING_NEW = "nothing_new"
    CALLS_COUNTED = "calls_counted"
    ACCESS_REFUSED = "access_refused"
    AUDIT = "audit"


_SERIOUS = frozenset({Event.RUN_FAILED, Event.RUN_UNRECONCILED, Event.RECONNECT_REQUIRED})


def emit(event: Event, **attributes: str | int | float | bool | None) -> None:
    """Log *event* with its attributes, which become custom dimensions in Application Insights."""
    level = logging.WARNING if event in _SERIOUS else logging.INFO
    known = {name: value for name, value in attributes.items() if value is not None}
    _log.log(level, event.value, extra=known)
