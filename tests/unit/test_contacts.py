"""What is sent reads back as it was, and what is masked tells nobody who it was."""

from __future__ import annotations

import csv
import datetime as dt
import io

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contacts import dates, texts
from shared.contacts.addresses import judged
from shared.contacts.encoding import CUSTOM, Encoder
from shared.contacts.rejects import HEADER, Place, Reason
from shared.contacts.rejects import masked as masked_column
from shared.masking import masked

anything = st.text(st.characters(codec="utf-8"), max_size=40)
columns_of_text = st.lists(anything, max_size=30)


@given(columns_of_text, st.integers(0, 3))
def test_quoted_cells_read_back_as_they_were(values: list[str], skipped: int) -> None:
    values = [value.replace("\0", "") for value in values]
    column = pa.array(values, pa.string()).slice(skipped)

    cells = texts.quoted(column).to_pylist()

    text = "".join(f"{cell},x\n" for cell in cells)
    read = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert [row[0] for row in read] == values[skipped:]


@given(columns_of_text, st.integers(0, 3))
def test_kernels_that_are_skipped_would_have_changed_nothing(
    values: list[str], skipped: int
) -> None:
    """The look at the raw bytes decides as a look at every value would."""
    column = pa.array(values, pa.string()).slice(skipped)
    alone = [pa.array([value], pa.string()) for value in values[skipped:]]

    for kernel in (texts.trimmed, texts.on_one_line, texts.quoted):
        assert kernel(column).to_pylist() == [kernel(value)[0].as_py() for value in alone]


@given(columns_of_text)
def test_cleaned_values_have_no_blanks_around_them_and_fit_on_one_line(values: list[str]) -> None:
    column = texts.trimmed(texts.on_one_line(pa.array(values, pa.string())))

    for value in column.to_pylist():
        assert value == value.strip("\t\n\r \u00a0\u3000\ufeff")
        assert len(f"{value}|".splitlines()) == 1 or "\v" in value


@given(columns_of_text, st.integers(1, 20))
def test_shortened_values_are_beginnings(values: list[str], limit: int) -> None:
    values = [value.strip() for value in values]

    cut, count = texts.shortened(pa.array(values, pa.string()), limit)

    assert count == sum(len(value) > limit for value in values)
    for value, short in zip(values, cut.to_pylist(), strict=True):
        assert value.startswith(short)
        assert len(short) <= limit
        assert len(value) > limit or short == value


@given(columns_of_text)
def test_a_column_is_masked_as_each_value_is(values: list[str]) -> None:
    cleaned = texts.trimmed(texts.on_one_line(pa.array(values, pa.string()))).to_pylist()

    assert masked_column(pa.array(values, pa.string())).to_pylist() == [
        masked(value) for value in cleaned
    ]


@given(st.emails())
def test_a_masked_address_shows_two_characters_of_it(address: str) -> None:
    local, _, domain = address.rpartition("@")

    assert masked(address) == f"{local[0]}***@{domain[0]}***" or "@" in local


@given(columns_of_text, anything, anything)
def test_no_cell_of_the_rejects_is_a_formula(values: list[str], segment: str, file: str) -> None:
    reasons = np.full(len(values), Reason.EMAIL_INVALID.number, np.uint8)
    records = np.arange(1, len(values) + 1, dtype=np.int64)
    fields = texts.repeated("email", len(values))
    segment, file = segment.replace("\0", ""), file.replace("\0", "")

    lines = Place(segment, file).lines(records, fields, reasons, pa.array(values, pa.string()))

    read = list(csv.reader(io.StringIO((HEADER + lines).decode(), newline=""), strict=True))
    assert len(read) == len(values) + 1
    assert not any(cell[:1] in "=+-@\t\r" for row in read for cell in row if cell)


@given(st.lists(st.dates(dt.date(1, 1, 1)) | st.just(None), max_size=20), st.integers(0, 3))
def test_dates_are_read_as_python_reads_them(days: list[dt.date | None], shape: int) -> None:
    shapes = ("%Y-%m-%d", "%m/%d/%Y", "%Y/%m/%d", "%Y-%m-%dT00:00:00Z")
    text = [
        day.strftime(shapes[shape]).replace(str(day.year), f"{day.year:04}", 1)
        if day and day.year >= 1000
        else day.isoformat()
        if day
        else ""
        for day in days
    ]

    read = dates.parsed(pa.array(text, pa.string()))

    assert read.known.tolist() == [day is not None for day in days]
    for place, day in enumerate(days):
        if day is not None:
            assert (read.year[place], read.month[place], read.day[place]) == (
                day.year,
                day.month,
                day.day,
            )
            assert read.seconds[place] == (day - dt.date(1970, 1, 1)).days * 86_400


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-03-02T05:33:48+00:00", "2026-03-02T05:33:48"),
        ("2026-03-02T05:33:48-08:00", "2026-03-02T13:33:48"),
        ("2026-03-02T05:33:48+0530", "2026-03-02T00:03:48"),
        ("2026-03-02 05:33", "2026-03-02T05:33:00"),
        ("3/2/2026 5:33:48 PM", "2026-03-02T17:33:48"),
        ("3/2/2026 12:00:00 AM", "2026-03-02T00:00:00"),
        ("3/2/2026 12:00 pm", "2026-03-02T12:00:00"),
        ("1969-12-31T23:59:59Z", "1969-12-31T23:59:59"),
    ],
)
def test_moments_are_compared_in_utc(text: str, utc: str) -> None:
    read = dates.parsed(pa.array([text]))

    moment = dt.datetime.fromisoformat(f"{utc}+00:00")
    assert read.known[0]
    assert read.seconds[0] == int(moment.timestamp())


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("yyyy-MM-dd'T'HH:mm:ss'Z'", "2018-01-02T03:04:05Z"),
        ("d/M/yyyy", "2/1/2018"),
        ("dd.MM.yyyy HH:mm", "02.01.2018 03:04"),
        ("M/d/yyyy h:mm:ss tt", "1/2/2018 3:04:05 PM"),
        ("EEE, dd MMM yyyy", "2018-01-02"),
        ("yyyy yyyy", "2018-01-02"),
    ],
)
def test_a_declared_pattern_comes_first_and_one_not_understood_is_passed_over(
    pattern: str, text: str
) -> None:
    read = dates.parsed(pa.array([text]), dates.shapes([pattern]))

    assert (read.year[0], read.month[0], read.day[0]) == (2018, 1, 2)


@given(st.lists(st.emails(), max_size=20))
def test_addresses_that_a_standard_allows_are_not_called_missing(addresses: list[str]) -> None:
    found = judged(pa.array(addresses, pa.string()))

    assert Reason.EMAIL_MISSING.number not in found.faults.tolist()
    for address, key in zip(addresses, found.keys.to_pylist(), strict=True):
        assert key == address.lower()


def test_headings_with_commas_are_quoted_and_custom_fields_go_by_their_name() -> None:
    encoder = Encoder({"cf:tier, old": "Tier", "email": "EMail", "birthday": "Born"})

    assert encoder.header == b'email,"cf:tier, old",birthday_month,birthday_day\n'
    assert encoder.fields == (f"{CUSTOM}tier, old", "birthday")


@pytest.mark.parametrize(
    ("kind", "value", "cell"),
    [
        ("string", "x" * 300, "x" * 255),
        ("text_area", "x" * 300, "x" * 255),
        ("single_select", "x" * 300, ""),
        ("date", "3/2/2026 5:33 PM", "2026-03-02"),
        ("currency", "12.5", "12.5"),
        ("currency", "$12.5", ""),
        ("boolean", "YES", "true"),
        ("unheard of", "as it is", "as it is"),
    ],
)
def test_a_custom_value_takes_the_form_of_its_field(kind: str, value: str, cell: str) -> None:
    encoder = Encoder({"email": "EMail", "cf:field": "Column"}, {"field": kind})

    lines, _, _ = encoder.lines(pa.array(["a@example.com"]), [pa.array([value])])

    assert lines.to_pylist() == [f"a@example.com,{cell}\n"]


def test_reasons_have_a_code_and_a_count() -> None:
    counts = {"missing_email", "invalid", "duplicate", "excluded", "no_consent"}

    assert {reason.fate for reason in Reason} == counts
    assert sorted(reason.number for reason in Reason) == list(range(1, len(Reason) + 1))
