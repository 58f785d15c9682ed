"""Duplicates are found as sets of strings would find them, and are decided as the rules say."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contacts.duplicates import SeenAddresses, first_of_each, hashed
from shared.contacts.people import NO_DATE, People

addresses = st.lists(st.text("ab@.é雅", max_size=30), max_size=60)


@given(addresses, st.integers(0, 2**64 - 1), st.integers(0, 3))
def test_equal_values_and_only_they_have_equal_hashes(
    values: list[str], seed: int, skipped: int
) -> None:
    hashes = hashed(pa.array(values, pa.string()).slice(skipped), seed)

    values = values[skipped:]
    assert len(set(hashes.tolist())) == len(set(values))
    assert [values.index(value) for value in values] == [
        hashes.tolist().index(number) for number in hashes.tolist()
    ]
    assert 0 not in hashes


def test_another_seed_gives_other_hashes() -> None:
    values = pa.array(["ana@example.com"])

    assert hashed(values, 1)[0] != hashed(values, 2)[0]


@given(st.lists(st.lists(st.integers(1, 2**64 - 1) | st.integers(1, 5), max_size=50), max_size=8))
def test_a_number_is_new_once(batches: list[list[int]]) -> None:
    seen, known = SeenAddresses(), set[int]()

    for batch in batches:
        _, new = seen.add(np.array(batch, np.uint64))
        for number, is_new in zip(batch, new.tolist(), strict=True):
            assert is_new == (number not in known)
            known.add(number)
    assert len(seen) == len(known)


def test_a_growing_table_keeps_its_numbers_and_their_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.contacts.duplicates._FIRST_SIZE", 64)
    seen = SeenAddresses({"note": np.int64})
    numbers = np.random.default_rng(1).integers(1, 2**63, 5000).astype(np.uint64)
    for batch in np.split(numbers, 50):
        slots, new = seen.add(batch)
        assert new.all()
        seen.columns["note"][slots] = batch.astype(np.int64)

    slots, new = seen.add(numbers)

    assert not new.any()
    assert (seen.columns["note"][slots] == numbers.astype(np.int64)).all()


@given(
    st.lists(st.integers(0, 2**40) | st.integers(0, 3) | st.sampled_from([1, 65537]), max_size=80)
)
def test_the_first_of_each_slot_is_the_first(slots: list[int]) -> None:
    first = first_of_each(np.array(slots, np.int64)).tolist()

    assert first == [slots.index(slot) == place for place, slot in enumerate(slots)]


@st.composite
def exports(draw: st.DrawFn) -> tuple[list[frozenset[str]], list[list[tuple[int, int]]]]:
    """Lists of each segment, and for each segment rows of (person, date)."""
    count = draw(st.integers(1, 4))
    lists = st.frozensets(st.sampled_from("abc"), min_size=1)
    rows = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 3)), max_size=12)
    return (
        draw(st.lists(lists, min_size=count, max_size=count)),
        draw(st.lists(rows, min_size=count, max_size=count)),
    )


@given(exports(), st.sets(st.integers(1, 6), max_size=2), st.booleans())
def test_decisions_are_those_of_the_rules(
    export: tuple[list[frozenset[str]], list[list[tuple[int, int]]]],
    excluded: set[int],
    by_date: bool,
) -> None:
    """Each person gives her values once, and ends on all lists of all her segments."""
    lists, segments = export
    people = People([sorted(ids) for ids in lists], with_excluded=bool(excluded), by_date=by_date)
    if excluded:
        people.exclude(np.array(sorted(excluded), np.uint64))
    if by_date:
        for number, rows in enumerate(segments):
            people.note_date(number, _persons(rows), _dates(rows))
    in_full: dict[int, tuple[int, int]] = {}
    reached: dict[int, set[str]] = {}

    for number, rows in enumerate(segments):
        verdict = people.decide(number, _persons(rows), _dates(rows) if by_date else None)
        assert (
            verdict.in_full.astype(int)
            + verdict.address_only
            + verdict.duplicate
            + verdict.excluded
            == 1
        ).all()
        for place, (person, _) in enumerate(rows):
            assert bool(verdict.excluded[place]) == (person in excluded)
            if verdict.in_full[place]:
                assert person not in in_full
                in_full[person] = (number, place)
            if verdict.in_full[place] or verdict.address_only[place]:
                reached.setdefault(person, set()).update(lists[number])

    present = {person for rows in segments for person, _ in rows} - excluded
    assert set(in_full) == present
    for person in present:
        places = [
            (-date if by_date else 0, number, place)
            for number, rows in enumerate(segments)
            for place, (other, date) in enumerate(rows)
            if other == person
        ]
        assert in_full[person] == min(places)[1:]
        assert reached[person] == set().union(*(lists[number] for _, number, _ in places))


@pytest.mark.parametrize("sets", [6, 7, 8, 62, 63, 64, 99])
def test_a_hundred_sets_of_lists_are_kept_apart(sets: int) -> None:
    """Whatever segments somebody is in, she is added once to each set and not to any twice."""
    lists = [[f"list {number}"] for number in range(sets)] + [["list 0", f"list {sets - 1}"]]
    people = People(lists, with_excluded=True, by_date=False)
    people.exclude(np.array([1], np.uint64))
    rng = np.random.default_rng(1)

    for number in range(sets):
        persons = np.array([1, 2, *(rng.permutation(50) + 3), 2], np.uint64)
        verdict = people.decide(number, persons)
        chosen = verdict.in_full if number == 0 else verdict.address_only
        assert chosen.sum() == 51
        assert verdict.excluded.tolist() == [True, *[False] * 52]
        assert verdict.duplicate.tolist() == [*[False] * 52, True]
    last = people.decide(sets, np.array([2, 99], np.uint64))
    assert (last.duplicate.tolist(), last.in_full.tolist()) == ([True, False], [False, True])


def _persons(rows: list[tuple[int, int]]) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return np.array([person for person, _ in rows], np.uint64)


def _dates(rows: list[tuple[int, int]]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([date or NO_DATE for _, date in rows], np.int64)
