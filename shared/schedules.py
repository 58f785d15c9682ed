"""When something is due: NCRONTAB for the timer, five-field cron with a time zone for exports."""

from __future__ import annotations

import re
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import CroniterError, croniter

_NUMBER = r"\d{1,2}"
_MONTH = rf"{_NUMBER}|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_DAY = r"[0-6]|sun|mon|tue|wed|thu|fri|sat"


def _field(value: str) -> re.Pattern[str]:
    part = rf"(?:\*|(?:{value})(?:-(?:{value}))?)(?:/[1-9]\d*)?"
    return re.compile(rf"{part}(?:,{part})*", re.ASCII | re.IGNORECASE)


# What NCRONTAB takes in each field; croniter, which knows the ranges, takes more (7, ?, L, R).
_NCRONTAB = tuple(_field(value) for value in (_NUMBER, _NUMBER, _NUMBER, _NUMBER, _MONTH, _DAY))


def parse_ncrontab(text: str) -> None:
    """Refuse with a `ValueError` what the Functions host would not take as a timer's schedule."""
    fields = text.split()
    if len(fields) != 6:
        raise ValueError("has to have six fields, seconds first, e.g. 0 */15 * * * *")
    if not all(known.fullmatch(field) for known, field in zip(_NCRONTAB, fields, strict=True)):
        raise ValueError("uses a sign the Functions host does not know")
    try:
        croniter(text, second_at_beginning=True)
    except CroniterError:
        raise ValueError("is not a schedule; an example: 0 */15 * * * *") from None


def parse_cron(text: str) -> None:
    """Refuse with a `ValueError` what is not a five-field cron expression."""
    if len(text.split()) != 5 or not text.isascii():
        raise ValueError("has to be refresh, manual or five cron fields, e.g. 30 6 * * 1-5")
    try:
        croniter(text).get_next()  # 30 February parses, and never comes
    except CroniterError:
        raise ValueError("is not a cron expression; an example: 30 6 * * 1-5") from None


def parse_time_zone(name: str) -> ZoneInfo:
    """Return the IANA zone *name*, or raise `ValueError`."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("is not a time zone name such as Europe/Berlin") from None


def due_since(cron: str, time_zone: str, now: datetime) -> datetime:
    """Return the latest time up to *now* at which *cron* fell due, in UTC's instant."""
    local = now.astimezone(parse_time_zone(time_zone))
    # croniter's get_prev excludes its start unless the instant matches exactly; match first.
    if croniter.match(cron, local):
        return local.replace(second=0, microsecond=0)
    previous: datetime = croniter(cron, local).get_prev(datetime)
    return previous


def due_next(cron: str, time_zone: str, now: datetime) -> datetime:
    """Return the first time after *now* at which *cron* falls due."""
    local = now.astimezone(parse_time_zone(time_zone))
    following: datetime = croniter(cron, local).get_next(datetime)
    return following
