"""Text files are read as a reader other than ours reads them."""

from __future__ import annotations

import csv
import re

from hypothesis import example, given
from hypothesis import strategies as st

from shared.segments.snapshots import Column, Dialect
from shared.segments.tables import read_columns
from tests.unit.containers import Container, snapshot_of

NAMES = ("A", "B", "C")
lines_of_text = st.lists(
    st.lists(st.sampled_from(["a", "é", ",", ",", '"', '"', '""', ";", " ", "\r", "NULL"])).map(
        "".join
    ),
    max_size=15,
)


def rows_of(
    text: str, dialect: Dialect, columns: tuple[str, ...] = NAMES
) -> tuple[dict[int, tuple[str, ...]], list[int]]:
    """Return what is read by number of the record, and the numbers left out."""
    container = Container({"segment.csv": text})
    snapshot = snapshot_of(container, dialect, columns=tuple(Column(name=n) for n in columns))
    read: dict[int, tuple[str, ...]] = {}
    malformed: list[int] = []
    for rows in read_columns(container, snapshot, columns):
        cells = zip(*(column.to_pylist() for column in rows.columns.columns), strict=True)
        read |= dict(zip(rows.records.tolist(), cells, strict=True))
        malformed += rows.malformed
    return read, malformed


@given(lines_of_text, st.sampled_from(["\n", "\r\n"]), st.booleans(), st.sampled_from(",;"))
@example(['5" pipe,"", "open', 'q,"z",'], "\n", True, ",")
@example(['x,5" pipe,"open', 'x,q,"z"'], "\n", True, ",")
@example(['"5" pipe",un"closed', 'q,"z",'], "\r\n", True, ",")
def test_where_quotes_hold_no_line_break_each_line_is_a_record_of_its_own(
    lines: list[str], line_end: str, ended: bool, delimiter: str
) -> None:
    """Every line is as `csv.reader` reads it alone, whatever the quotes before it."""
    lines = ["A,B,C".replace(",", delimiter), *lines, delimiter.join("xyz")]
    text = line_end.join(lines) + (line_end if ended else "")
    expected: dict[int, tuple[str, ...]] = {}
    left_out = []
    number = 0
    for line in re.sub(r"\r(?!\n)", " ", text).split("\n"):
        cells = next(csv.reader([line.removesuffix("\r")], delimiter=delimiter), [])
        if not cells:
            continue
        number += 1
        if len(cells) != len(NAMES):
            left_out.append(number)
        elif number > 1:
            expected[number] = tuple(cells)

    read, malformed = rows_of(text, Dialect(header=True, delimiter=delimiter, line_breaks=False))

    assert malformed == left_out
    assert {n: without_null(cells) for n, cells in read.items()} == {
        n: without_null(cells) for n, cells in expected.items()
    }


def without_null(cells: tuple[str, ...]) -> list[str]:
    """`csv.reader` does not tell whether a cell was quoted."""
    return ["" if cell.strip() == "NULL" else cell for cell in cells]
