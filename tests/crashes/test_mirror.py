"""A mirror is killed anywhere: exactly those who left the segment leave the list."""

from __future__ import annotations

from uuid import uuid4

from local.constant_contact import ConstantContact
from shared.runs import Route, Run, RunState
from tests.conftest import Figure
from tests.crashes.enumeration import enumerate_points
from tests.crashes.instances import Instances
from tests.crashes.worker import Moment

PEOPLE = [(f"member{n}@example.com", f"First{n}", "Boston") for n in range(6)]
STRANGER = "stranger@example.com"
REFUSED = "member4@example.com"
LEFT = {email for email, *_ in PEOPLE[:2]}
STAY = {email for email, *_ in PEOPLE[2:]}


def order(lane: Instances) -> tuple[str, str]:
    """Save a new mirror of a list that everybody is on; return the ids of both."""
    list_id = lane.app.constant_contact.add_list(f"List {uuid4()}")
    for email in LEFT | STAY:
        lane.app.constant_contact.add_contact(email, lists=[list_id])
    export_id = lane.save_export(
        segments=[{"name": "Members", "list_ids": [list_id], "format": {"header": True}}],
        mode="mirror",
        guard={"max_shrink_percent": 100, "max_removed_percent": 100},
    )
    return export_id, list_id


def test_killed_at_any_call_a_mirror_by_lists_removes_exactly_who_is_not_in_the_segment(
    lanes: list[Instances], constant_contact: ConstantContact, figure: Figure
) -> None:
    """Who could not be imported this time stays; who is on other lists stays there."""
    elsewhere = others_list(constant_contact)
    constant_contact.refuse(REFUSED)

    def survive(lane: Instances, number: int, moment: Moment) -> bool:
        export_id, list_id = order(lane)
        constant_contact.add_contact(STRANGER, lists=[list_id])
        lane.app.put_segment("Members", PEOPLE[2:])
        met = lane.do_and_die(number, moment, start=export_id)
        run = lane.recover(export_id, None)

        require_mirrored(lane, run, Route.LISTS, removed=3)
        assert constant_contact.members(list_id) == STAY
        assert constant_contact.members(elsewhere) == STAY | LEFT
        lane.forget(export_id, list_id)
        return met

    covered = enumerate_points(lanes, 65, survive)

    figure(f"crashes: killed at {covered} points, a mirror by lists removed exactly the leavers")
    assert covered


def test_killed_at_any_call_a_mirror_by_members_removes_exactly_who_has_left(
    lanes: list[Instances], constant_contact: ConstantContact, figure: Figure
) -> None:
    """A first run makes the list equal to the segment, so that it is known who leaves."""
    elsewhere = others_list(constant_contact)

    def survive(lane: Instances, number: int, moment: Moment) -> bool:
        export_id, list_id = order(lane)
        lane.app.put_segment("Members", PEOPLE)
        lane.do(start=export_id)
        first = lane.run_of(export_id)
        constant_contact.add_contact(STRANGER, lists=[list_id])
        lane.app.put_segment("Members", PEOPLE[2:])
        met = lane.do_and_die(number, moment, start=export_id)
        run = lane.recover(export_id, first)

        require_mirrored(lane, run, Route.MEMBERS, removed=2)
        assert constant_contact.members(list_id) == STAY | {STRANGER}
        assert constant_contact.members(elsewhere) == STAY | LEFT
        lane.forget(export_id, list_id)
        return met

    covered = enumerate_points(lanes, 65, survive)

    figure(f"crashes: killed at {covered} points, a mirror by members removed exactly the leavers")
    assert covered


def test_killed_at_any_call_removals_wait_for_a_person_and_are_then_done_once(
    lanes: list[Instances], constant_contact: ConstantContact, figure: Figure
) -> None:
    """It is killed on the way to the hold or, once a person has approved, on the way to the end."""
    for lane in lanes:
        lane.app.put_segment("Members", PEOPLE[2:])

    def held(lane: Instances) -> tuple[str, str]:
        export_id, list_id = order(lane)
        guard = {"max_shrink_percent": 100, "max_removed_percent": 0}
        lane.app.product.exports.update(
            export_id, lambda export: export.having(guard=export.guard.having(**guard))
        )
        return export_id, list_id

    def survive(lane: Instances, number: int, moment: Moment) -> bool:
        export_id, list_id = held(lane)
        met = lane.do_and_die(number, moment, start=export_id)
        run = lane.recover(export_id)
        assert run.state is RunState.HELD, run.error
        assert constant_contact.members(list_id) == LEFT | STAY

        met |= lane.do_and_die(number, moment, approve=run.key)
        lane.recover(export_id)
        run = lane.run_of(export_id)
        if run.state is RunState.HELD:  # the approval was not written down
            lane.do(approve=run.key)
            run = lane.run_of(export_id)

        assert run.state is RunState.COMPLETED, run.error
        assert run.counts.removed == 2
        assert constant_contact.members(list_id) == STAY
        assert not [name for name in constant_contact.lists().values() if export_id in name]
        assert not lane.staged(run)
        lane.forget(export_id, list_id)
        return met

    covered = enumerate_points(lanes, 65, survive)

    figure(f"crashes: killed at {covered} points, held removals waited and were done once")
    assert covered


def others_list(constant_contact: ConstantContact) -> str:
    """Make a list of somebody else that everybody is on; return its id."""
    list_id = constant_contact.add_list("Somebody else's")
    for email in LEFT | STAY:
        constant_contact.add_contact(email, lists=[list_id])
    return list_id


def require_mirrored(lane: Instances, run: Run, route: Route, removed: int) -> None:
    assert run.state is RunState.COMPLETED, run.error
    assert run.reconciled is True
    assert run.mirror is not None
    assert run.mirror.route is route
    assert run.counts.removed == removed
    names = lane.app.constant_contact.lists().values()
    assert not [name for name in names if run.export_id in name]
    assert not lane.staged(run)
