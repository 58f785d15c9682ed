"""Messages come twice, late, out of order, and to several instances at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from local.constant_contact import ConstantContact
from shared.runs import Run, RunState
from tests.crashes import test_export as export
from tests.crashes.instances import Instances, instances
from tests.crashes.worker import Moment


@pytest.fixture
def rivals(lane: Instances) -> Iterator[list[Instances]]:
    """Three instances of one deployment."""
    with ExitStack() as stack:
        yield [lane, *(stack.enter_context(instances(lane.app)) for _ in range(2))]


def assert_whole(lane: Instances, run: Run, list_id: str) -> None:
    """Everybody is on the list, was sent once, and nothing is left behind."""
    constant_contact = lane.app.constant_contact
    assert run.state is RunState.COMPLETED, run.error
    assert run.reconciled is True
    assert run.counts.accepted == len(export.ON_THE_LIST)
    assert constant_contact.members(list_id) == export.ON_THE_LIST
    assert set(export.sent(constant_contact, list_id).values()) == {1}
    assert not lane.staged(run)


@pytest.mark.parametrize("deliveries", [2, 3])
def test_every_message_delivered_more_than_once_sends_nothing_more(
    lane: Instances, deliveries: int
) -> None:
    export.furnish(lane.app)
    export_id, list_id = export.order(lane)

    lane.do(start=export_id, deliveries=deliveries)

    assert_whole(lane, lane.run_of(export_id), list_id)


def test_three_instances_that_compete_for_messages_send_nothing_twice(
    rivals: list[Instances],
) -> None:
    """Each has every message delivered twice, so that they are at the same run all the time."""
    lane = rivals[0]
    export.furnish(lane.app)
    for _ in range(3):
        export_id, list_id = export.order(lane)
        key = lane.app.start(export_id).key

        for rival in rivals:
            rival.begin(until_ended=key, deliveries=2)
        for rival in rivals:
            assert rival.end()

        assert_whole(lane, lane.run_of(export_id), list_id)
        lane.forget(export_id, list_id)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_three_instances_of_which_two_die_send_nothing_twice(
    rivals: list[Instances], moment: Moment
) -> None:
    """Every message is delivered twice; the first two are killed at calls of different steps."""
    lane = rivals[0]
    export.furnish(lane.app)
    for doomed in (25, 60):
        export_id, list_id = export.order(lane)
        key = lane.app.start(export_id).key

        kills = ((doomed, moment), (doomed + 10, moment), None)
        for rival, kill in zip(rivals, kills, strict=True):
            rival.begin(until_ended=key, deliveries=2, most_seconds=4, kill=kill)
        for rival in rivals:
            rival.end()
        for rival in rivals:
            rival.pass_time()
        run = lane.recover(export_id)

        assert_whole(lane, run, list_id)
        lane.forget(export_id, list_id)


def test_messages_that_come_late_find_nothing_left_to_do(
    lane: Instances, constant_contact: ConstantContact
) -> None:
    """All of a run's messages come once more, newest first, after it has ended."""
    export.furnish(lane.app)
    export_id, list_id = export.order(lane)
    lane.do(start=export_id)
    run = lane.run_of(export_id)
    calls = len(constant_contact.calls)

    for message in reversed(lane.messages):
        lane.app.queue.send_message(message)
    lane.do()

    assert lane.run_of(export_id) == run
    assert len(constant_contact.calls) == calls
    assert_whole(lane, run, list_id)


def test_messages_that_come_late_during_the_next_run_do_not_touch_it(lane: Instances) -> None:
    export.furnish(lane.app)
    export_id, _ = export.order(lane)
    lane.do(start=export_id)
    first, late = lane.run_of(export_id), lane.messages

    second = lane.app.start(export_id)
    for message in late:
        lane.app.queue.send_message(message)
    lane.do(deliveries=2)

    assert lane.app.read(first) == first
    assert lane.app.read(second).state is RunState.COMPLETED
    assert lane.app.read(second).counts.staged == 1  # the one that was refused
