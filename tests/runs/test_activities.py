"""However an activity at Constant Contact ends, or does not: a verdict in bounded time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from local.constant_contact import ConstantContact
from local.constant_contact.faults import Ending
from shared.following import follow_again_in
from shared.runs import Run, RunState
from shared.steps import StepKind
from shared.verdicts import LONGEST_ACTIVITY
from tests.runs.app import EMAILS, App, Clock


def rarely(app: App) -> App:
    """Return the app asking for activities every half hour, so that a day is soon over."""
    return replace(app, options={"ACTIVITY_POLL_SECONDS": "1800"})


def verdicts(run: Run) -> list[str | None]:
    return [batch.verdict for batch in run.batches]


@pytest.mark.parametrize("state", ["failed", "cancelled", "timed_out", "time_out"])
def test_an_activity_that_did_not_complete_fails_the_run_at_once(
    app: App,
    clock: Clock,
    export_id: str,
    constant_contact: ConstantContact,
    list_id: str,
    state: str,
) -> None:
    """Some of its rows may be on the list; a retry sends them all and counts them once."""
    constant_contact.faults.end("contacts_file_import", nth=(1,), state=state, share=0.5)

    failed = app.run(export_id)

    assert failed.state is RunState.FAILED
    assert failed.error is not None
    assert failed.error.code == "batches_failed"
    assert verdicts(failed) == [state]
    assert failed.reconciled is False
    assert clock.ahead < timedelta(minutes=5)
    assert app.product.ledger.has_staged(failed.key)

    retried = app.run(export_id, retry_of=failed.id)

    assert retried.state is RunState.COMPLETED
    assert retried.counts.accepted == 20
    assert constant_contact.members(list_id) == EMAILS
    assert not app.product.ledger.has_staged(failed.key)


@pytest.mark.parametrize(
    "ending", [{"stuck": True}, {"state": "paused"}], ids=["initialized", "unknown"]
)
def test_an_activity_that_does_not_end_is_given_up_after_a_day(
    app: App,
    clock: Clock,
    export_id: str,
    constant_contact: ConstantContact,
    ending: dict[str, Any],
) -> None:
    constant_contact.faults.end("contacts_file_import", **ending)

    run = rarely(app).run(export_id)

    assert run.state is RunState.FAILED
    assert verdicts(run) == ["no_end"]
    assert abs(clock.ahead - LONGEST_ACTIVITY) < timedelta(hours=1)


def test_an_activity_that_begins_after_hours_is_waited_for(
    app: App, clock: Clock, export_id: str, constant_contact: ConstantContact
) -> None:
    constant_contact.faults.end("contacts_file_import", seconds=6 * 3600)

    run = rarely(app).run(export_id)

    assert run.state is RunState.COMPLETED
    assert clock.ahead < timedelta(hours=6, minutes=31)


def test_an_activity_whose_record_is_gone_fails_the_run(
    app: App, clock: Clock, export_id: str, constant_contact: ConstantContact
) -> None:
    """The app was switched off for eleven days; Constant Contact keeps records for ten."""
    constant_contact.faults.end("contacts_file_import", seconds=60)
    run = app.start(export_id)
    app.step(2)

    clock.pass_by(timedelta(days=11))
    app.drain()

    ended = app.read(run)
    assert ended.state is RunState.FAILED
    assert verdicts(ended) == ["record_gone"]


def test_a_full_queue_of_activities_is_waited_for_until_it_drains(
    app: App, clock: Clock, export_id: str, constant_contact: ConstantContact, list_id: str
) -> None:
    """1,000 jobs of somebody else take three hours; each wait is a message, not a failed try."""
    constant_contact.options.change(activity_seconds=10.8)
    for _ in range(1000):
        constant_contact._activities.post(
            "contact_exports", lambda _: iter(()), dict, ending=Ending()
        )

    run = app.run(export_id)

    assert run.state is RunState.COMPLETED
    assert constant_contact.members(list_id) == EMAILS
    assert len(constant_contact.imports) == 1
    assert clock.ahead < timedelta(hours=4)


def test_a_queue_that_never_drains_ends_the_run_after_a_day(
    app: App, clock: Clock, export_id: str, constant_contact: ConstantContact
) -> None:
    constant_contact.faults.fill_queue()

    run = app.run(export_id)

    assert run.state is RunState.FAILED
    assert run.error is not None
    assert run.error.code == "trouble_persists"
    assert verdicts(run) == ["not_sent"]
    assert clock.ahead < timedelta(hours=25)


def test_trouble_that_changes_its_face_is_one_trouble(
    app: App, clock: Clock, export_id: str, constant_contact: ConstantContact
) -> None:
    """Lost answers and a full queue in turn do not start the day anew each time."""
    imports = "/v3/activities/contacts_file_import"
    constant_contact.faults.drop(imports, "before", nth=tuple(range(1, 999, 2)))
    constant_contact.faults.fill_queue(nth=tuple(range(2, 999, 2)))

    run = app.run(export_id)

    assert run.state is RunState.FAILED
    assert run.error is not None
    assert run.error.code == "trouble_persists"
    assert clock.ahead < timedelta(hours=25)


@pytest.mark.parametrize("segments", [1, 12])
def test_all_activities_of_a_run_are_asked_about_in_one_call_an_interval(
    app: App, constant_contact: ConstantContact, list_id: str, segments: int
) -> None:
    """Half an hour at Constant Contact takes as many calls for twelve files as for one."""
    constant_contact.options.change(serial_activities=False)
    constant_contact.faults.end("contacts_file_import", seconds=1800)
    names = [f"Segment{number}" for number in range(segments)]
    for name in names:
        app.put_segment(name, [(f"{name.lower()}@example.com", "First", "Boston")])
    content = [{"name": name, "list_ids": [list_id], "format": {"header": True}} for name in names]

    run = app.run(app.create_export("Segment0", list_id, segments=content))

    asked = [call.path for call in constant_contact.calls if call.method == "GET"]
    polls = [path for path in asked if path.startswith("/v3/activities")]
    intervals = [step for step, _ in app.waits.sent if step.step is StepKind.FOLLOW]
    assert run.counts.accepted == segments
    assert len(polls) == len(intervals) <= 32


@pytest.mark.parametrize("first", [1, 5, 60])
def test_an_activity_that_takes_a_day_is_asked_about_some_hundred_times(first: int) -> None:
    waited, polls = timedelta(0), 0
    while waited < LONGEST_ACTIVITY:
        waited += follow_again_in(waited, timedelta(seconds=first))
        polls += 1

    assert polls <= 150


def test_activities_that_are_not_among_the_newest_are_found_with_few_calls(
    app: App, export_id: str, constant_contact: ConstantContact
) -> None:
    """Another program has started a thousand since."""
    constant_contact.options.change(queued_activities=5_000)
    run = app.start(export_id)
    app.step(2)
    for _ in range(1000):
        constant_contact._activities.post(
            "contact_exports", lambda _: iter(()), dict, ending=Ending()
        )
    before = len(constant_contact.calls)

    app.drain()

    assert app.read(run).state is RunState.COMPLETED
    looks = [call.path for call in constant_contact.calls[before:] if "/activities" in call.path]
    assert len(looks) == 2
