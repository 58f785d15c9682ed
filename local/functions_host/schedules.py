"""NCRONTAB, the timers' schedules: six fields, seconds first, in UTC.

Day of month and day of week must both match. croniter finds the times; what it takes and the
host does not is refused here. https://github.com/atifaziz/NCrontab/wiki/Crontab-Expression
"""

from __future__ import annotations

import re
from datetime import datetime

from croniter import croniter

from .functions import HostRefused

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
# Field, least, most, names.
_FIELDS: tuple[tuple[str, int, int, list[str]], ...] = (
    ("second", 0, 59, []),
    ("minute", 0, 59, []),
    ("hour", 0, 23, []),
    ("day of month", 1, 31, []),
    ("month", 1, 12, _MONTHS),
    ("day of week", 0, 6, _DAYS),
)
_PART = re.compile(r"(?:\*|(\w+)(?:-(\w+))?)(?:/([1-9]\d*))?")


def check(schedule: str) -> None:
    """Raise `HostRefused` unless the real host takes *schedule*."""
    fields = schedule.split()
    if len(fields) != len(_FIELDS):
        raise HostRefused(f"The schedule '{schedule}' needs six fields, seconds first.")
    for text, (field, least, most, names) in zip(fields, _FIELDS, strict=True):
        for part in text.split(","):
            found = _PART.fullmatch(part)
            values = [value for value in found.groups()[:2] if value] if found else [""]
            if not all(_allowed(value, least, most, names) for value in values):
                raise HostRefused(f"The schedule '{schedule}' has no valid {field}: '{text}'.")


def _allowed(value: str, least: int, most: int, names: list[str]) -> bool:
    if value.isascii() and value.isdigit():
        return least <= int(value) <= most
    return value.lower() in names


def next_after(schedule: str, moment: datetime) -> datetime:
    """Return the first time after *moment* that *schedule* names."""
    times = croniter(schedule, moment, second_at_beginning=True, day_or=False)
    following: datetime = times.get_next(datetime)
    return following
