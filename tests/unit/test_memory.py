"""The memory tells who is unchanged, and keeps nobody's address."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from shared.contacts.memory import Marks, Memory, leavers, of_people
from shared.contacts.preparation import Identities

SECRET = b"k" * 32
PEOPLE = st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=20), max_size=30)


def text(values: object) -> pa.Array:
    return pa.array(values, pa.string())


def remembered(people: dict[str, str]) -> Memory:
    marks = Marks.of(text(list(people)), text(list(people.values())), SECRET)
    return Memory(SECRET, {0: marks.sorted()})


@given(before=PEOPLE, now=PEOPLE)
def test_exactly_those_with_the_same_line_are_unchanged(
    before: dict[str, str], now: dict[str, str]
) -> None:
    same = remembered(before).unchanged(0, text(list(now)), text(list(now.values())))

    assert same.tolist() == [before.get(key) == line for key, line in now.items()]


@given(before=PEOPLE, now=PEOPLE)
def test_exactly_those_who_are_not_there_any_more_have_left(
    before: dict[str, str], now: dict[str, str]
) -> None:
    memory = remembered(before)
    memory.unchanged(0, text(list(now)), text(list(now.values())))

    assert len(memory.left(0)) == len(set(before) - set(now))


@given(PEOPLE)
def test_what_is_packed_is_read_back(people: dict[str, str]) -> None:
    marks = Marks.of(text(list(people)), text(list(people.values())), SECRET).sorted()

    back = Marks.parse(marks.packed())

    assert np.array_equal(back.find(marks), np.arange(len(people)))


def test_someone_who_is_not_sent_but_present_has_not_left() -> None:
    memory = remembered({"ana@example.com": "1", "bo@example.com": "2"})
    memory.present(0, text(["ana@example.com"]))

    assert len(memory.left(0)) == 1


def test_someone_in_another_segment_of_the_list_has_not_left() -> None:
    left = Marks.of(text(["ana@example.com"]), text([""]), SECRET)
    other = Marks.of(text(["ana@example.com"]), text(["else"]), SECRET)

    assert len(leavers(left, [other])) == 0


def test_someone_who_left_two_segments_of_a_list_leaves_it_once() -> None:
    left = Marks.of(text(["ana@example.com", "ana@example.com"]), text(["1", "2"]), SECRET)

    assert len(leavers(left, [])) == 1


def test_an_earlier_id_is_followed_over_a_merge() -> None:
    keys, lines = text(["old@example.com"]), text(["1"])
    before = Marks.of(keys, lines, SECRET, text(["id-1"]))
    memory = Memory(SECRET, {0: before})

    memory.unchanged(
        0, text(["new@example.com"]), text(["1"]), Identities(text(["id-9"]), text(["id-0; id-1"]))
    )

    assert (memory.new, memory.changed, memory.moved(0)) == (0, 1, 1)


def test_an_earlier_id_that_is_blank_or_unknown_is_nobody_s() -> None:
    before = Marks.of(text(["old@example.com"]), text(["1"]), SECRET, text(["id-1"]))
    memory = Memory(SECRET, {0: before})

    memory.unchanged(
        0,
        text(["moved@example.com", "blank@example.com", "unknown@example.com"]),
        text(["1", "2", "3"]),
        Identities(text(["id-1", "id-8", "id-9"]), text(["", " ; ", "id-7;"])),
    )

    assert (memory.new, memory.changed, memory.moved(0)) == (2, 1, 1)


def test_of_a_person_who_took_the_place_of_two_both_addresses_have_moved() -> None:
    people = text(["id-1", "id-2"])
    before = Marks.of(text(["a@example.com", "b@example.com"]), text(["1", "2"]), SECRET, people)
    memory = Memory(SECRET, {0: before.sorted()})
    identities = Identities(text(["id-9"]), text(["id-1;id-2"]))

    memory.unchanged(0, text(["c@example.com"]), text(["3"]), identities)

    assert (memory.changed, memory.moved(0)) == (1, 2)
    assert of_people(memory.left(0), memory.staged(0)).all()


def test_someone_whose_row_has_no_address_any_more_has_not_left() -> None:
    before = Marks.of(text(["ana@example.com"]), text(["1"]), SECRET, text(["id-1"]))
    memory = Memory(SECRET, {0: before})

    memory.present(0, text([""]), Identities(text(["id-1"]), None))

    assert len(memory.left(0)) == 0
    assert np.array_equal(memory.unsent(0).address, before.address)


def test_someone_of_whom_nothing_was_accepted_is_sent_and_still_can_leave() -> None:
    people = {"ana@example.com": "1", "bo@example.com": "2"}
    memory = remembered(people).afresh()

    same = memory.unchanged(0, text(["ana@example.com"]), text(["1"]))

    assert (same.tolist(), memory.new, memory.changed) == ([False], 1, 0)
    assert len(memory.left(0)) == 1


def test_the_packed_memory_holds_no_address() -> None:
    packed = Marks.of(text(["ana@example.com"]), text(["ana@example.com,Ana"]), SECRET).packed()

    assert b"ana" not in packed.lower()
