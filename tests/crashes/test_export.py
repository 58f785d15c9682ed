"""An export is killed anywhere, and everybody is on the list once all the same."""

from __future__ import annotations

from collections import Counter
from uuid import uuid4

from local.constant_contact import ConstantContact
from shared.runs import Run, RunState
from tests.conftest import Figure
from tests.crashes.enumeration import enumerate_points
from tests.crashes.instances import Instances
from tests.crashes.worker import Moment
from tests.runs.app import App

SEGMENTS = ("Autumn", "Spring")
PEOPLE = {
    name: [(f"{name.lower()}{n}@example.com", f"First{n}", "Boston") for n in range(5)]
    for name in SEGMENTS
}
FAULTY = [("", "No", "Boston"), ("not an address", "Bad", "Boston"), PEOPLE["Autumn"][0]]
REFUSED, UNSUBSCRIBED = "spring1@example.com", "autumn2@example.com"
ON_THE_LIST = {email for rows in PEOPLE.values() for email, *_ in rows} - {REFUSED, UNSUBSCRIBED}


def furnish(app: App) -> None:
    """Put the segments where the app looks, and two people whom Constant Contact will not take."""
    for name in SEGMENTS:
        app.put_segment(name, [*PEOPLE[name], *(FAULTY if name == "Spring" else [])])
    app.constant_contact.refuse(REFUSED)
    app.constant_contact.add_contact(UNSUBSCRIBED, permission="unsubscribed")


def order(lane: Instances) -> tuple[str, str]:
    """Save a new export to a new list; return the ids of both."""
    list_id = lane.app.constant_contact.add_list(f"List {uuid4()}")
    segments = [
        {"name": name, "list_ids": [list_id], "format": {"header": True}} for name in SEGMENTS
    ]
    export_id = lane.save_export(segments=segments)
    return export_id, list_id


def rejects(app: App, run: Run) -> list[str]:
    return sorted(b"".join(app.product.ledger.rejects(run.key)).decode().splitlines())


def sent(constant_contact: ConstantContact, list_id: str) -> Counter[str]:
    """Return how often each address was in an import to the list."""
    return Counter(
        line.split(b",")[0].decode()
        for each in constant_contact.imports
        if list_id in each.list_ids
        for line in each.content.splitlines()[1:]
    )


def test_killed_at_any_call_an_export_ends_as_if_nothing_had_happened(
    lanes: list[Instances], constant_contact: ConstantContact, figure: Figure
) -> None:
    """What it did is on the list once, what it says is the same, and nothing is left behind."""
    for lane in lanes:
        furnish(lane.app)
    export_id, _ = order(lanes[0])
    lanes[0].do(start=export_id)
    faultless = lanes[0].run_of(export_id)
    assert faultless.state is RunState.COMPLETED
    expected = rejects(lanes[0].app, faultless), remembered(lanes[0].app, export_id)
    calls = lanes[0].calls

    def survive(lane: Instances, number: int, moment: Moment) -> bool:
        export_id, list_id = order(lane)
        if not lane.do_and_die(number, moment, start=export_id):
            return False
        run = lane.recover(export_id)

        assert run.state is RunState.COMPLETED, run.error
        assert run.reconciled is True
        assert run.counts == faultless.counts
        assert constant_contact.members(list_id) == ON_THE_LIST
        assert set(sent(constant_contact, list_id).values()) == {1}
        assert (rejects(lane.app, run), remembered(lane.app, export_id)) == expected
        assert not lane.staged(run)
        assert lane.app.product.ledger.active(export_id) is None
        lane.forget(export_id, list_id)
        return True

    covered = enumerate_points(lanes, 35, survive)

    figure(
        f"crashes: an export makes {calls} calls; killed at {covered} points before"
        f" and after them, it ended each time as if nothing had happened"
    )
    assert covered


def remembered(app: App, export_id: str) -> int:
    """Return how many people the memory of the export holds."""
    export, _ = app.product.exports.read(export_id)
    connection, _ = app.product.connection_records.read(export.connection_id)
    run = app.product.ledger.latest(export_id)
    assert run is not None
    memory = app.product.remembering.recall(export, connection, run).memory
    return sum(len(memory.left(n)) for n in range(len(SEGMENTS)))


def test_killed_at_any_call_a_run_that_fails_says_why(
    lanes: list[Instances], constant_contact: ConstantContact, figure: Figure
) -> None:
    """The reason outlives the worker that found it; what was not sent is named, and kept for a
    retry.
    """
    for lane in lanes:
        furnish(lane.app)

    def survive(lane: Instances, number: int, moment: Moment) -> bool:
        export_id, list_id = order(lane)
        lane.do(start=export_id, options={"hold": True})
        run = lane.run_of(export_id)
        assert run.state is RunState.HELD
        constant_contact.delete_list(list_id)
        met = lane.do_and_die(number, moment, approve=run.key)
        if lane.recover(export_id).state is RunState.HELD:
            lane.do(approve=run.key)
        run = lane.run_of(export_id)

        assert run.state is RunState.FAILED
        assert run.error is not None
        assert run.error.code == "request_refused"
        assert {batch.verdict for batch in run.batches} == {"not_sent"}
        lines = [line for line in rejects(lane.app, run) if ",not_sent," in line]
        assert len(lines) == run.counts.staged == 10
        assert lane.app.product.ledger.is_staged(run.key, "0000.csv")
        lane.app.product.ledger.unstage(run.key)
        lane.app.product.exports.delete(export_id)
        return met

    covered = enumerate_points(lanes, 25, survive)

    figure(f"crashes: killed at {covered} points, a run that fails says why")
    assert covered


def test_killed_at_any_call_narrowing_finds_the_refused_row(
    lanes: list[Instances], constant_contact: ConstantContact, figure: Figure
) -> None:
    """Which is the only one that is named, once, whatever was imported again to find it."""
    constant_contact.options.change(errors_name_lines=False)
    people = [(f"person{n}@example.com", f"First{n}", "Boston") for n in range(16)]
    constant_contact.refuse(people[5][0])
    for lane in lanes:
        lane.app.put_segment("Spring", people)

    def survive(lane: Instances, number: int, moment: Moment) -> bool:
        list_id = constant_contact.add_list(f"List {uuid4()}")
        export_id = lane.save_export(
            segments=[{"name": "Spring", "list_ids": [list_id], "format": {"header": True}}],
            refusal_calls=100,
        )
        met = lane.do_and_die(number, moment, start=export_id)
        run = lane.recover(export_id)

        assert run.state is RunState.COMPLETED, run.error
        assert run.reconciled is True
        assert (run.counts.accepted, run.counts.refused) == (15, 1)
        named = [line.split(",")[2] for line in rejects(lane.app, run) if "refused" in line]
        assert named == ["7"]
        imports = [each.file_name for each in constant_contact.imports if list_id in each.list_ids]
        assert len(imports) == len(set(imports))
        assert not lane.staged(run)
        lane.forget(export_id, list_id)
        return met

    covered = enumerate_points(lanes, 65, survive)

    figure(f"crashes: killed at {covered} points, narrowing found the refused row")
    assert covered
