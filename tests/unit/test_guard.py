"""The guard holds what looks wrong and lets pass what does not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from shared.exports import Export, Guard, Mode, SegmentTarget
from shared.guard import find_concerns, find_removal_concern
from shared.runs import Counts, Run

NOW = datetime(2026, 11, 23, tzinfo=UTC)
EXPORT = Export(
    id="spring",
    display_name="Spring",
    connection_id="main",
    segments=(SegmentTarget(name="Spring", list_ids=("7a1d5f04-2c0e-11f0-9d3a-0242ac120002",)),),
    mapping={"email": "EMail"},
)


def run(filled: dict[str, int] | None = None, **counts: Any) -> Run:
    return Run(
        id="20261123T060000Z-7f3a9c",
        export_id="spring",
        requested_by="timer",
        counts=Counts(**counts),
        filled=filled or {},
        created_at=NOW,
        entered_at=NOW,
        updated_at=NOW,
    )


def codes(now: Run, before: Run | None, export: Export = EXPORT) -> list[str]:
    return [concern.code for concern in find_concerns(export, now, before)]


def test_a_run_like_the_last_one_passes() -> None:
    assert codes(run(read=100, staged=98, invalid=2), run(read=100, staged=95, invalid=5)) == []


def test_a_first_run_is_not_held_for_its_size() -> None:
    assert codes(run(read=100, staged=100), None) == []


def test_an_empty_segment_is_held_where_there_was_something() -> None:
    assert codes(run(), run(read=100, staged=100)) == ["segment_empty"]
    assert codes(run(), None) == []
    assert codes(run(), None, EXPORT.having(mode=Mode.MIRROR)) == ["segment_empty"]


@pytest.mark.parametrize(
    ("people", "held"), [(70, []), (69, ["segment_shrank"]), (400, []), (401, ["segment_grew"])]
)
def test_the_limits_of_the_export_are_the_last_to_pass(people: int, held: list[str]) -> None:
    assert codes(run(read=people, staged=people), run(read=100, unchanged=100)) == held


def test_addresses_that_no_longer_look_like_addresses_are_held() -> None:
    assert codes(run(read=100, staged=40, invalid=60), None) == ["addresses_unusable"]
    assert codes(run(read=100, staged=75, missing_email=25), run(read=100, staged=100)) == [
        "addresses_unusable"
    ]


def test_a_field_that_many_had_and_nobody_has_is_held() -> None:
    before = run({"first_name": 90, "city": 3}, read=100, staged=100)

    assert codes(run({"first_name": 0, "city": 0}, read=100, staged=100), before) == [
        "column_empty"
    ]


def test_more_than_a_million_people_are_held_once() -> None:
    many = run(read=1_000_001, staged=1_000_001)

    assert codes(many, None) == ["segment_large"]
    assert codes(many, many) == []


def test_removals_may_not_pass_the_export_s_share() -> None:
    export = EXPORT.having(guard=Guard(max_removed_percent=20))

    assert find_removal_concern(export, 20, 100) is None
    concern = find_removal_concern(export, 21, 100)
    assert concern is not None
    assert concern.code == "removals_large"
    assert "21 of 100" in concern.message
