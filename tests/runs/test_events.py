"""What the events of a run say, which alerts and the workbook rest on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from azure.functions.timer import TimerRequest

from functions import schedule
from local.constant_contact import ConstantContact
from shared.roles import LOCAL
from shared.runs import RunState
from tests.runs.app import App


@pytest.fixture(autouse=True)
def heard(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "events")


def events(caplog: pytest.LogCaptureFixture, name: str) -> list[dict[str, Any]]:
    """Return the attributes of every event of that name."""
    return [vars(record) for record in caplog.records if vars(record).get("event") == name]


def test_a_dry_run_that_is_cancelled_is_not_said_to_lose_anybody(
    app: App, export_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody was sent, so there is nothing that could fail to add up."""
    held = app.run(export_id, hold=True)
    app.product.jobs.cancel(held.key, LOCAL)
    app.drain()

    assert len(events(caplog, "run_cancelled")) == 1
    assert events(caplog, "run_unreconciled") == []


def test_a_failed_run_is_told_as_failed_alone(
    app: App, export_id: str, constant_contact: ConstantContact, caplog: pytest.LogCaptureFixture
) -> None:
    constant_contact.faults.end(nth=(1,), state="failed")

    assert app.run(export_id).state is RunState.FAILED

    assert len(events(caplog, "run_failed")) == 1
    assert events(caplog, "run_unreconciled") == []


def test_a_completed_run_that_does_not_add_up_is_told(
    app: App, export_id: str, constant_contact: ConstantContact, caplog: pytest.LogCaptureFixture
) -> None:
    constant_contact.faults.end(nth=(1,), state="completed", share=0.5)

    assert app.run(export_id).state is RunState.COMPLETED

    assert len(events(caplog, "run_unreconciled")) == 1


def test_days_of_waiting_for_approval_are_no_part_of_a_runs_seconds(
    app: App, export_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    held = app.run(export_id, hold=True)
    app.clock.pass_by(timedelta(days=2))
    app.product.jobs.approve(held.key, LOCAL)
    app.drain()

    (completed,) = events(caplog, "run_completed")
    assert 0 < completed["seconds"] < timedelta(hours=1).total_seconds()


def test_the_log_reads_as_what_happened(
    app: App, export_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The portal's blades show a record's message and nothing of its attributes."""
    run = app.run(export_id)

    lines = [record.getMessage() for record in caplog.records if record.name == "events"]
    (ended,) = events(caplog, "run_completed")
    assert f"run_queued: {run.key} by manual" in lines
    assert f"run_prepared: {run.key}, 20 rows read, 20 to send" in lines
    assert lines[-1] == (
        f"run_completed: {run.key}, 20 accepted, 0 refused, 0 suppressed, 0 removed,"
        f" in {ended['seconds']} s"
    )


def test_running_the_timer_by_hand_says_what_it_did(
    app: App,
    export_id: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "functions.schedule")
    monkeypatch.setattr("functions.schedule.product", lambda: app.product)
    run_by_hand = schedule.schedule_exports.build().get_user_function()

    run_by_hand(TimerRequest())

    said = [record.getMessage() for record in caplog.records if record.name == schedule.__name__]
    assert said == ["schedule_exports: 1 without news"]
