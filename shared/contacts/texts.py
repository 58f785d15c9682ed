"""Columns of text, cleaned by kernels that run only where the raw bytes call for them.

Every function takes and returns an Arrow array of strings without nulls.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Text = Any  # pyarrow is not typed: a StringArray without nulls
Mask = npt.NDArray[np.bool_]

# White space and invisible marks found around exported values.
_BLANKS = (
    "\t\n\v\f\r \x85\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008"
    "\u2009\u200a\u200b\u2028\u2029\u202f\u205f\u3000\ufeff"
)
_ASCII_BLANKS = "".join(mark for mark in _BLANKS if mark.isascii())
_OUTER = np.zeros(256, np.bool_)  # bytes that a blank begins or ends with
for _mark in _BLANKS:
    _OUTER[[_mark.encode()[0], _mark.encode()[-1]]] = True

_CONTROLS = r"[\x00-\x1f\x7f\x{85}\x{2028}\x{2029}]+"
_WIDE_CONTROLS = ("\x85", "\u2028", "\u2029")


def bounds(column: Text) -> npt.NDArray[np.int32]:
    """Return where each value begins in the column's data, and where the last one ends."""
    if not len(column):
        return np.zeros(1, np.int32)
    offsets = np.frombuffer(column.buffers()[1], np.int32)
    return offsets[column.offset : column.offset + len(column) + 1]


def data(column: Text) -> memoryview:
    """Return the bytes of all values, without a copy; index them with `bounds` less its first."""
    buffer = column.buffers()[2]
    if not len(column) or buffer is None:
        return memoryview(b"")
    at = bounds(column)
    return memoryview(buffer)[at[0] : at[-1]]


def octets(column: Text) -> npt.NDArray[np.uint8]:
    """Return the bytes of all values as numbers, without a copy."""
    return np.frombuffer(data(column), np.uint8)


def is_ascii(raw: npt.NDArray[np.uint8]) -> bool:
    """Tell whether *raw* has no byte of a wider character."""
    return not raw.size or int(raw.max()) < 0x80


def trimmed(column: Text) -> Text:
    """Return the values without blanks and invisible marks around them."""
    raw = octets(column)
    if not raw.size:
        return column
    at = bounds(column).astype(np.intp)
    at -= at[0]
    # Empty values look at a neighbour's byte: at worst a kernel runs that need not.
    firsts, lasts = raw.take(at[:-1], mode="clip"), raw.take(at[1:] - 1, mode="clip")
    blanks = min(int(firsts.min()), int(lasts.min())) <= 0x20
    if is_ascii(raw):
        return pc.ascii_trim(column, characters=_ASCII_BLANKS) if blanks else column
    if blanks or _OUTER[firsts].any() or _OUTER[lasts].any():
        return pc.utf8_trim(column, characters=_BLANKS)
    return column


def on_one_line(column: Text) -> Text:
    """Return the values with each run of control characters and line breaks made one space.

    Constant Contact may count a line break inside quotes as a line of the file.
    """
    raw = octets(column)
    if not raw.size:
        return column
    rows = np.zeros(len(column), np.bool_)
    if int(raw.min()) < 0x20:
        rows |= _rows(column, raw < 0x20)
    rows |= holding(column, "\x7f")
    if not is_ascii(raw):
        for mark in _WIDE_CONTROLS:
            rows |= holding(column, mark)
    return on_some(column, rows, lambda some: pc.replace_substring_regex(some, _CONTROLS, " "))


def shortened(column: Text, limit: int) -> tuple[Text, int]:
    """Return the values cut to *limit* characters, and how many were longer."""
    rows = longer(column, limit)
    cut = on_some(
        column,
        rows,
        lambda some: pc.utf8_rtrim(pc.utf8_slice_codeunits(some, 0, limit), _BLANKS),
    )
    return cut, int(rows.sum())


def longer(column: Text, limit: int) -> Mask:
    """Tell which values have more than *limit* characters."""
    rows = np.asarray(np.diff(bounds(column)) > limit, np.bool_)
    if rows.any():
        found = np.flatnonzero(rows)
        rows[found] = pc.utf8_length(column.take(pa.array(found))).to_numpy() > limit
    return rows


def quoted(column: Text) -> Text:
    """Return the values as cells of an RFC 4180 file with commas, quoted only where needed."""
    raw, content = octets(column), bytes(data(column))
    rows = np.zeros(len(column), np.bool_)
    for mark in b',"\r\n':
        if mark in content:
            rows |= _rows(column, raw == mark)
    return on_some(
        column,
        rows,
        lambda some: pc.binary_join_element_wise(
            '"', pc.replace_substring(some, '"', '""'), '"', ""
        ),
    )


def holding(column: Text, mark: str) -> Mask:
    """Tell which values hold *mark*."""
    content, code = bytes(data(column)), mark.encode()
    if code[0] not in content or code not in content:
        return np.zeros(len(column), np.bool_)
    return flags(pc.match_substring(column, mark))


def _rows(column: Text, places: Mask) -> Mask:
    """Tell which values have any of the *places* in the column's bytes."""
    rows = np.zeros(len(column), np.bool_)
    found = np.flatnonzero(places)
    if found.size:
        at = bounds(column)
        rows[np.searchsorted(at[1:], found + at[0], side="right")] = True
    return rows


def on_some(column: Text, rows: Mask, change: Any) -> Text:
    """Return *column* with *change* made to the values at *rows* only."""
    if not rows.any():
        return column
    mask = pa.array(rows)
    return pc.replace_with_mask(column, mask, change(column.filter(mask)))


def flags(mask: Any) -> Mask:
    """Return an Arrow array of booleans without nulls as numpy's."""
    return np.asarray(mask.to_numpy(zero_copy_only=False), np.bool_)


def empty(column: Text) -> Mask:
    """Tell which values are empty."""
    return np.asarray(np.diff(bounds(column)) == 0, np.bool_)


def picked(column: Text, rows: Mask) -> Text:
    """Return the values at *rows*."""
    return column if rows.all() else column.filter(pa.array(rows))


def repeated(value: str, count: int) -> Text:
    """Return *count* times the same value."""
    return pa.repeat(pa.scalar(value, pa.string()), count)
