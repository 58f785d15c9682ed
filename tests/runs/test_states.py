"""Every state that a run enters is said once, with what it has come to, and with nobody's data."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from local.constant_contact import ConstantContact
from shared.changes import ENTERED
from shared.roles import LOCAL
from shared.runs import Run, RunState
from shared.steps import Step
from tests.runs.app import PEOPLE, App

Said = Callable[[Run], list[logging.LogRecord]]


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Said:
    """Return the events of a run, in order, milestones within a state apart."""
    caplog.set_level(logging.INFO, "events")

    def events(run: Run) -> list[logging.LogRecord]:
        return [
            record
            for record in caplog.records
            if record.name == "events"
            and vars(record).get("run_id") == run.id
            and vars(record)["event"] in {event.value for event in ENTERED.values()}
        ]

    return events


def names(records: list[logging.LogRecord]) -> list[str]:
    return [vars(record)["event"].removeprefix("run_") for record in records]


def test_a_run_that_goes_through(app: App, export_id: str, said: Said) -> None:
    run = app.run(export_id)

    records = said(run)
    assert names(records) == ["queued", "preparing", "sending", "following", "completed"]
    assert [vars(record)["staged"] for record in records] == [0, 0, 20, 20, 20]
    assert [vars(record)["accepted"] for record in records] == [0, 0, 0, 0, 20]
    calls = [vars(record)["calls"] for record in records]
    assert calls == sorted(calls)
    assert calls[-1] == run.calls
    assert {vars(record)["export_id"] for record in records} == {export_id}
    assert all(vars(record)["seconds"] >= 0 for record in records)


def test_a_run_that_is_held_and_approved(app: App, export_id: str, said: Said) -> None:
    held = app.run(export_id, hold=True)
    app.product.jobs.approve(held.key, LOCAL)
    app.drain()

    assert names(said(held)) == [
        "queued",
        "preparing",
        "held",
        "sending",
        "following",
        "completed",
    ]


@pytest.mark.parametrize("approved", [True, False])
def test_a_mirror_whose_removals_are_held(
    app: App, constant_contact: ConstantContact, list_id: str, said: Said, approved: bool
) -> None:
    for email, *_ in PEOPLE:
        constant_contact.add_contact(email, lists=[list_id])
    app.put_segment("Spring", PEOPLE[:10])
    held = app.run(app.create_export("Spring", list_id, mode="mirror"))
    assert held.state is RunState.HELD

    (app.product.jobs.approve if approved else app.product.jobs.cancel)(held.key, LOCAL)
    app.drain()

    begun = ["queued", "preparing", "sending", "following", "removing", "held"]
    rest = ["removing", "completed"] if approved else ["cancelled"]
    assert names(said(held)) == begun + rest


def test_a_run_that_fails_and_its_retry(
    app: App, export_id: str, constant_contact: ConstantContact, said: Said
) -> None:
    constant_contact.faults.end("contacts_file_import", nth=(1,), state="failed")
    failed = app.run(export_id)
    retry = app.run(export_id, retry_of=failed.id)

    way = ["queued", "preparing", "sending", "following"]
    assert names(said(failed)) == [*way, "failed"]
    assert names(said(retry)) == [*way, "completed"]


def test_a_run_whose_every_message_comes_twice(app: App, export_id: str, said: Said) -> None:
    run = app.start(export_id)

    def twice(step: Step, redelivered: bool) -> None:
        for again in (redelivered, True):
            app.product.jobs.perform(step, redelivered=again)

    app.drain(twice)

    assert names(said(run)) == ["queued", "preparing", "sending", "following", "completed"]
