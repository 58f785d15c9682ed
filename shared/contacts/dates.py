"""Dates in columns of text: what year, month and day each value says.

Accepted are ISO 8601, years first with slashes, and the US order ``M/D/YYYY``, each with
or without a time, which is ignored. A day-first date is read only where the metadata
declares its pattern; it is never guessed, nor is it read month first where the metadata
says that days come first or that the culture is another.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shared.contacts import texts
from shared.contacts.texts import Mask, Text

Numbers = npt.NDArray[np.int64]

_TIME = (
    r"(?:[T ]+(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,]\d+)?)?"
    r"(?: ?(?P<half>[AaPp])[Mm])?(?: ?(?P<zone>Z|UTC|[+-]\d{2}:?\d{2}))?)?$"
)
_YEAR_FIRST = (
    r"^(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})" + _TIME,
    r"^(?P<year>\d{4})/(?P<month>\d{1,2})/(?P<day>\d{1,2})" + _TIME,
)
_MONTH_FIRST = r"^(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>\d{4})" + _TIME
_MONTH_FIRST_CULTURE = "en-us"
_MONTH_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)

# What Java-style letters of a declared pattern stand for; the order tells long from short.
_LETTERS = (
    ("yyyy", r"(?P<year>\d{4})"),
    ("MM", r"(?P<month>\d{2})"),
    ("M", r"(?P<month>\d{1,2})"),
    ("dd", r"(?P<day>\d{2})"),
    ("d", r"(?P<day>\d{1,2})"),
    ("HH", r"(?P<hour>\d{2})"),
    ("H", r"(?P<hour>\d{1,2})"),
    ("hh", r"(?P<hour>\d{2})"),
    ("h", r"(?P<hour>\d{1,2})"),
    ("mm", r"(?P<minute>\d{2})"),
    ("ss", r"(?P<second>\d{2})"),
    ("SSS", r"\d{3}"),
    ("a", r"(?P<half>[AaPp])[Mm]"),
    ("tt", r"(?P<half>[AaPp])[Mm]"),
    ("XXX", r"(?P<zone>Z|[+-]\d{2}:\d{2})"),
)


@dataclass(frozen=True)
class Dates:
    """A column of dates; the numbers mean something only where *known*.

    *seconds* counts from 1970 in UTC; a time without a zone is taken as UTC.
    """

    year: Numbers
    month: Numbers
    day: Numbers
    seconds: Numbers
    known: Mask


def shapes(patterns: Sequence[str] = (), culture: str | None = None) -> tuple[str, ...]:
    """Return the expressions that dates are read by, in the order they are tried.

    Args:
        patterns: Declared in Java style (``dd.MM.yyyy``), tried first.
        culture: Declared; ``en-US`` is assumed where none is.
    """
    declared = [shape for pattern in patterns if (shape := _shape(pattern)) is not None]
    other_order = (culture or _MONTH_FIRST_CULTURE).casefold() != _MONTH_FIRST_CULTURE
    if other_order or any(map(_is_day_first, patterns)):
        return (*declared, *_YEAR_FIRST)
    return (*declared, *_YEAR_FIRST, _MONTH_FIRST)


def parsed(column: Text, shapes: Sequence[str] | None = None) -> Dates:
    """Return what each value of a trimmed column says, read by *shapes* or the usual ones."""
    count = len(column)
    parts = {name: np.zeros(count, np.int64) for name in ("year", "month", "day", "seconds")}
    known = np.zeros(count, np.bool_)
    left = np.flatnonzero(~texts.empty(column))
    for shape in USUAL if shapes is None else shapes:
        if not left.size:
            break
        some = column if left.size == count else column.take(pa.array(left))
        found = pc.extract_regex(some, shape)
        matched = texts.flags(found.is_valid())
        if not matched.any():
            continue
        rows = left[matched]
        found = found.filter(pa.array(matched))
        numbers = _numbers(found)
        right = _on_calendar(numbers["year"], numbers["month"], numbers["day"])
        for name, values in parts.items():
            values[rows[right]] = numbers[name][right]
        known[rows[right]] = True
        # A value in a declared shape that is no date is not tried in another order.
        left = left[~matched]
    return Dates(**parts, known=known)


def _numbers(found: Any) -> dict[str, Numbers]:
    names = {found.type.field(index).name for index in range(found.type.num_fields)}

    def number(name: str) -> Numbers:
        if name not in names:
            return np.zeros(len(found), np.int64)
        digits = pc.struct_field(found, name)
        digits = pc.if_else(pc.equal(digits, ""), "0", digits)
        return np.asarray(digits.cast(pa.int64()).to_numpy(zero_copy_only=False), np.int64)

    year, month, day, hour = number("year"), number("month"), number("day"), number("hour")
    if "half" in names:
        half = pc.utf8_lower(pc.struct_field(found, "half"))
        hour = np.where(texts.flags(pc.equal(half, "p")) & (hour < 12), hour + 12, hour)
        hour = np.where(texts.flags(pc.equal(half, "a")) & (hour == 12), 0, hour)
    seconds = _days(year, month, day) * 86_400 + hour * 3600
    seconds += number("minute") * 60 + number("second")
    if "zone" in names:
        zone = pc.replace_substring(pc.struct_field(found, "zone"), ":", "")
        zone = pc.if_else(pc.match_substring_regex(zone, r"^[+-]\d{4}$"), zone, "+0000")
        offset = pc.utf8_slice_codeunits(zone, 1, 5).cast(pa.int64())
        offset = np.asarray(offset.to_numpy(zero_copy_only=False), np.int64)
        offset = (offset // 100 * 60 + offset % 100) * 60
        seconds -= np.where(texts.flags(pc.starts_with(zone, "-")), -offset, offset)
    return {"year": year, "month": month, "day": day, "seconds": seconds}


def _on_calendar(year: Numbers, month: Numbers, day: Numbers) -> Mask:
    inside = (month >= 1) & (month <= 12) & (day >= 1) & (year >= 1)
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    last = _MONTH_DAYS[np.where(inside, month, 0)] + ((month == 2) & leap)
    return np.asarray(inside & (day <= last), np.bool_)


def _days(year: Numbers, month: Numbers, day: Numbers) -> Numbers:
    """Return days since 1970-01-01 (http://howardhinnant.github.io/date_algorithms.html)."""
    year = year - (month <= 2)
    era = year // 400
    in_era = year - era * 400
    in_year = (153 * (month + np.where(month > 2, -3, 9)) + 2) // 5 + day - 1
    days: Numbers = era * 146_097 + in_era * 365 + in_era // 4 - in_era // 100 + in_year - 719_468
    return days


def _is_day_first(pattern: str) -> bool:
    """Tell whether a Java-style pattern has the day before the month, whatever else it holds."""
    letters = re.sub("'[^']*'", "", pattern)
    return -1 < letters.find("d") < letters.find("M")


def _shape(pattern: str) -> str | None:
    """Return the expression for a Java-style pattern, None if it uses letters not known here."""
    shape, rest = "", pattern
    while rest:
        if rest.startswith("'") and "'" in rest[1:]:
            literal, _, rest = rest[1:].partition("'")
            shape += re.escape(literal)
            continue
        letters = next((pair for pair in _LETTERS if rest.startswith(pair[0])), None)
        if letters is not None:
            shape += letters[1]
            rest = rest[len(letters[0]) :]
        elif rest[0].isalpha():
            return None
        else:
            shape += re.escape(rest[0])
            rest = rest[1:]
    names = re.findall(r"\?P<(\w+)>", shape)
    if len(names) != len(set(names)) or not {"year", "month", "day"} <= set(names):
        return None
    return f"^{shape}$"


USUAL = shapes()
