"""A cancel takes effect before the next call to Constant Contact, whatever the run is doing."""

from __future__ import annotations

import threading

import pytest

from local.constant_contact import ConstantContact
from local.constant_contact.faults import Fault
from shared.roles import LOCAL
from shared.runs import RunState
from tests.runs.app import App

BATCHES = 12


def test_a_cancel_during_sending_stops_the_next_call(
    app: App, constant_contact: ConstantContact, list_id: str
) -> None:
    """Of twelve uploads three are under way at a time; none starts after the cancel answered."""
    names = [f"Segment{number}" for number in range(BATCHES)]
    for name in names:
        app.put_segment(name, [(f"{name.lower()}@example.com", "First", "Boston")])
    segments = [{"name": name, "list_ids": [list_id], "format": {"header": True}} for name in names]
    run = app.start(app.create_export("Segment0", list_id, segments=segments))
    app.step(1)
    constant_contact.faults.add(Fault(path="/v3/activities/contacts_file_import", delay=0.2))
    before = len(constant_contact.calls)
    worker = threading.Thread(target=app.drain)
    worker.start()
    while len(constant_contact.calls) < before + 2:
        pass

    app.product.jobs.cancel(run.key, LOCAL)
    seen = len(constant_contact.calls)
    worker.join()

    ended = app.read(run)
    assert ended.state is RunState.CANCELLED
    # Calls that had looked for a cancel just before it was written down may still come in.
    assert len(constant_contact.calls) <= seen + 3
    assert len(constant_contact.imports) < BATCHES
    assert ended.sent == len(constant_contact.imports)
    assert not app.product.ledger.has_staged(run.key)


@pytest.mark.parametrize("steps", [0, 1, 2], ids=["queued", "sending", "following"])
def test_a_cancel_between_steps_lets_no_further_call_out(
    app: App, export_id: str, constant_contact: ConstantContact, steps: int
) -> None:
    run = app.start(export_id)
    app.step(steps)
    calls = len(constant_contact.calls)

    app.product.jobs.cancel(run.key, LOCAL)
    app.drain()

    assert app.read(run).state is RunState.CANCELLED
    assert len(constant_contact.calls) == calls
    assert not app.product.ledger.has_staged(run.key)


def test_who_reached_the_list_before_a_cancel_is_remembered(
    app: App, export_id: str, constant_contact: ConstantContact
) -> None:
    """What was sent and not confirmed is sent again by the next run, and nothing is lost."""
    run = app.start(export_id)
    app.step(2)
    app.product.jobs.cancel(run.key, LOCAL)
    app.drain()

    again = app.run(export_id)

    assert again.state is RunState.COMPLETED
    assert again.counts.accepted == again.counts.staged == 20
