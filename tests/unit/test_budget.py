"""The budget's arithmetic, without storage; over several processes see tests/scenarios."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.constant_contact.budget import (
    LONGEST_QUEUE,
    TOKEN_SPACING,
    Limits,
    Purpose,
    open_tally,
    reserve,
)
from shared.errors import QuotaExceeded, RateLimited

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 24, tzinfo=UTC)
LIMITS = Limits(per_second=4, per_day=10_000)

calls = st.lists(
    st.tuples(st.floats(0, 2, allow_nan=False), st.sampled_from(Purpose)), min_size=1, max_size=60
)


@given(calls, st.integers(1, 20))
def test_no_pattern_of_calls_exceeds_the_rate(
    waits: list[tuple[float, Purpose]], per_second: int
) -> None:
    """Five calls at four a second never fall into one second, whoever asks and when."""
    limits = Limits(per_second, 10_000)
    now, tally, slots, token_slots = NOON, open_tally(NOON), [], []
    for seconds, purpose in waits:
        now += timedelta(seconds=seconds)
        tally, slot = reserve(tally, purpose, limits, now)
        assert slot >= now
        slots.append(slot)
        if purpose is Purpose.TOKEN:
            token_slots.append(slot)

    pairs = zip(slots, slots[per_second:], strict=False)
    assert all(last - first > timedelta(seconds=1) for first, last in pairs)
    assert all(later - earlier >= TOKEN_SPACING for earlier, later in pairwise(token_slots))


@given(calls, st.integers(1, 50))
def test_no_pattern_of_calls_exceeds_the_day(
    waits: list[tuple[float, Purpose]], per_day: int
) -> None:
    """Every UTC day has its own count; calls that wait past midnight belong to the next."""
    now = MIDNIGHT - timedelta(seconds=20)
    tally = open_tally(now)
    slots: list[datetime] = []
    for seconds, purpose in waits:
        now += timedelta(seconds=seconds)
        with suppress(QuotaExceeded):
            tally, slot = reserve(tally, purpose, Limits(4, per_day), now)
            slots.append(slot)

    for day in {slot.date() for slot in slots}:
        assert sum(slot.date() == day for slot in slots) <= per_day


def test_slots_are_a_little_further_apart_than_the_rate() -> None:
    assert LIMITS.spacing == timedelta(milliseconds=260)


def test_a_used_up_day_goes_on_at_midnight() -> None:
    tally = open_tally(NOON).model_copy(update={"used": 10_000})

    with pytest.raises(QuotaExceeded) as caught:
        reserve(tally, Purpose.RUN, LIMITS, NOON)
    assert caught.value.until == MIDNIGHT
    after, slot = reserve(tally, Purpose.RUN, LIMITS, MIDNIGHT)
    assert (after.used, slot) == (1, MIDNIGHT)


def test_the_last_calls_of_a_day_are_left_to_runs() -> None:
    tally = open_tally(NOON).model_copy(update={"used": 9_800})

    with pytest.raises(QuotaExceeded, match="left to running exports"):
        reserve(tally, Purpose.LOOK_UP, LIMITS, NOON)
    assert reserve(tally, Purpose.RUN, LIMITS, NOON)[0].used == 9_801
    assert reserve(tally, Purpose.TOKEN, LIMITS, NOON)[0].used == 9_801


def test_a_long_queue_is_left_to_come_back_later() -> None:
    tally = open_tally(NOON).model_copy(update={"next_at": NOON + LONGEST_QUEUE * 2})

    with pytest.raises(RateLimited) as caught:
        reserve(tally, Purpose.RUN, LIMITS, NOON)
    assert caught.value.retry_after == LONGEST_QUEUE.total_seconds() * 2


def test_two_workers_never_write_the_same_tally() -> None:
    """Compare-and-swap takes an equal document for its own write, whose answer got lost."""
    tally = open_tally(NOON)

    assert (
        reserve(tally, Purpose.RUN, LIMITS, NOON)[0] != reserve(tally, Purpose.RUN, LIMITS, NOON)[0]
    )
