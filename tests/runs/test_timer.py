"""The timer starts what is due, once, and saving alone starts nothing."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from local.constant_contact import ConstantContact
from tests.runs.app import EMAILS, PEOPLE, App, Clock


@pytest.fixture
def clock() -> Clock:
    """An app whose exports were saved before the segments came: those are news."""
    return Clock(ahead=timedelta(minutes=-1))


def test_saving_does_not_run(app: App, list_id: str) -> None:
    app.put_segment("Spring", PEOPLE)
    app.clock.pass_by(timedelta(minutes=2))
    app.create_export("Spring", list_id)

    assert app.product.round.make() == "1 without news"


def test_the_timer_runs_a_new_snapshot_once(
    app: App, constant_contact: ConstantContact, list_id: str
) -> None:
    app.put_segment("Spring", PEOPLE)
    app.create_export("Spring", list_id)
    app.product.round.make()
    app.drain()
    app.put_segment("Spring", [*PEOPLE, ("new@example.com", "New", "Boston")])

    said = app.product.round.make()
    app.drain()

    assert "1 started" in said
    assert constant_contact.members(list_id) == {*EMAILS, "new@example.com"}
    assert "started" not in app.product.round.make()


def test_a_schedule_runs_when_it_falls_due_and_not_again(app: App, list_id: str) -> None:
    app.put_segment("Spring", PEOPLE)
    later = (app.clock() + timedelta(hours=12)).astimezone(ZoneInfo("Asia/Jakarta"))
    app.create_export("Spring", list_id, schedule=f"{later:%M %H} * * *", time_zone="Asia/Jakarta")
    assert app.product.round.make() == "1 not due"

    app.clock.pass_by(timedelta(days=1))
    assert app.product.round.make() == "1 started"
    app.drain()
    assert app.product.round.make() == "1 not due"


def test_a_disabled_export_rests(app: App, list_id: str) -> None:
    app.put_segment("Spring", PEOPLE)
    app.create_export("Spring", list_id, enabled=False)

    assert app.product.round.make() == "1 disabled"


def test_an_absent_segment_is_passed_over_and_keeps_nobody_waiting(
    app: App, constant_contact: ConstantContact, list_id: str
) -> None:
    app.put_segment("Gone", PEOPLE)
    app.create_export("Gone", list_id)
    app.put_segment("Spring", PEOPLE)
    app.create_export("Spring", list_id)
    app.segments.delete_blob("Gone.csv")

    assert app.product.round.make() == "1 passed over, 1 started"
