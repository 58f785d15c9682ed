"""When something is due, in the export's own time zone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from shared.schedules import due_next, due_since, parse_cron, parse_ncrontab


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


TAKEN = [
    *("0 */15 * * * *", "0 30 6 * * 1-5", "0 0 0 1 1 *", "0 0 6 * * WED", "0 0 6 * jul *"),
    *("0,30 0-59/5 8-18 * * mon-fri", "0 0 0 31 12 0"),
]
REFUSED = [
    *("* * * * *", "0 0 0 * * 7", "0 0 0 * * 1,7", "0 0 0 ? * *", "0 0 0 L * *", "no"),
    *("0 R * * * *", "0 0 0 * * 1#2", "60 * * * * *", "0 0 24 * * *", "0 0 0 * mon *"),
    *("0 0 0 15W * *", "0 */0 * * * *"),
]


@pytest.mark.parametrize("text", TAKEN)
def test_a_timer_s_schedule_has_six_fields(text: str) -> None:
    parse_ncrontab(text)


@pytest.mark.parametrize("text", REFUSED)
def test_what_the_host_would_not_take_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_ncrontab(text)


@pytest.mark.parametrize("text", ["", "daily", "0 6 * *", "99 6 * * *"])
def test_an_export_s_cron_has_five_fields(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_cron(text)


def test_six_o_clock_in_berlin_is_an_hour_earlier_in_summer() -> None:
    assert due_since("0 6 * * *", "Europe/Berlin", at("2026-01-15T12:00Z")) == at(
        "2026-01-15T05:00Z"
    )
    assert due_since("0 6 * * *", "Europe/Berlin", at("2026-07-15T12:00Z")) == at(
        "2026-07-15T04:00Z"
    )


def test_the_very_minute_counts_as_due() -> None:
    assert due_since("0 6 * * *", "UTC", at("2026-01-15T06:00:30Z")) == at("2026-01-15T06:00Z")


def test_the_next_time_comes_after_now() -> None:
    assert due_next("30 6 * * 1", "UTC", at("2026-11-23T06:30Z")) == at("2026-11-30T06:30Z")
