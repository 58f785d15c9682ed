"""What happened, as log records: a sentence for people, attributes for alerts and the workbook.

The attribute ``event`` has the event's name, by which they are queried; the others are ids,
counts, seconds and codes, never an address, a name or a token.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from enum import StrEnum

_log = logging.getLogger("events")


class Event(StrEnum):
    """Names that alerts, the workbook and operators hold on to."""

    RUN_QUEUED = "run_queued"
    RUN_PREPARING = "run_preparing"
    RUN_PREPARED = "run_prepared"
    RUN_HELD = "run_held"
    RUN_SENDING = "run_sending"
    RUN_FOLLOWING = "run_following"
    RUN_REMOVING = "run_removing"
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


_RUN = "{export_id}/{run_id}"
SENTENCES: Mapping[Event, str] = {
    Event.RUN_QUEUED: f"{_RUN} by {{trigger}}",
    Event.RUN_PREPARING: f"{_RUN}",
    Event.RUN_PREPARED: f"{_RUN}, {{read:,}} rows read, {{staged:,}} to send",
    Event.RUN_HELD: f"{_RUN}, {{staged:,}} to send, waits for approval ({{code}})",
    Event.RUN_SENDING: f"{_RUN}, {{staged:,}} to send",
    Event.RUN_FOLLOWING: f"{_RUN}, {{staged:,}} sent",
    Event.RUN_REMOVING: f"{_RUN}, {{accepted:,}} accepted",
    Event.RUN_WAITING: f"{_RUN} for {{code}}",
    Event.RUN_COMPLETED: f"{_RUN}, {{accepted:,}} accepted, {{refused:,}} refused, "
    "{suppressed:,} suppressed, {removed:,} removed, in {seconds:,} s",
    Event.RUN_FAILED: f"{_RUN} with {{code}}, {{accepted:,}} of {{staged:,}} accepted",
    Event.RUN_CANCELLED: f"{_RUN}, {{accepted:,}} of {{staged:,}} accepted",
    Event.RUN_UNRECONCILED: f"{_RUN}, {{staged:,}} sent, {{accepted:,}} accepted, "
    "{refused:,} refused, {suppressed:,} suppressed",
    Event.RECONNECT_REQUIRED: "{connection_id} because of {code}",
    Event.CONNECTION_REFRESHED: "{connection_id}",
    Event.NOTHING_NEW: "{export_id} for {days} days",
    Event.CALLS_COUNTED: "{used:,} of {limit:,} today",
    Event.ACCESS_REFUSED: "{code}",
    Event.AUDIT: "{what} by {who}",
}
"""What follows the event's name in the message."""


def emit(event: Event, **attributes: str | int | float | bool | None) -> None:
    """Log *event* with its attributes, which become custom dimensions in Application Insights."""
    level = logging.WARNING if event in _SERIOUS else logging.INFO
    known = {name: value for name, value in attributes.items() if value is not None}
    told = SENTENCES[event].format_map({"code": "as asked", **known})
    _log.log(level, "%s: %s", event.value, told, extra={**known, "event": event.value})
