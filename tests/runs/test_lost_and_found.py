"""What the timer finds lying: vanished messages, forgotten holds, files that outlived their use."""

from __future__ import annotations

from datetime import timedelta

import pytest

from local.constant_contact import ConstantContact
from shared.errors import NotHeld, RetryExpired
from shared.roles import LOCAL
from shared.rounds import LOST_AFTER
from shared.runs import KEPT, RunState
from tests.runs.app import App, Clock

A_MOMENT = timedelta(minutes=1)


@pytest.mark.parametrize("steps", [0, 1, 2], ids=["queued", "sending", "following"])
def test_a_run_whose_message_vanished_is_carried_on(
    app: App, clock: Clock, export_id: str, constant_contact: ConstantContact, steps: int
) -> None:
    run = app.start(export_id)
    app.step(steps)
    app.queue.clear_messages()

    clock.pass_by(LOST_AFTER - A_MOMENT)
    app.product.round.make()
    app.drain()
    assert not app.read(run).ended

    clock.pass_by(2 * A_MOMENT)
    assert "1 resumed" in app.product.round.make()
    app.drain()

    assert app.read(run).state is RunState.COMPLETED
    assert len(constant_contact.imports) == 1


def test_a_run_that_waits_for_the_quota_has_not_lost_its_message(
    app: App, clock: Clock, export_id: str, constant_contact: ConstantContact
) -> None:
    constant_contact.use_quota(10_000)
    run = app.start(export_id)
    app.step(1)

    clock.pass_by(LOST_AFTER)
    until = app.read(run).waiting
    assert until is not None
    assert ("1 resumed" in app.product.round.make()) == (clock() - until.until > LOST_AFTER)


def test_a_held_run_expires_after_seven_days_and_says_so(
    app: App,
    clock: Clock,
    export_id: str,
    constant_contact: ConstantContact,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "events")
    held = app.run(export_id, hold=True)

    clock.pass_by(KEPT - A_MOMENT)
    assert "1 held" in app.product.round.make()
    clock.pass_by(2 * A_MOMENT)
    assert "1 expired" in app.product.round.make()
    with pytest.raises(NotHeld):
        app.product.jobs.approve(held.key, LOCAL)
    app.drain()

    run = app.read(held)
    assert run.state is RunState.CANCELLED
    assert run.error is not None
    assert run.error.code == "hold_expired"
    noted = [vars(record) for record in caplog.records if "what" in vars(record)]
    assert [(event["what"], event["who"]) for event in noted[1:]] == [("hold_expired", "timer")]
    assert not app.product.ledger.has_staged(held.key)
    assert not constant_contact.imports


def test_a_held_run_whose_cancelling_message_vanished_is_cancelled(
    app: App, clock: Clock, export_id: str
) -> None:
    held = app.run(export_id, hold=True)
    app.product.jobs.cancel(held.key, LOCAL)
    app.queue.clear_messages()

    clock.pass_by(LOST_AFTER)
    app.product.round.make()
    app.drain()

    assert app.read(held).state is RunState.CANCELLED
    assert not app.product.ledger.has_staged(held.key)


def test_files_of_failed_batches_are_kept_for_seven_days_only(
    app: App, clock: Clock, export_id: str, constant_contact: ConstantContact
) -> None:
    constant_contact.faults.end("contacts_file_import", state="failed")
    failed = app.run(export_id)

    clock.pass_by(KEPT - A_MOMENT)
    app.product.round.make()
    assert app.product.ledger.has_staged(failed.key)
    clock.pass_by(2 * A_MOMENT)
    assert "1 cleared" in app.product.round.make()

    assert not app.product.ledger.has_staged(failed.key)
    with pytest.raises(RetryExpired):
        app.start(export_id, retry_of=failed.id)


def test_files_of_a_run_that_has_no_document_are_removed(app: App, export_id: str) -> None:
    orphan = f"{export_id}/20261123T060000Z-7f3a9c"
    app.product.ledger.stage(orphan, "0000.csv", b"email\nperson@example.com\n")

    assert "1 cleared" in app.product.round.make()

    assert not app.product.ledger.has_staged(orphan)


def test_a_run_under_way_keeps_its_files(app: App, export_id: str) -> None:
    run = app.start(export_id)
    app.step(1)

    app.product.round.make()

    assert app.product.ledger.has_staged(run.key)


def test_trouble_with_the_segments_does_not_keep_a_vanished_run_waiting(
    app: App, clock: Clock, export_id: str
) -> None:
    run = app.start(export_id)
    app.step(1)
    app.queue.clear_messages()
    app.segments.delete_container()

    clock.pass_by(LOST_AFTER)
    app.product.round.make()
    app.drain()

    assert app.read(run).state is RunState.COMPLETED
