"""Rejects: the rows that are not sent, each with its reason, as a CSV a person may open.

The file names segment, file, row and field, and shows the value masked. No cell begins
with a character that a spreadsheet takes for a formula.
https://owasp.org/www-community/attacks/CSV_Injection
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shared.contacts import texts
from shared.contacts.texts import Text

HEADER = b"segment,file,row,field,reason,value\r\n"

_FORMULA = r"^[=+\-@\t\r]"


class Reason(StrEnum):
    """Why a row is not sent. The value is the code in the file; *fate* is the count it adds to."""

    fate: str

    def __new__(cls, code: str, fate: str) -> Reason:
        """Keep the fate beside the code."""
        reason = str.__new__(cls, code)
        reason._value_ = code
        reason.fate = fate
        return reason

    EMAIL_MISSING = ("email_missing", "missing_email")
    EMAIL_INVALID = ("email_invalid", "invalid")
    EMAIL_SEVERAL = ("email_several", "invalid")
    EMAIL_TOO_LONG = ("email_too_long", "invalid")
    ROW_MALFORMED = ("row_malformed", "invalid")
    NUL = ("nul_character", "invalid")
    ROW_TOO_LARGE = ("row_too_large", "invalid")
    EXCLUDED = ("excluded", "excluded")
    NO_CONSENT = ("no_consent", "no_consent")
    DUPLICATE = ("duplicate", "duplicate")

    @property
    def number(self) -> int:
        """A small number for columns of reasons; 0 means none."""
        return _NUMBERS[self]


_NUMBERS = {reason: number for number, reason in enumerate(Reason, start=1)}
_CODES = pa.array(["", *(reason.value for reason in Reason)], pa.string())
_FATES = {number: reason.fate for reason, number in _NUMBERS.items()}


def fates(reasons: npt.NDArray[np.uint8]) -> dict[str, int]:
    """Return how many rows each count of the run gains by these reasons."""
    counts: dict[str, int] = {}
    for number, count in enumerate(np.bincount(reasons, minlength=1).tolist()):
        if number and count:
            counts[_FATES[number]] = counts.get(_FATES[number], 0) + count
    return counts


@dataclass(frozen=True)
class Place:
    """The file that rows are rejected from."""

    segment: str
    file: str

    def lines(
        self,
        records: npt.NDArray[np.int64],
        fields: Text,
        reasons: npt.NDArray[np.uint8],
        values: Text,
    ) -> bytes:
        """Return one line for each row; *values* are masked here."""
        lines = pc.binary_join_element_wise(
            _cell(self.segment),
            _cell(self.file),
            pa.array(records).cast(pa.string()),
            _cells(fields),
            _CODES.take(pa.array(reasons)),
            _cells(masked(values)),
            ",",
        )
        return bytes(texts.data(pc.binary_join_element_wise(lines, "\r\n", "")))


def masked(values: Text) -> Text:
    """Return the values as `shared.masking.masked` does, for a whole column."""
    values = texts.trimmed(texts.on_one_line(values))
    addressed = texts.holding(values, "@") & ~texts.flags(pc.starts_with(values, "@"))
    addresses = pc.replace_substring_regex(
        values.filter(pa.array(addressed)), r"^(.)[^@]*@(.?).*$", r"\1***@\2***"
    )
    others = pc.replace_substring_regex(values.filter(pa.array(~addressed)), r"^(.).*$", r"\1***")
    return pc.replace_with_mask(
        pc.replace_with_mask(values, pa.array(addressed), addresses), pa.array(~addressed), others
    )


def _cell(value: str) -> Any:
    return _cells(pa.array([value], pa.string()))[0]


def _cells(values: Text) -> Text:
    safe = texts.on_some(
        values,
        texts.flags(pc.match_substring_regex(values, _FORMULA)),
        lambda some: pc.binary_join_element_wise("'", some, ""),
    )
    return texts.quoted(safe)
