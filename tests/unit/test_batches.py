"""Cutting loses nothing and keeps both limits, for every mix of rows."""

from __future__ import annotations

from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contacts.batches import MAX_IMPORT_BYTES, MAX_IMPORT_LINES, Lines, cut, too_long
from shared.contacts.encoding import LONGEST_CUSTOM_VALUE, TEXT_LIMITS, Encoder

HEADER = b"email,first_name\n"
lines_of_any_width = st.lists(
    st.lists(st.text('aé雅😀,"', max_size=30).map(lambda text: f"{text}\n"), max_size=20),
    max_size=8,
)


def pieces(stretches: list[list[str]]) -> list[Lines]:
    number = iter(range(1_000_000))
    return [
        Lines(
            pa.array(stretch, pa.string()),
            pa.RecordBatch.from_pydict(
                {"record": pa.array([next(number) for _ in stretch], pa.int64())}
            ),
        )
        for stretch in stretches
    ]


@given(lines_of_any_width, st.integers(2, 7), st.integers(150, 400))
def test_cutting_keeps_every_line_in_order_and_both_limits(
    stretches: list[list[str]], max_lines: int, max_bytes: int
) -> None:
    files = list(cut(pieces(stretches), HEADER, max_lines=max_lines, max_bytes=max_bytes))

    lines = [line.encode() for stretch in stretches for line in stretch]
    assert b"".join(file.csv.removeprefix(HEADER) for file in files) == b"".join(lines)
    assert all(file.csv.startswith(HEADER) for file in files)
    assert all(len(file.csv) <= max_bytes for file in files)
    assert all(1 <= file.rows <= max_lines - 1 for file in files)
    records = [record for file in files for record in file.origin.column("record").to_pylist()]
    assert records == list(range(len(lines)))


@given(lines_of_any_width, st.integers(2, 7), st.integers(150, 400))
def test_no_file_could_have_taken_the_first_line_of_the_next(
    stretches: list[list[str]], max_lines: int, max_bytes: int
) -> None:
    files = list(cut(pieces(stretches), HEADER, max_lines=max_lines, max_bytes=max_bytes))

    for file, following in pairwise(files):
        first = following.csv.removeprefix(HEADER).split(b"\n")[0] + b"\n"
        assert file.rows == max_lines - 1 or len(file.csv) + len(first) > max_bytes


def test_slices_of_columns_are_cut_as_columns_are() -> None:
    text = pa.array(["x\n", "a\n", "b\n", "y\n"]).slice(1, 2)
    origin = pa.RecordBatch.from_pydict({"record": pa.array([1, 2])})

    [file] = cut([Lines(text, origin)], HEADER)

    assert file.csv == HEADER + b"a\nb\n"


def test_nothing_to_send_is_no_file() -> None:
    assert list(cut([], HEADER)) == []
    assert list(cut(pieces([[]]), HEADER)) == []


def test_a_line_longer_than_a_file_is_told_beforehand() -> None:
    lines = pa.array(["a" * 9 + "\n", "a" * 10 + "\n"])

    assert too_long(lines, b"h\n", max_bytes=12).tolist() == [False, True]


def test_the_limits_are_those_of_the_import() -> None:
    """40,000 lines with the header, and 3.9 million bytes with the form around the file."""
    assert MAX_IMPORT_LINES == 40_000
    assert MAX_IMPORT_BYTES + 50 * 37 + 1_000 < 3_900_000


@pytest.mark.parametrize("wide", ["😀", "雅", '"'])
def test_the_widest_row_that_can_be_mapped_fits_many_times_into_a_file(wide: str) -> None:
    fields = {field: field for field in TEXT_LIMITS}
    customs = {f"cf:{number}": "x" for number in range(25)}
    encoder = Encoder({"email": "EMail", **fields, **customs})
    columns = [pa.array([wide * LONGEST_CUSTOM_VALUE * 2]) for _ in encoder.fields]

    lines, shortened, _ = encoder.lines(pa.array(["a@example.com"]), columns)

    assert shortened == len(encoder.fields)
    assert 100 * len(lines[0].as_py().encode()) < MAX_IMPORT_BYTES
