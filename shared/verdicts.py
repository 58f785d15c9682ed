"""What an activity's answer means for its batch."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TypeVar

from shared.constant_contact.answers import Activity
from shared.runs import Batch, BatchState

Imported = TypeVar("Imported", bound=Batch)

LONGEST_ACTIVITY = timedelta(hours=24)
"""An activity that has not ended by then is judged not to end; typical are seconds to minutes."""

MAX_ERRORS_KEPT = 100
MAX_LINES_KEPT = 10_000
"""Of a batch; with more refused rows something else is wrong, and the run is kept readable."""

_LINE = re.compile(r"\s*Line (\d+):", re.IGNORECASE)
_VOCABULARY = (
    "a account added address already an and anniversary are at be been birthday birthday_day"
    " birthday_month blank cannot characters city column company company_name contact contacts"
    " correctable could country custom date day deleted does duplicate email empty error exceed"
    " exceeds exist existing failed field fields file first first_name for format found from has"
    " have header in incorrect invalid is it job job_title large last last_name length limit line"
    " list lists longer malformed many maximum missing month more must name no not number of on"
    " one only or over permission phone postal previously processed rejected required row"
    " sms_consent_date sms_number state street street2 than that the this title to too"
    " unknown unrecognized unsubscribed unsupported valid value was were with year zip"
)
_WORDS = frozenset(_VOCABULARY.split())
"""All that is kept of an error: whatever else is in it may be a value of somebody."""


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
    errors = tuple(without_values(error) for error in activity.errors[:MAX_ERRORS_KEPT])
    if not activity.succeeded:
        return batch.having(state=BatchState.FAILED, verdict=activity.state, errors=errors)
    seen = rows_seen(activity, batch.rows)
    refused = min(activity.refused, seen)
    suppressed = min(activity.suppressed, seen - refused)
    named = [line for line in refused_lines(activity.errors) if 2 <= line <= batch.rows + 1]
    return batch.having(
        state=BatchState.COMPLETED,
        verdict="completed" if seen == batch.rows else "rows_missing",
        refused=refused,
        suppressed=suppressed,
        accepted=seen - refused - suppressed,
        errors=errors,
        named=tuple(named[:MAX_LINES_KEPT]) if len(named) <= refused else (),
    )


def give_up(batch: Batch) -> Batch:
    """Return *batch* as it stands when its run fails: what has not ended has failed."""
    if batch.ended:
        return batch
    verdict = "unconfirmed" if batch.reached else "not_sent"
    return batch.having(state=BatchState.FAILED, verdict=verdict)


def rows_seen(activity: Activity, rows: int) -> int:
    """Return how many of *rows* Constant Contact counted; its total includes the header."""
    counted = activity.items_total - 1 if activity.items_total else activity.persons
    return min(rows, counted)


def refused_lines(errors: Iterable[str]) -> list[int]:
    """Return the line numbers that *errors* name; line 1 is the header.

    The form ``Line n: …`` is inherited from v2 and unconfirmed, so any other is passed over.
    """
    found = (_LINE.match(error) for error in errors)
    return sorted({int(match.group(1)) for match in found if match})


def without_values(error: str) -> str:
    """Return the line that *error* names and, of the rest, the words we know.

    ``Line 7: Ana Ruiz, +1 617-555-0101: invalid phone`` becomes ``Line 7: ***: invalid phone``.
    """
    line = _LINE.match(error)
    said = [line.group().strip()] if line else []
    for word in error[line.end() if line else 0 :].split():
        core = word.strip(string.punctuation)
        if core.lower() in _WORDS:
            said.append(word)
        elif said and said[-1].startswith("***"):
            said[-1] = "***" + _ending(word)
        else:
            said.append("***" + _ending(word))
    return " ".join(said)[:300]


def _ending(word: str) -> str:
    return word[-1] if word[-1] in ",:;." else ""
