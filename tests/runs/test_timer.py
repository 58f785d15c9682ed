"""The timer starts what is due, once, and saving alone starts nothing."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from local.constant_contact import ConstantContact
from shared.runs import RunState
from tests.runs.app import COLUMNS, EMAILS, PEOPLE, App, Clock
from tests.unit.containers import entity, model


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


def test_a_segment_that_changes_under_its_run_is_sent_by_a_fresh_one(
    app: App, constant_contact: ConstantContact, list_id: str
) -> None:
    """Nothing of the two copies is mixed."""
    app.put_segment("Spring", PEOPLE)
    export_id = app.create_export("Spring", list_id)
    app.product.round.make()  # pins the snapshot
    app.put_segment("Spring", [*PEOPLE[1:], ("new@example.com", "New", "Boston")])

    app.drain()
    stopped = app.product.ledger.last(export_id)
    imports = len(constant_contact.imports)
    said = app.product.round.make()
    app.drain()

    assert stopped is not None
    assert stopped.error is not None
    assert (stopped.state, stopped.error.code) == (RunState.FAILED, "snapshot_changed")
    assert imports == 0
    assert "1 started" in said
    assert constant_contact.members(list_id) == EMAILS - {PEOPLE[0][0]} | {"new@example.com"}


def test_a_copy_with_a_file_that_metadata_does_not_list_is_sent_with_a_note(
    app: App, constant_contact: ConstantContact, list_id: str
) -> None:
    """However late the file came, it neither stops the run nor is it read."""
    folder = "Spring/2026/03/02/0533/"
    listed = f"{folder}Spring_1.csv"
    rows = "\n".join([",".join(COLUMNS), *(",".join(row) for row in PEOPLE), ""])
    app.segments.upload_blob(listed, rows)
    described = entity("Spring", COLUMNS, [{"location": f"{app.segments.url}/{listed}"}])
    app.segments.upload_blob("model.json", model(described))
    app.segments.upload_blob(f"{folder}Spring_2.csv", rows.replace("person", "stale"))

    run = app.run(app.create_export("Spring", list_id))

    assert (run.state, run.reconciled) == (RunState.COMPLETED, True)
    assert constant_contact.members(list_id) == EMAILS
    assert [(note.code, "not listed" in note.message) for note in run.notes] == [
        ("snapshot_read", True)
    ]


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


@pytest.fixture
def rounds(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level("INFO", "events")
    return caplog


def quiet_days(rounds: pytest.LogCaptureFixture) -> dict[str, float]:
    """Return for how many days each export has had nothing new, as last told, and forget it."""
    told = [vars(r) for r in rounds.records if vars(r).get("event") == "nothing_new"]
    rounds.clear()
    return {event["export_id"]: event["days"] for event in told}


def test_an_export_without_news_says_since_when(
    app: App, list_id: str, rounds: pytest.LogCaptureFixture
) -> None:
    """Each export for itself: that another one runs does not hide it."""
    app.put_segment("Spring", PEOPLE)
    spring = app.create_export("Spring", list_id)
    app.product.round.make()
    app.drain()
    assert quiet_days(rounds) == {}

    app.clock.pass_by(timedelta(days=3))
    app.put_segment("Autumn", PEOPLE)
    app.create_export("Autumn", list_id)
    app.product.round.make()

    told = quiet_days(rounds)
    assert told[spring] == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("schedule", ["manual", "0 6 * * *"])
def test_an_export_that_does_not_go_by_news_never_lacks_any(
    app: App, list_id: str, rounds: pytest.LogCaptureFixture, schedule: str
) -> None:
    app.put_segment("Spring", PEOPLE)
    app.create_export("Spring", list_id, schedule=schedule)

    app.product.round.make()

    assert quiet_days(rounds) == {}


def test_a_segment_that_is_gone_is_no_news_either(
    app: App, list_id: str, rounds: pytest.LogCaptureFixture
) -> None:
    app.put_segment("Gone", PEOPLE)
    export_id = app.create_export("Gone", list_id)
    app.segments.delete_blob("Gone.csv")
    app.clock.pass_by(timedelta(days=4))

    assert app.product.round.make() == "1 passed over"

    assert quiet_days(rounds) == {export_id: pytest.approx(4, abs=0.1)}


def test_a_disabled_export_is_not_said_to_lack_news(
    app: App, list_id: str, rounds: pytest.LogCaptureFixture
) -> None:
    app.put_segment("Spring", PEOPLE)
    app.create_export("Spring", list_id, enabled=False)

    app.product.round.make()

    assert quiet_days(rounds) == {}


def test_a_round_says_how_much_of_the_days_calls_is_used(
    app: App, list_id: str, rounds: pytest.LogCaptureFixture
) -> None:
    """Those outside runs too, such as the look-ups of a save."""
    app.put_segment("Spring", PEOPLE)
    app.create_export("Spring", list_id)
    app.product.round.make()

    (counted,) = [vars(r) for r in rounds.records if vars(r).get("event") == "calls_counted"]
    usage = app.product.budget.today()
    assert (counted["used"], counted["limit"]) == (usage.used, usage.limit)
    assert usage.used > 0


@pytest.mark.parametrize(
    "path", ["exports/damaged.json", "runs/damaged/active.json", "connections/damaged.json"]
)
def test_a_document_that_cannot_be_read_keeps_nobody_waiting(
    app: App, constant_contact: ConstantContact, list_id: str, path: str
) -> None:
    """The first of two exports has one; the other is started all the same."""
    app.put_segment("Spring", PEOPLE)
    app.create_export("Spring", list_id, id="damaged")
    app.create_export("Spring", list_id, id="sound")
    app.container.upload_blob(path, b'{"of": "another version"}', overwrite=True)

    said = app.product.round.make()

    assert "started" in said
    assert app.product.ledger.active("sound") is not None


def test_staged_files_are_cleared_beside_a_run_that_cannot_be_read(
    app: App, export_id: str
) -> None:
    """Its own files stay: nobody knows whether they are still needed."""
    damaged, orphan = (f"{export_id}/20261123T06000{n}Z-7f3a9c" for n in (0, 1))
    for key in (damaged, orphan):
        app.product.ledger.stage(key, "0000.csv", b"email\nperson@example.com\n")
    app.container.upload_blob(f"runs/{damaged}/run.json", b"{}")

    assert "1 cleared" in app.product.round.make()
    assert app.product.ledger.has_staged(damaged)
