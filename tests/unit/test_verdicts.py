"""What an activity's answer means for its batch, and what of its words is kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.constant_contact.answers import parse_activity
from shared.refusals import named_lines
from shared.runs import Batch, BatchState
from shared.verdicts import judge, refused_lines, without_values

NOW = datetime(2026, 11, 23, 6, tzinfo=UTC)


def judged(rows: int, status: dict[str, int], errors: Sequence[str] = ()) -> Batch:
    """Return a batch of so many rows after a completed activity with these counts."""
    batch = Batch(
        number=0, rows=rows, bytes=1, list_ids=("x",), file_name="f", state=BatchState.SENT
    )
    content: dict[str, Any] = {"activity_id": "a", "state": "completed", "status": status}
    return judge(batch, parse_activity({**content, "activity_errors": list(errors)}), NOW)


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"items_total_count": 0, "person_count": 0, "error_count": 0},
        {"items_total_count": 1, "person_count": 0},
        {"items_total_count": 20},
        {"person_count": 19},
    ],
    ids=["no counts", "zeros", "the header alone", "a row less", "a person less"],
)
def test_rows_that_were_not_counted_are_missing(status: dict[str, int]) -> None:
    assert judged(20, status).verdict == "rows_missing"


@pytest.mark.parametrize("status", [{"items_total_count": 21}, {"person_count": 20}])
def test_the_total_of_an_import_counts_its_header(status: dict[str, int]) -> None:
    batch = judged(20, status)

    assert (batch.verdict, batch.accepted) == ("completed", 20)


@pytest.mark.parametrize(
    "error", ["Address line 2 exceeds 255", "street: line 2 is too long", "Offline 3: no"]
)
def test_a_line_that_is_mentioned_is_not_the_line_that_was_refused(error: str) -> None:
    assert refused_lines([error]) == []


def test_every_line_that_is_named_is_known_however_few_errors_are_kept() -> None:
    errors = [f"Line {number}: Invalid email address" for number in range(2, 152)]

    batch = judged(1000, {"items_total_count": 1001, "correctable_count": 150}, errors)

    assert named_lines(batch) == list(range(2, 152))
    assert len(batch.errors) == 100


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        ("Line 2: Invalid email address", "Line 2: Invalid email address"),
        ("Line 2: ana.o'brien@example.com is invalid", "Line 2: *** is invalid"),
        ("Line 2: Ana Ruiz, +1 617-555-0101: invalid phone", "Line 2: ***: invalid phone"),
        ("city 'Ghent' is longer than 50 characters", "city *** is longer than *** characters"),
    ],
)
def test_of_an_error_the_line_and_the_words_we_know_are_kept(error: str, kept: str) -> None:
    assert without_values(error) == kept


@given(st.text(), st.sampled_from(["", "Line 7: "]))
def test_no_word_that_we_do_not_know_is_kept(said: str, line: str) -> None:
    known = without_values(line + "Invalid email address")

    kept = without_values(f"{line}Invalid email address: zz{said}")

    assert kept.startswith(f"{known}: ***"[:300])
    assert "zz" not in kept
