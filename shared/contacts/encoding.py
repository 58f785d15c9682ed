"""Contacts: mapped columns of a segment, cleaned and encoded as Constant Contact imports them.

Limits and accepted forms: https://developer.constantcontact.com/api_guide/import_contacts.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shared.contacts import dates, texts
from shared.contacts.texts import Text

EMAIL = "email"
CUSTOM = "cf:"
LONGEST_CUSTOM_VALUE = 255

# Text fields and the characters they hold; what is longer is cut.
TEXT_LIMITS: Mapping[str, int] = {
    "first_name": 50,
    "last_name": 50,
    "job_title": 50,
    "company_name": 50,
    "street": 255,
    "city": 50,
    "state": 50,
    "zip": 50,
    "country": 50,
}
# A telephone number cut off is another number, so a longer one is left out.
LONGEST_PHONE = 25

_PLAIN_NUMBER = r"^-?\d{1,30}(\.\d{1,30})?$"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_TRUE = ("true", "1", "yes")
_FALSE = ("false", "0", "no")


@dataclass(frozen=True)
class Cells:
    """Encoded cells under their headings, and what had to be changed for them.

    Attributes:
        columns: One for each heading, quoted where needed.
        shortened: Values cut to their limit.
        left_out: Values that are not sent because they cannot be read as their field.
    """

    columns: tuple[Text, ...]
    shortened: int
    left_out: int


class Encoder:
    """Encodes the fields of a mapping, the address first, as lines of an import file."""

    def __init__(
        self,
        mapping: Mapping[str, str],
        custom_fields: Mapping[str, str] | None = None,
        date_shapes: Sequence[str] = dates.USUAL,
    ) -> None:
        """Prepare for a mapping.

        Args:
            mapping: Field to column, the keys as in the export document.
            custom_fields: Type of each custom field by its name at Constant Contact
                (``string``, ``date``, ``number``, …); text where it is not named.
            date_shapes: What dates are read by; see `dates.shapes`.
        """
        self._types = custom_fields or {}
        self._shapes = date_shapes
        self.fields = tuple(field for field in mapping if field != EMAIL)
        self.headings = (EMAIL, *(name for field in self.fields for name in _headings(field)))
        names = texts.quoted(pa.array(self.headings, pa.string())).to_pylist()
        self.header = (",".join(names) + "\n").encode()
        self._blank_line_end = "," * (len(self.headings) - 1) + "\n"

    def lines(self, emails: Text, columns: Sequence[Text]) -> tuple[Text, int, int]:
        """Return a line for each contact, and how many values were shortened and left out.

        Args:
            emails: Judged addresses.
            columns: For each of *fields*, in their order, the values as they were read.
        """
        cells = [texts.quoted(emails)]
        shortened = left_out = 0
        for field, column in zip(self.fields, columns, strict=True):
            cleaned = self._cleaned(field, texts.trimmed(texts.on_one_line(column)))
            cells.extend(cleaned.columns)
            shortened += cleaned.shortened
            left_out += cleaned.left_out
        cells[-1] = pc.binary_join_element_wise(cells[-1], "\n", "")
        lines = cells[0] if len(cells) == 1 else pc.binary_join_element_wise(*cells, ",")
        return lines, shortened, left_out

    def address_lines(self, emails: Text) -> Text:
        """Return lines with the address alone: a blank cell changes nothing on the contact."""
        return pc.binary_join_element_wise(texts.quoted(emails), self._blank_line_end, "")

    def _cleaned(self, field: str, column: Text) -> Cells:
        if field in TEXT_LIMITS:
            return _text(column, TEXT_LIMITS[field])
        match field:
            case "phone":
                return _whole(column, LONGEST_PHONE)
            case "birthday":
                return _birthday(column, self._shapes)
            case "anniversary":
                return _date(column, self._shapes)
        match self._types.get(field.removeprefix(CUSTOM), "string"):
            case "date":
                return _date(column, self._shapes)
            case "number" | "currency":
                return _sieved(column, _PLAIN_NUMBER, _plain_number)
            case "boolean":
                return _boolean(column)
            case "single_select" | "multi_select" | "datetime":
                return _whole(column, LONGEST_CUSTOM_VALUE)
            case _:
                return _text(column, LONGEST_CUSTOM_VALUE)


def _headings(field: str) -> tuple[str, ...]:
    return ("birthday_month", "birthday_day") if field == "birthday" else (field,)


def _text(column: Text, limit: int) -> Cells:
    cut, shortened = texts.shortened(column, limit)
    return Cells((texts.quoted(cut),), shortened, 0)


def _whole(column: Text, limit: int) -> Cells:
    """Leave out what is longer than *limit*: a part of it would be another value."""
    long = texts.longer(column, limit)
    kept = texts.on_some(column, long, lambda some: texts.repeated("", len(some)))
    return Cells((texts.quoted(kept),), 0, int(long.sum()))


def _date(column: Text, shapes: Sequence[str]) -> Cells:
    read = dates.parsed(column, shapes)
    year = pc.utf8_lpad(pa.array(read.year).cast(pa.string()), 4, "0")
    month = pc.utf8_lpad(pa.array(read.month).cast(pa.string()), 2, "0")
    day = pc.utf8_lpad(pa.array(read.day).cast(pa.string()), 2, "0")
    text = pc.binary_join_element_wise(year, month, day, "-")
    return Cells((pc.if_else(pa.array(read.known), text, ""),), 0, _unread(column, read.known))


_ONE_TO_31 = pa.array(["", *(str(number) for number in range(1, 32))], pa.string())


def _birthday(column: Text, shapes: Sequence[str]) -> Cells:
    read = dates.parsed(column, shapes)
    return Cells(
        (_ONE_TO_31.take(pa.array(read.month)), _ONE_TO_31.take(pa.array(read.day))),
        0,
        _unread(column, read.known),
    )


def _boolean(column: Text) -> Cells:
    words = pc.utf8_lower(column)
    true = pc.is_in(words, pa.array(_TRUE))
    false = pc.is_in(words, pa.array(_FALSE))
    cells = pc.if_else(true, "true", pc.if_else(false, "false", ""))
    return Cells((cells,), 0, _unread(column, texts.flags(pc.or_(true, false))))


def _sieved(column: Text, plain: str, reading: Callable[[str], str | None]) -> Cells:
    """Keep what is *plain*, and look at the few others one by one."""
    fine = texts.flags(pc.match_substring_regex(column, plain)) | texts.empty(column)
    if fine.all():
        return Cells((column,), 0, 0)
    doubtful = [reading(value) for value in column.filter(pa.array(~fine)).to_pylist()]
    values = pa.array([value or "" for value in doubtful], pa.string())
    cells = pc.replace_with_mask(column, pa.array(~fine), values)
    return Cells((cells,), 0, sum(value is None for value in doubtful))


def _plain_number(value: str) -> str | None:
    """Return a number with a point and nothing else, None if it may be another than it seems."""
    if not _NUMBER.fullmatch(value):
        return None
    number = Decimal(value)
    return f"{number:f}" if abs(number.adjusted()) <= 30 else None


def _unread(column: Text, known: Any) -> int:
    return int(np.sum(~known & ~texts.empty(column)))
