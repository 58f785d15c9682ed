"""The guard holds what looks wrong and lets pass what does not."""

from __future__ import annotations

from typing import Any

import pytest

from shared.exports import Guard, Mode
from shared.guard import find_concerns, find_removal_concern
from shared.runs import Counts, Exclusion, Run
from tests.documents import a_run, an_export


def run(
    filled: dict[str, int] | None = None, mode: Mode = Mode.ADD_AND_UPDATE, **counts: Any
) -> Run:
    return sized({"Spring": sum(counts.values()) - counts.get("read", 0)}, mode).having(
        counts=Counts(**counts), filled=filled or {}
    )


def sized(sendable: dict[str, int], mode: Mode = Mode.ADD_AND_UPDATE) -> Run:
    return a_run(export=an_export(mode=mode), sendable=sendable)


def codes(now: Run, before: Run | None) -> list[str]:
    return [concern.code for concern in find_concerns(now, before)]


def test_a_run_like_the_last_one_passes() -> None:
    assert codes(run(read=100, staged=98, invalid=2), run(read=100, staged=95, invalid=5)) == []


def test_a_first_run_is_not_held_for_its_size() -> None:
    assert codes(run(read=100, staged=100), None) == []


def test_an_empty_segment_is_held_where_there_was_something() -> None:
    assert codes(run(), run(read=100, staged=100)) == ["segment_empty"]
    assert codes(run(), None) == []
    assert codes(run(mode=Mode.MIRROR), None) == ["segment_empty"]


@pytest.mark.parametrize(
    ("people", "held"), [(70, []), (69, ["segment_shrank"]), (150, []), (151, ["segment_grew"])]
)
def test_the_limits_of_the_export_are_the_last_to_pass(people: int, held: list[str]) -> None:
    assert codes(run(read=people, staged=people), run(read=100, unchanged=100)) == held


def test_each_segment_is_looked_at_by_itself() -> None:
    before = sized({"A": 1000, "B": 100, "C": 0})

    assert codes(sized({"A": 1000, "B": 0, "C": 0}), before) == ["segment_empty"]
    assert codes(sized({"A": 1000, "B": 60, "C": 0}), before) == ["segment_shrank"]
    assert codes(sized({"A": 1000, "B": 200, "C": 0}), before) == ["segment_grew"]
    assert codes(sized({"A": 1000, "B": 100, "C": 0, "D": 0}), before) == []
    assert codes(sized({"A": 1000, "D": 0}, Mode.MIRROR), before) == ["segment_empty"]


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


def excluding(addresses: int, unusable: int = 0, excluded: int = 0, name: str = "Opted_Out") -> Run:
    return a_run(
        export=an_export(exclude_segments=(name,)),
        counts=Counts(read=1000, excluded=excluded, staged=1000 - excluded),
        exclusions=(Exclusion(segment=name, addresses=addresses, unusable=unusable),),
    )


@pytest.mark.parametrize(
    ("now", "before", "held"),
    [
        (excluding(100), None, []),
        (excluding(0), None, ["exclusion_empty"]),
        (excluding(0), excluding(100), ["exclusion_empty"]),
        (excluding(0), excluding(0), []),
        (excluding(0), excluding(100, name="Other"), ["exclusion_empty"]),
        (excluding(70), excluding(100), []),
        (excluding(69), excluding(100), ["exclusion_shrank"]),
        (excluding(100, 1), None, ["exclusion_unusable"]),
        (excluding(100, 3), excluding(100, 2), ["exclusion_unusable"]),
        (excluding(100, 2), excluding(100, 2), []),
        (excluding(100, excluded=1), excluding(100, excluded=90), ["excluded_fell"]),
        (excluding(100, excluded=1), excluding(100, excluded=10), []),
        (a_run(counts=Counts(read=9, staged=9)), excluding(90, excluded=90), []),
    ],
)
def test_an_excluded_segment_that_lets_people_through_is_held(
    now: Run, before: Run | None, held: list[str]
) -> None:
    """What a person has approved once is not asked again; another order is another matter."""
    assert [code for code in codes(now, before) if "exclu" in code] == held


def test_more_than_a_million_people_are_held_once() -> None:
    many = run(read=1_000_001, staged=1_000_001)

    assert codes(many, None) == ["segment_large"]
    assert codes(many, many) == []


def test_removals_may_not_pass_the_export_s_share() -> None:
    guard = Guard(max_removed_percent=20)

    assert find_removal_concern(guard, 20, 100) is None
    concern = find_removal_concern(guard, 21, 100)
    assert concern is not None
    assert concern.code == "removals_large"
    assert "21 of 100" in concern.message
