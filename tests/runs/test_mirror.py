"""A mirror: who left the segment leaves the list, and nobody else does."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest

from local.constant_contact import ConstantContact
from shared import mirroring
from shared.errors import Invalid, MirroredTwice
from shared.exports import Mode
from shared.roles import LOCAL
from shared.runs import Route, Run, RunState
from shared.steps import StepKind
from tests.runs.app import App

MEMBERS = [(f"member{n}@example.com", f"First{n}", "Boston") for n in range(1000)]
DROPPED = {email for email, *_ in MEMBERS[:50]}
REFUSED = {email for email, *_ in MEMBERS[50:60]}
UNSUBSCRIBED = {email for email, *_ in MEMBERS[60:65]}
EMAILS = {email for email, *_ in MEMBERS}
PEOPLE = [(email, first, f"id-{n}") for n, (email, first, _) in enumerate(MEMBERS[:20])]
BY_IDENTITY: dict[str, Any] = {
    "mode": "mirror",
    "identity": "City",
    "mapping": {"email": "EMailAddress1"},
}


def fill(constant_contact: ConstantContact, list_id: str, emails: Iterable[str]) -> None:
    """Put people on a list as somebody else would."""
    for email in emails:
        constant_contact.add_contact(email, lists=[list_id])


def approve(app: App, held: Run) -> Run:
    """Approve a held run and carry it on; return what became of it."""
    app.product.jobs.approve(held.key, LOCAL)
    app.drain()
    return app.read(held)


def acts(constant_contact: ConstantContact) -> int:
    """Return how many calls there were that may change something."""
    return sum(call.method != "GET" for call in constant_contact.calls)


def removals(run: Run) -> int | None:
    """Return how many a held run says would leave, if that is why it is held."""
    concern = next((each for each in run.concerns if each.code == "removals_large"), None)
    return int(concern.message.split()[0]) if concern else None


@pytest.fixture
def list_id(constant_contact: ConstantContact) -> str:
    return constant_contact.add_list("Members")


@pytest.fixture
def export_id(app: App, list_id: str) -> str:
    app.put_segment("Members", MEMBERS)
    return app.create_export("Members", list_id, mode="mirror")


def test_exactly_those_who_left_the_segment_leave_the_list(
    app: App, constant_contact: ConstantContact, list_id: str
) -> None:
    """The first mirror of a list that others have filled: it is compared as a whole."""
    for email, *_ in MEMBERS:
        constant_contact.add_contact(email, lists=[list_id])
    for email in REFUSED:
        constant_contact.refuse(email)
    for email in UNSUBSCRIBED:
        constant_contact.unsubscribe(email)
    app.put_segment("Members", MEMBERS[50:])

    run = app.run(app.create_export("Members", list_id, mode="mirror"))

    assert run.state is RunState.COMPLETED, run.error
    assert run.mirror is not None
    assert run.mirror.route is Route.LISTS
    assert run.counts.removed == 50
    assert constant_contact.members(list_id) == EMAILS - DROPPED
    assert set(constant_contact.lists()) == {list_id}


def test_a_mirror_is_not_read_again_where_nobody_has_left(
    app: App, export_id: str, constant_contact: ConstantContact
) -> None:
    app.run(export_id)
    imports = len(constant_contact.imports)

    run = app.run(export_id)

    assert run.mirror is not None
    assert run.mirror.route is Route.NOBODY
    assert run.counts.unchanged == 1000
    assert len(constant_contact.imports) == imports


def test_few_leavers_of_a_short_list_are_removed_by_reading_it(
    app: App, export_id: str, constant_contact: ConstantContact, list_id: str
) -> None:
    app.run(export_id)
    imports = len(constant_contact.imports)
    app.put_segment("Members", MEMBERS[50:])

    run = app.run(export_id)

    assert run.state is RunState.COMPLETED, run.error
    assert run.mirror is not None
    assert run.mirror.route is Route.MEMBERS
    assert run.counts.removed == 50
    assert len(constant_contact.imports) == imports
    assert constant_contact.members(list_id) == EMAILS - DROPPED


@pytest.mark.parametrize(
    "rows",
    [
        [],
        MEMBERS[:500],
        [*MEMBERS, *((f"more{n}@example.com", "", "") for n in range(1000))],
        [*MEMBERS, *MEMBERS],
        [(first, email, city) for email, first, city in MEMBERS],
    ],
    ids=["empty", "halved", "doubled", "every row twice", "columns swapped"],
)
def test_a_segment_that_looks_wrong_leaves_the_list_untouched(
    app: App,
    export_id: str,
    constant_contact: ConstantContact,
    list_id: str,
    rows: list[tuple[str, ...]],
) -> None:
    app.run(export_id)
    app.put_segment("Members", rows)
    acted = acts(constant_contact)

    run = app.run(export_id)

    assert run.state is RunState.HELD
    assert run.concerns
    assert acts(constant_contact) == acted
    assert constant_contact.members(list_id) == EMAILS


def test_one_empty_segment_of_two_is_not_lost_in_the_numbers_of_the_other(
    app: App, constant_contact: ConstantContact, list_id: str
) -> None:
    other = constant_contact.add_list("Others")
    app.put_segment("A", MEMBERS[:100])
    app.put_segment("B", MEMBERS[100:110])
    segments = [
        {"name": name, "list_ids": [to], "format": {"header": True}}
        for name, to in (("A", list_id), ("B", other))
    ]
    export_id = app.create_export("A", list_id, segments=segments)
    app.run(export_id)
    app.put_segment("B", [])

    run = app.run(export_id)

    assert [each.code for each in run.concerns] == ["segment_empty"]
    assert "B" in run.concerns[0].message


def test_a_retry_is_nothing_to_compare_the_next_run_with(
    app: App, constant_contact: ConstantContact, list_id: str
) -> None:
    """It has only what failed of a run; what the segment was is in the run before."""
    app.put_segment("Members", MEMBERS[:20])
    export_id = app.create_export("Members", list_id)
    app.run(export_id)
    app.put_segment("Members", [(email, "Changed", city) for email, _, city in MEMBERS[:20]])
    constant_contact.faults.end("contacts_file_import", nth=(1,), state="failed")
    failed = app.run(export_id)
    assert app.run(export_id, retry_of=failed.id).state is RunState.COMPLETED
    app.put_segment("Members", [])

    assert [each.code for each in app.run(export_id).concerns] == ["segment_empty"]


def test_removals_beyond_the_limit_wait_for_a_person(
    app: App, constant_contact: ConstantContact, list_id: str
) -> None:
    for email, *_ in MEMBERS:
        constant_contact.add_contact(email, lists=[list_id])
    app.put_segment("Members", MEMBERS[:700])

    held = app.run(app.create_export("Members", list_id, mode="mirror"))

    assert held.state is RunState.HELD
    assert held.error is not None
    assert held.error.code == "removals_large"
    assert constant_contact.members(list_id) == EMAILS

    app.product.jobs.approve(held.key, LOCAL)
    app.drain()

    assert app.read(held).state is RunState.COMPLETED
    assert constant_contact.members(list_id) == {email for email, *_ in MEMBERS[:700]}


def test_removals_that_nobody_agrees_to_leave_a_memory_of_what_was_sent(
    app: App, constant_contact: ConstantContact, list_id: str
) -> None:
    """What the held run sent is remembered, so that old values are sent when they come back."""
    app.put_segment("Members", MEMBERS[:20])
    guard = {"max_shrink_percent": 100, "max_removed_percent": 0}
    export_id = app.create_export("Members", list_id, mode="mirror", guard=guard)
    app.run(export_id)
    app.put_segment("Members", [(MEMBERS[0][0], "Renamed", "Boston"), *MEMBERS[1:18]])
    held = app.run(export_id, full=True)
    assert (held.state, held.counts.accepted) == (RunState.HELD, 18)
    app.product.jobs.cancel(held.key, LOCAL)
    app.drain()
    app.put_segment("Members", MEMBERS[:20])

    app.run(export_id)

    contact = constant_contact.contact(MEMBERS[0][0])
    assert contact is not None
    assert contact.values["first_name"] == "First0"


def test_a_failed_import_removes_nobody(
    app: App, constant_contact: ConstantContact, list_id: str
) -> None:
    for email, *_ in MEMBERS:
        constant_contact.add_contact(email, lists=[list_id])
    app.put_segment("Members", MEMBERS[50:])
    constant_contact.faults.end("contacts_file_import", nth=(1,), state="failed", share=0.5)

    run = app.run(app.create_export("Members", list_id, mode="mirror"))

    assert run.state is RunState.FAILED
    assert constant_contact.members(list_id) == EMAILS


def test_lists_of_others_are_never_cleared_away(
    app: App, export_id: str, constant_contact: ConstantContact, list_id: str
) -> None:
    foreign = constant_contact.add_list("mirror of my own 20261123T060000Z-7f3a9c keep 0")
    leftover = constant_contact.add_list(f"mirror {export_id} 20261123T060000Z-7f3a9c keep 0")

    app.run(export_id)

    assert foreign in constant_contact.lists()
    assert leftover not in constant_contact.lists()


def test_a_changed_address_is_one_person_and_the_old_one_leaves_with_the_run(
    app: App, constant_contact: ConstantContact, list_id: str
) -> None:
    app.put_segment("Members", PEOPLE)
    export_id = app.create_export("Members", list_id, **BY_IDENTITY)
    app.run(export_id)
    app.put_segment("Members", [("moved@example.com", "First0", "id-0"), *PEOPLE[1:]])

    run = app.run(export_id)

    assert run.plan is not None
    assert (run.plan.new, run.plan.changed, run.plan.moved, run.plan.leaving) == (0, 1, 1, 0)
    assert run.counts.removed == 1
    assert constant_contact.members(list_id) == {
        "moved@example.com",
        *(email for email, *_ in PEOPLE[1:]),
    }


def test_a_run_is_carried_out_as_its_export_was_when_it_started(
    app: App, constant_contact: ConstantContact, list_id: str
) -> None:
    """Somebody who moved to another segment of the same list must not leave with an edit."""
    first, second = MEMBERS[:20], MEMBERS[20:40]
    segments = [
        {"name": name, "list_ids": [list_id], "format": {"header": True}} for name in ("A", "B")
    ]
    app.put_segment("A", first)
    app.put_segment("B", second)
    export_id = app.create_export("A", list_id, mode="mirror", segments=segments)
    app.run(export_id)
    app.put_segment("A", first[1:-1])
    app.put_segment("B", [first[0], *second])
    held = app.run(export_id, hold=True)
    export, etag = app.product.exports.read(export_id)
    changed = export.model_dump(mode="json") | {"segments": [segments[1]]}
    app.product.editor.replace(export_id, changed, etag, LOCAL)

    app.product.jobs.approve(held.key, LOCAL)
    app.drain()

    run = app.read(held)
    assert run.state is RunState.COMPLETED, run.error
    assert run.counts.removed == 1
    assert constant_contact.members(list_id) == {email for email, *_ in (*first, *second)} - {
        first[-1][0]
    }


def test_a_mirror_whose_counts_do_not_add_up_fails_and_says_that_nobody_was_removed(
    app: App, constant_contact: ConstantContact, list_id: str
) -> None:
    for email, *_ in MEMBERS:
        constant_contact.add_contact(email, lists=[list_id])
    app.put_segment("Members", MEMBERS[50:])
    constant_contact.faults.end("contacts_file_import", nth=(1,), state="completed", share=0.5)

    run = app.run(app.create_export("Members", list_id, mode="mirror"))

    assert run.state is RunState.FAILED
    assert run.error is not None
    assert run.error.code == "mirror_stopped"
    assert run.reconciled is False
    assert constant_contact.members(list_id) == EMAILS
    assert set(constant_contact.lists()) == {list_id}


def test_what_failed_in_a_mirror_is_sent_again_to_the_export_s_own_lists(
    app: App, constant_contact: ConstantContact, list_id: str
) -> None:
    """Not to the temporary list that it also went to, which is no part of this run."""
    for email, *_ in MEMBERS[:100]:
        constant_contact.add_contact(email, lists=[list_id])
    app.put_segment("Members", MEMBERS[50:])
    export_id = app.create_export("Members", list_id, mode="mirror")
    constant_contact.faults.end("contacts_file_import", nth=(1,), state="failed")
    failed = app.run(export_id)
    assert failed.mirror is not None
    assert failed.mirror.route is Route.LISTS

    retried = app.run(export_id, retry_of=failed.id)

    assert retried.state is RunState.COMPLETED, retried.error
    assert constant_contact.members(list_id) == EMAILS
    assert [batch.list_ids for batch in retried.batches] == [(list_id,)]


def test_a_preview_that_could_not_tell_who_leaves_agrees_to_no_removal(
    app: App, constant_contact: ConstantContact, list_id: str
) -> None:
    """What was not shown is asked about once it is known, and then agreed to as it is shown."""
    strangers = [f"old{n}@example.com" for n in range(1000)]
    fill(constant_contact, list_id, strangers)
    app.put_segment("Members", MEMBERS[:10])
    preview = app.run(app.create_export("Members", list_id, mode="mirror"), hold=True)
    assert preview.plan is not None
    assert preview.plan.leaving is None

    asked = approve(app, preview)

    assert asked.state is RunState.HELD
    assert removals(asked) == 1000
    assert constant_contact.members(list_id) >= set(strangers)
    assert approve(app, asked).state is RunState.COMPLETED
    assert constant_contact.members(list_id) == {email for email, *_ in MEMBERS[:10]}


def test_approving_the_removals_from_one_list_agrees_to_none_from_another(
    app: App, constant_contact: ConstantContact, list_id: str
) -> None:
    other = constant_contact.add_list("Others")
    others = [f"other{n}@example.com" for n in range(100)]
    fill(constant_contact, list_id, (email for email, *_ in MEMBERS[:100]))
    fill(constant_contact, other, others)
    app.put_segment("A", MEMBERS[:70])
    app.put_segment("B", [(email, "", "") for email in others[:5]])
    segments = [
        {"name": name, "list_ids": [to], "format": {"header": True}}
        for name, to in (("A", list_id), ("B", other))
    ]

    first = app.run(app.create_export("A", list_id, mode="mirror", segments=segments))
    second = approve(app, first)

    assert (removals(first), removals(second)) == (30, 95)
    assert second.counts.removed == 30
    assert constant_contact.members(other) == set(others)


def test_everything_that_speaks_against_a_run_is_shown(
    app: App, export_id: str, constant_contact: ConstantContact, list_id: str
) -> None:
    """Removals that the memory knows are among it before anything is sent."""
    app.run(export_id)
    imports = len(constant_contact.imports)
    app.put_segment("Members", [(email, "", city) for email, _, city in MEMBERS[:500]])

    run = app.run(export_id)

    assert [each.code for each in run.concerns] == [
        "column_empty",
        "segment_shrank",
        "removals_large",
    ]
    assert run.error == run.concerns[0]
    assert len(constant_contact.imports) == imports
    assert approve(app, run).state is RunState.COMPLETED
    assert constant_contact.members(list_id) == {email for email, *_ in MEMBERS[:500]}


def test_removals_past_the_limit_are_found_list_by_list(
    app: App, constant_contact: ConstantContact, list_id: str
) -> None:
    """A long list must not hide that a short one loses most of its people."""
    short = constant_contact.add_list("Short")
    few = [(f"few{n}@example.com", "", "") for n in range(10)]
    app.put_segment("A", MEMBERS)
    app.put_segment("B", few)
    segments = [
        {"name": name, "list_ids": [to], "format": {"header": True}}
        for name, to in (("A", list_id), ("B", short))
    ]
    guard = {"max_shrink_percent": 100}
    export_id = app.create_export("A", list_id, mode="mirror", segments=segments, guard=guard)
    app.run(export_id)
    app.put_segment("B", few[:2])

    run = app.run(export_id)

    assert run.state is RunState.HELD
    assert removals(run) == 8
    assert not any(batch.activity_id for batch in run.batches)


def test_refusals_that_nobody_names_keep_nobody_on_the_list_who_leaves_later(
    app: App, export_id: str, constant_contact: ConstantContact, list_id: str
) -> None:
    """That a batch is sent again does not mean that its people are not on the list."""
    constant_contact.options.errors_name_lines = False
    constant_contact.refuse(MEMBERS[60][0])
    app.run(export_id)
    app.put_segment("Members", MEMBERS[50:])

    run = app.run(export_id)

    assert run.state is RunState.COMPLETED, run.error
    assert run.counts.removed == 50
    assert constant_contact.members(list_id) == EMAILS - DROPPED - {MEMBERS[60][0]}


def test_someone_whose_change_was_not_carried_out_leaves_the_list_later(
    app: App, constant_contact: ConstantContact, list_id: str
) -> None:
    first, *others = MEMBERS[:20]
    app.put_segment("Members", MEMBERS[:20])
    export_id = app.create_export("Members", list_id, mode="mirror")
    app.run(export_id)
    app.put_segment("Members", [(first[0], "Changed", "Boston"), *others])
    constant_contact.faults.end("contacts_file_import", nth=(1,), state="failed")
    assert app.run(export_id).state is RunState.FAILED
    app.put_segment("Members", others)

    run = app.run(export_id)

    assert run.counts.removed == 1
    assert first[0] not in constant_contact.members(list_id)


def test_without_consent_somebody_stays_on_the_list_and_leaves_with_the_segment(
    app: App, constant_contact: ConstantContact, list_id: str
) -> None:
    """Rows that are not sent are no leavers; somebody who is in no row any more is one."""
    first, *others = [(email, "yes", city) for email, _, city in MEMBERS[:20]]
    app.put_segment("Members", [first, *others])
    export_id = app.create_export(
        "Members",
        list_id,
        mode="mirror",
        consent={"column": "FirstName", "values": ["yes"]},
        mapping={"email": "EMailAddress1"},
    )
    app.run(export_id)
    app.put_segment("Members", [(first[0], "no", "Boston"), *others])
    app.run(export_id)
    assert first[0] in constant_contact.members(list_id)
    app.put_segment("Members", others)

    app.run(export_id)

    assert constant_contact.members(list_id) == {email for email, *_ in others}


def test_someone_who_could_not_be_imported_stays_on_the_list_and_leaves_with_the_segment(
    app: App, constant_contact: ConstantContact, list_id: str
) -> None:
    first, *others = MEMBERS[:20]
    fill(constant_contact, list_id, (email for email, *_ in MEMBERS[:20]))
    constant_contact.refuse(first[0])
    app.put_segment("Members", MEMBERS[:20])
    export_id = app.create_export("Members", list_id, mode="mirror")
    app.run(export_id)
    assert first[0] in constant_contact.members(list_id)
    app.put_segment("Members", others)

    app.run(export_id)

    assert constant_contact.members(list_id) == {email for email, *_ in others}


def test_a_mirror_whose_memory_is_lost_in_part_compares_the_whole_list(
    app: App, export_id: str, constant_contact: ConstantContact, list_id: str
) -> None:
    app.run(export_id)
    for name in list(app.container.list_blob_names(name_starts_with=f"memory/{export_id}/marks-")):
        app.container.delete_blob(name)
    app.put_segment("Members", MEMBERS[50:])

    run = app.run(export_id)

    assert run.mirror is not None
    assert run.mirror.route is Route.LISTS
    assert constant_contact.members(list_id) == EMAILS - DROPPED


@pytest.mark.parametrize("full", [False, True])
def test_whose_new_address_is_refused_keeps_the_old_one_on_the_list(
    app: App, constant_contact: ConstantContact, list_id: str, full: bool
) -> None:
    """Nobody falls off the list between two addresses, on either route."""
    app.put_segment("Members", PEOPLE)
    export_id = app.create_export("Members", list_id, **BY_IDENTITY)
    app.run(export_id)
    constant_contact.refuse("moved@example.com")
    app.put_segment("Members", [("moved@example.com", "First0", "id-0"), *PEOPLE[1:]])

    for _ in range(2):
        run = app.run(export_id, full=full)

        assert run.state is RunState.COMPLETED, run.error
        assert run.counts.removed == 0
        assert constant_contact.members(list_id) == {email for email, *_ in PEOPLE}

    app.put_segment("Members", PEOPLE[1:])
    app.run(export_id)

    assert constant_contact.members(list_id) == {email for email, *_ in PEOPLE[1:]}


def test_whose_row_has_lost_its_address_stays_on_the_list(
    app: App, constant_contact: ConstantContact, list_id: str
) -> None:
    app.put_segment("Members", PEOPLE)
    export_id = app.create_export("Members", list_id, **BY_IDENTITY)
    app.run(export_id)
    app.put_segment("Members", [("", "First0", "id-0"), *PEOPLE[1:]])

    run = app.run(export_id)

    assert run.counts.missing_email == 1
    assert constant_contact.members(list_id) == {email for email, *_ in PEOPLE}


def test_an_address_that_comes_twice_does_not_make_a_mirror_read_the_list(
    app: App, constant_contact: ConstantContact, list_id: str
) -> None:
    fill(constant_contact, list_id, (email for email, *_ in MEMBERS[:20]))
    app.put_segment("Members", [*MEMBERS[1:20], MEMBERS[1]])

    run = app.run(app.create_export("Members", list_id, mode="mirror"))

    assert (run.counts.duplicate, run.counts.removed) == (1, 1)
    assert not [call for call in constant_contact.calls if call.path.endswith("/contacts")]


def test_a_subtraction_that_says_completed_and_was_not_removes_nobody(
    app: App, constant_contact: ConstantContact, list_id: str
) -> None:
    """No more people may leave than the list has besides those who were just sent."""
    emails = [email for email, *_ in MEMBERS[:20]]
    fill(constant_contact, list_id, emails)
    app.put_segment("Members", MEMBERS[1:20])
    guard = {"max_removed_percent": 100}
    export_id = app.create_export("Members", list_id, mode="mirror", guard=guard)
    constant_contact.faults.end("remove_list_memberships", nth=(1,), share=0.0)

    run = app.run(export_id)

    assert run.state is RunState.FAILED
    assert run.error is not None
    assert run.error.code == "mirror_stopped"
    assert constant_contact.members(list_id) == set(emails)


def test_removals_are_counted_as_they_are_confirmed(
    app: App, constant_contact: ConstantContact, list_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirroring, "CONTACTS_PER_CALL", 15)
    app.put_segment("Members", MEMBERS[:100])
    guard = {"max_removed_percent": 50}
    export_id = app.create_export("Members", list_id, mode="mirror", guard=guard)
    app.run(export_id)
    app.put_segment("Members", MEMBERS[20:100])
    constant_contact.faults.end("remove_list_memberships", nth=(2,), state="failed")

    run = app.run(export_id)

    assert run.state is RunState.FAILED
    assert run.counts.removed == 15
    assert len(constant_contact.members(list_id)) == 85

    again = app.run(export_id)

    assert again.state is RunState.COMPLETED, again.error
    assert again.counts.removed == 5
    assert constant_contact.members(list_id) == {email for email, *_ in MEMBERS[20:100]}


def test_a_long_change_of_the_lists_is_asked_about_ever_more_rarely(
    app: App, constant_contact: ConstantContact, list_id: str
) -> None:
    app.put_segment("Members", MEMBERS[:20])
    export_id = app.create_export("Members", list_id, mode="mirror")
    constant_contact.faults.end("add_list_memberships", seconds=3600.0)
    run = app.start(export_id)
    while app.read(run).state is not RunState.REMOVING or not app.read(run).waiting:
        app.step(1)
    waiting = app.read(run).waiting
    app.drain()

    delays = [delay for step, delay in app.waits.sent if step.step is StepKind.REMOVE]
    assert waiting is not None
    assert "lists" in waiting.message
    assert app.read(run).state is RunState.COMPLETED
    assert len(delays) < 100
    assert delays[-1] < timedelta(seconds=5) < timedelta(seconds=59) < max(delays)


def test_temporary_lists_that_cannot_be_deleted_go_with_the_next_comparison(
    app: App, constant_contact: ConstantContact, list_id: str
) -> None:
    app.put_segment("Members", MEMBERS[:20])
    export_id = app.create_export("Members", list_id, mode="mirror")
    constant_contact.faults.end("list_delete", nth=(1,), state="failed")

    assert app.run(export_id).state is RunState.COMPLETED
    assert len(constant_contact.lists()) == 3
    app.run(export_id, full=True)

    assert set(constant_contact.lists()) == {list_id}


@pytest.mark.parametrize("copied", [False, True])
def test_who_has_unsubscribed_is_never_touched_whatever_is_copied_between_lists(
    app: App, constant_contact: ConstantContact, list_id: str, copied: bool
) -> None:
    constant_contact.options.unsubscribed_are_copied = copied
    fill(constant_contact, list_id, [*(email for email, *_ in MEMBERS[:20]), "off@example.com"])
    constant_contact.unsubscribe("off@example.com")
    app.put_segment("Members", MEMBERS[1:20])

    run = app.run(app.create_export("Members", list_id, mode="mirror"))

    assert run.counts.removed == 1
    assert constant_contact.members(list_id) == {
        "off@example.com",
        *(email for email, *_ in MEMBERS[1:20]),
    }


@pytest.mark.parametrize(
    ("options", "route"),
    [({}, Route.MEMBERS), ({"full": True}, Route.LISTS)],
    ids=["few leavers", "everybody"],
)
def test_a_plan_is_the_same_twice_and_the_run_keeps_it(
    app: App,
    constant_contact: ConstantContact,
    list_id: str,
    options: dict[str, bool],
    route: Route,
) -> None:
    """Calls too, where every activity has ended when it is first asked about."""
    app.put_segment("Members", PEOPLE)
    opt_outs = {"container": "consent-data"}
    app.add_container("consent-data")
    export_id = app.create_export("Members", list_id, **BY_IDENTITY, opt_outs=opt_outs)
    app.run(export_id)
    moved = ("moved@example.com", "First0", "id-0")
    app.put_segment("Members", [moved, *PEOPLE[2:], ("new@example.com", "New", "id-new")])
    once = app.run(export_id, hold=True, **options)
    app.product.jobs.cancel(once.key, LOCAL)
    app.drain()

    held = app.run(export_id, hold=True, **options)
    run = approve(app, held)

    assert held.plan is not None
    assert held.plan == once.plan
    assert run.state is RunState.COMPLETED, run.error
    assert run.mirror is not None
    assert run.mirror.route is route
    assert run.calls == held.plan.calls
    if route is Route.MEMBERS:
        assert held.plan.new is not None
        assert held.plan.changed is not None
        assert held.plan.leaving is not None
        assert run.counts.accepted == held.plan.new + held.plan.changed
        assert run.counts.removed == held.plan.leaving + held.plan.moved
    else:
        assert held.plan.leaving is None


@pytest.mark.parametrize(("leavers", "saved"), [(0, 3), (3, 0)])
def test_a_first_mirror_is_planned_as_if_somebody_left(
    app: App, constant_contact: ConstantContact, list_id: str, leavers: int, saved: int
) -> None:
    fill(constant_contact, list_id, (email for email, *_ in MEMBERS[:20]))
    app.put_segment("Members", MEMBERS[leavers:20])

    run = app.run(app.create_export("Members", list_id, mode="mirror"))

    assert run.plan is not None
    assert run.counts.removed == leavers
    assert run.plan.calls - run.calls == saved


def test_two_exports_do_not_mirror_one_list(
    app: App, export_id: str, constant_contact: ConstantContact, list_id: str
) -> None:
    """Not when one is saved, and not when two saves at the same time have got past that."""
    app.put_segment("Other", MEMBERS[:10])
    with pytest.raises(Invalid) as caught:
        app.create_export("Other", list_id, mode="mirror")
    assert [fault.code for fault in caught.value.faults] == ["mirrored_twice"]
    other = app.create_export("Other", list_id)
    export, etag = app.product.exports.read(other)
    app.product.exports.replace(other, export.having(mode=Mode.MIRROR), etag)

    for each in (export_id, other):
        with pytest.raises(MirroredTwice):
            app.run(each)

    assert not constant_contact.imports


def test_a_mirror_of_more_lists_than_an_import_takes_twice_is_refused_when_it_is_saved(
    app: App, constant_contact: ConstantContact
) -> None:
    lists = [constant_contact.add_list(f"List {number}") for number in range(26)]
    app.put_segment("Members", MEMBERS[:10])
    segment = {"name": "Members", "list_ids": lists, "format": {"header": True}}

    with pytest.raises(Invalid) as caught:
        app.create_export("Members", lists[0], mode="mirror", segments=[segment])

    assert [fault.code for fault in caught.value.faults] == ["too_many_mirrored"]
    segment["list_ids"] = lists[:25]
    export_id = app.create_export("Members", lists[0], mode="mirror", segments=[segment])
    assert app.run(export_id).state is RunState.COMPLETED


def test_an_account_without_room_for_two_lists_is_told_before_anything_is_sent(
    app: App,
    export_id: str,
    constant_contact: ConstantContact,
    list_id: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mirroring, "MAX_ACCOUNT_LISTS", 2)

    run = app.run(export_id)

    assert run.state is RunState.FAILED
    assert run.error is not None
    assert run.error.code == "request_refused"
    assert "Delete lists" in run.error.action
    assert not constant_contact.imports
    assert set(constant_contact.lists()) == {list_id}


@pytest.mark.parametrize("change", ["mapping", "lists"])
def test_a_change_of_the_terms_makes_the_next_run_full_and_says_so(
    app: App, constant_contact: ConstantContact, list_id: str, change: str
) -> None:
    app.put_segment("Members", MEMBERS[:20])
    export_id = app.create_export("Members", list_id, mode="mirror")
    app.run(export_id)
    export, etag = app.product.exports.read(export_id)
    content = export.model_dump(mode="json")
    if change == "mapping":
        content["mapping"] = {"email": "EMailAddress1"}
    else:
        content["segments"][0]["list_ids"] = [constant_contact.add_list("Another")]
    app.product.editor.replace(export_id, content, etag, LOCAL)
    app.put_segment("Members", MEMBERS[1:20])

    run = app.run(export_id)

    assert run.counts.staged == run.counts.accepted == 19
    assert run.mirror is not None
    assert run.mirror.route is Route.LISTS
    assert "have changed" in run.notes[0].message
    list_id = run.export.list_ids[0]
    assert constant_contact.members(list_id) == {email for email, *_ in MEMBERS[1:20]}


def test_somebody_whose_profile_was_merged_into_another_is_one_person(
    app: App, constant_contact: ConstantContact, list_id: str
) -> None:
    """``PreviousCustomerId`` leads from the new id to the address that she had."""
    people = [(email, "", number) for email, _, number in PEOPLE]
    app.put_segment("Members", people)
    export_id = app.create_export("Members", list_id, **BY_IDENTITY, previous_identity="FirstName")
    app.run(export_id)
    merged = ("merged@example.com", "id-0;id-1", "id-100")
    app.put_segment("Members", [merged, *people[2:]])

    run = app.run(export_id)

    assert run.plan is not None
    assert (run.plan.new, run.plan.changed, run.plan.moved, run.plan.leaving) == (0, 1, 2, 0)
    assert constant_contact.members(list_id) == {
        "merged@example.com",
        *(email for email, *_ in people[2:]),
    }


def test_a_snapshot_older_than_the_last_one_is_held(
    app: App, export_id: str, constant_contact: ConstantContact
) -> None:
    first = app.run(export_id)
    imports = len(constant_contact.imports)

    def later(run: Run) -> Run:
        (snapshot,) = run.snapshots
        since = snapshot.complete_since + timedelta(days=1)
        return run.having(snapshots=(snapshot.model_copy(update={"complete_since": since}),))

    app.product.ledger.runs.update(first.key, later)
    app.put_segment("Members", MEMBERS[:900])

    run = app.run(export_id)

    assert [each.code for each in run.concerns] == ["snapshot_older"]
    assert len(constant_contact.imports) == imports


def test_a_hold_before_removals_that_expires_does_not_say_that_nothing_was_sent(
    app: App, constant_contact: ConstantContact, list_id: str
) -> None:
    strangers = [f"old{n}@example.com" for n in range(50)]
    fill(constant_contact, list_id, strangers)
    app.put_segment("Members", MEMBERS[:10])
    held = app.run(app.create_export("Members", list_id, mode="mirror"))
    assert removals(held) == 50

    app.product.jobs.expire(held, LOCAL)
    app.drain()

    run = app.read(held)
    assert run.state is RunState.CANCELLED
    assert run.error is not None
    assert run.error.code == "hold_expired"
    assert "not sent" not in run.error.message
    assert constant_contact.members(list_id) == {*strangers, *(email for email, *_ in MEMBERS[:10])}
    assert set(constant_contact.lists()) == {list_id}


def test_no_address_lies_in_clear_among_the_documents(
    app: App, constant_contact: ConstantContact, list_id: str
) -> None:
    """After a mirror, a hold that was cancelled, and a failure: only what a retry sends again."""
    constant_contact.options.errors_name_address = True
    constant_contact.refuse(MEMBERS[60][0])
    fill(constant_contact, list_id, (email for email, *_ in MEMBERS[:100]))
    app.put_segment("Members", [*MEMBERS[5:100], ("no address", "", ""), MEMBERS[7]])
    export_id = app.create_export("Members", list_id, mode="mirror")
    assert app.run(export_id).counts.removed == 5
    app.put_segment("Members", MEMBERS[10:105])
    held = app.run(export_id, hold=True)
    app.product.jobs.cancel(held.key, LOCAL)
    app.drain()
    constant_contact.faults.end("contacts_file_import", nth=(1,), state="failed")
    failed = app.run(export_id)
    assert failed.state is RunState.FAILED

    names = [
        name
        for name in app.container.list_blob_names()
        if b"@example.com" in app.container.download_blob(name).readall().lower()
    ]

    assert names == [f"runs/{failed.key}/batches/0000.csv"]


def test_who_was_never_on_the_list_is_not_asked_about_when_she_leaves_the_segment(
    app: App, constant_contact: ConstantContact, list_id: str
) -> None:
    for email, *_ in MEMBERS[:10]:
        constant_contact.refuse(email)
    app.put_segment("Members", MEMBERS[:10])
    export_id = app.create_export("Members", list_id, mode="mirror")
    assert app.run(export_id).counts.refused == 10
    app.put_segment("Members", MEMBERS[2:10])

    run = app.run(export_id)

    assert run.state is RunState.COMPLETED, run.error
    assert run.counts.removed == 0


def test_who_came_with_a_run_cancelled_before_its_removals_leaves_with_the_segment(
    app: App, constant_contact: ConstantContact, list_id: str
) -> None:
    """What was sent is remembered, though the run did not come to its end."""
    strangers = [f"old{n}@example.com" for n in range(20)]
    app.put_segment("Members", MEMBERS[:20])
    export_id = app.create_export("Members", list_id, mode="mirror")
    app.run(export_id)
    fill(constant_contact, list_id, strangers)
    app.put_segment("Members", MEMBERS[:21])
    held = app.run(export_id, full=True)
    assert removals(held) == 20
    app.product.jobs.cancel(held.key, LOCAL)
    app.drain()
    assert MEMBERS[20][0] in constant_contact.members(list_id)
    app.put_segment("Members", MEMBERS[:20])

    run = approve(app, app.run(export_id))

    assert run.state is RunState.COMPLETED, run.error
    assert run.counts.removed == 21
    assert constant_contact.members(list_id) == {email for email, *_ in MEMBERS[:20]}
