"""An export from snapshot to list, over the real parts."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from hashlib import sha256

import pytest

from local.constant_contact import ConstantContact
from shared.errors import (
    ExportDisabled,
    Invalid,
    NothingToRetry,
    OtherPersonNeeded,
    RetryOutdated,
    RunActive,
    ServiceUnavailable,
)
from shared.roles import LOCAL, Principal, Role
from shared.runs import Run, RunState
from shared.steps import Step, StepKind
from shared.waits import LONGEST_CALL
from tests.runs.app import EMAILS, PEOPLE, App, Clock

IMPORT = "/v3/activities/contacts_file_import"


def rejects(app: App, run: Run) -> list[dict[str, str]]:
    text = b"".join(app.product.ledger.rejects(run.key)).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_a_run_puts_the_segment_on_the_list(
    app: App, export_id: str, constant_contact: ConstantContact, list_id: str
) -> None:
    run = app.run(export_id)

    assert run.state is RunState.COMPLETED
    assert run.reconciled is True
    assert run.progress == 100
    assert run.counts.read == run.counts.staged == run.counts.accepted == 20
    assert constant_contact.members(list_id) == EMAILS


def test_every_row_that_is_not_sent_is_named_with_its_reason(
    app: App, constant_contact: ConstantContact, list_id: str
) -> None:
    rows = [*PEOPLE, ("", "No", "Boston"), ("not an address", "Bad", "x"), PEOPLE[0]]
    app.put_segment("Spring", rows)

    run = app.run(app.create_export("Spring", list_id))

    found = {(line["row"], line["reason"]) for line in rejects(app, run)}
    assert found == {("22", "email_missing"), ("23", "email_invalid"), ("24", "duplicate")}
    assert run.counts.prepared_whole
    assert constant_contact.members(list_id) == EMAILS


def test_completed_with_row_errors_is_not_success_for_those_rows(
    app: App, export_id: str, constant_contact: ConstantContact, list_id: str
) -> None:
    constant_contact.refuse("person3@example.com")
    constant_contact.add_contact("person4@example.com", permission="unsubscribed")

    run = app.run(export_id)

    assert run.state is RunState.COMPLETED
    assert (run.counts.accepted, run.counts.refused, run.counts.suppressed) == (18, 1, 1)
    assert run.reconciled is True
    lines = [line for line in rejects(app, run) if line["reason"] == "refused_by_constant_contact"]
    assert [(line["file"], line["row"]) for line in lines] == [("Spring.csv", "5")]
    assert constant_contact.members(list_id) == EMAILS - {
        "person3@example.com",
        "person4@example.com",
    }


def test_a_run_that_has_ended_leaves_no_staged_files(app: App, export_id: str) -> None:
    run = app.run(export_id)

    names = [name for name in app.container.list_blob_names() if name.startswith(f"runs/{run.key}")]
    assert names == [f"runs/{run.key}/rejects.csv", f"runs/{run.key}/run.json"]


def test_a_second_run_while_one_is_under_way_is_refused_with_its_location(
    app: App, export_id: str
) -> None:
    first = app.product.jobs.start(export_id, LOCAL)

    with pytest.raises(RunActive) as refused:
        app.product.jobs.start(export_id, LOCAL)

    assert refused.value.location == f"/api/runs/{first.key}"


def test_why_nothing_starts_is_told_apart(app: App, export_id: str) -> None:
    completed = app.run(export_id)
    with pytest.raises(NothingToRetry):
        app.product.jobs.start(export_id, LOCAL, retry_of=completed.id)
    app.product.exports.update(export_id, lambda export: export.having(enabled=False))

    with pytest.raises(ExportDisabled):
        app.product.jobs.start(export_id, LOCAL)


def test_an_unchanged_segment_costs_no_import(
    app: App, export_id: str, constant_contact: ConstantContact
) -> None:
    app.run(export_id)
    imports = len(constant_contact.imports)

    again = app.run(export_id)

    assert again.state is RunState.COMPLETED
    assert again.counts.unchanged == 20
    assert len(constant_contact.imports) == imports


def test_only_changed_people_are_sent(
    app: App, export_id: str, constant_contact: ConstantContact
) -> None:
    app.run(export_id)
    app.put_segment("Spring", [*PEOPLE[:-1], (PEOPLE[-1][0], "Renamed", "Boston")])

    run = app.run(export_id)

    assert (run.counts.unchanged, run.counts.staged) == (19, 1)
    contact = constant_contact.contact(PEOPLE[-1][0])
    assert contact is not None
    assert contact.values["first_name"] == "Renamed"


def test_a_refused_row_is_tried_again(
    app: App, export_id: str, constant_contact: ConstantContact
) -> None:
    constant_contact.refuse("person3@example.com")
    app.run(export_id)

    again = app.run(export_id)

    assert (again.counts.unchanged, again.counts.staged, again.counts.refused) == (19, 1, 1)


def test_a_full_run_sends_everybody_and_says_so(app: App, export_id: str) -> None:
    app.run(export_id)

    run = app.run(export_id, full=True)

    assert run.counts.accepted == 20
    assert [note.code for note in run.notes] == ["everyone_asked"]


def test_another_mapping_makes_the_next_run_full(app: App, export_id: str) -> None:
    app.run(export_id)
    app.product.exports.update(
        export_id, lambda export: export.having(mapping={"email": "EMailAddress1"})
    )

    run = app.run(export_id)

    assert run.counts.accepted == 20
    assert [note.code for note in run.notes] == ["terms_changed"]


def test_the_memory_holds_no_address(app: App, export_id: str) -> None:
    app.run(export_id)

    for name in app.container.list_blob_names():
        content = app.container.download_blob(name).readall().lower()
        assert b"@example.com" not in content, name


def test_a_held_run_sends_nothing_until_it_is_approved(
    app: App, export_id: str, constant_contact: ConstantContact, list_id: str
) -> None:
    held = app.run(export_id, hold=True)
    assert held.state is RunState.HELD
    assert held.counts.staged == 20
    assert not constant_contact.imports

    app.put_segment("Spring", [])  # what was shown is sent, whatever came since
    app.product.jobs.approve(held.key, LOCAL)
    app.drain()

    assert app.read(held).state is RunState.COMPLETED
    assert constant_contact.members(list_id) == EMAILS


def test_a_held_run_that_is_cancelled_is_discarded(
    app: App, export_id: str, constant_contact: ConstantContact
) -> None:
    held = app.run(export_id, hold=True)

    app.product.jobs.cancel(held.key, LOCAL)
    app.drain()

    assert app.read(held).state is RunState.CANCELLED
    assert not constant_contact.imports
    assert not app.product.ledger.has_staged(held.key)


def test_who_started_a_run_may_not_approve_it_where_two_people_are_asked_for(
    app: App, list_id: str
) -> None:
    app.put_segment("Spring", PEOPLE)
    held = app.run(app.create_export("Spring", list_id, two_people=True), hold=True)

    with pytest.raises(OtherPersonNeeded):
        app.product.jobs.approve(held.key, LOCAL)

    other = Principal("2", "Bo", frozenset({Role.ADMINISTRATOR}))
    assert app.product.jobs.approve(held.key, other).state is RunState.SENDING


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([], "segment_empty"),
        (PEOPLE[:10], "segment_shrank"),
        ([(first, email, city) for email, first, city in PEOPLE], "addresses_unusable"),
    ],
    ids=["empty", "halved", "columns swapped"],
)
def test_numbers_that_look_wrong_hold_the_run(
    app: App,
    export_id: str,
    constant_contact: ConstantContact,
    rows: list[tuple[str, ...]],
    code: str,
) -> None:
    app.run(export_id)
    imports = len(constant_contact.imports)
    app.put_segment("Spring", rows)

    held = app.run(export_id)

    assert held.state is RunState.HELD
    assert held.error is not None
    assert held.error.code == code
    assert len(constant_contact.imports) == imports


def test_a_lost_answer_is_looked_up_before_anything_is_repeated(
    app: App, export_id: str, constant_contact: ConstantContact
) -> None:
    constant_contact.faults.drop(IMPORT, "after", times=1)

    run = app.run(export_id)

    assert run.state is RunState.COMPLETED
    assert len(constant_contact.imports) == 1
    assert run.counts.accepted == 20


def test_an_upload_that_never_arrived_is_sent_again(
    app: App, export_id: str, constant_contact: ConstantContact
) -> None:
    constant_contact.faults.drop(IMPORT, "before", times=1)

    run = app.run(export_id)

    assert run.state is RunState.COMPLETED
    assert len(constant_contact.imports) == 1


def test_a_spent_quota_waits_until_midnight_utc(
    app: App, clock: Clock, export_id: str, constant_contact: ConstantContact
) -> None:
    constant_contact.use_quota(10_000)
    run = app.start(export_id)
    app.step(1)

    waiting = app.read(run).waiting
    assert waiting is not None
    assert waiting.reason == "daily_quota"
    midnight = waiting.since.replace(hour=0, minute=0, second=0, microsecond=0)
    # Constant Contact's day may begin a minute later, which is waited for in that minute.
    assert waiting.until - midnight in {timedelta(days=1), timedelta(minutes=1)}
    app.drain()
    assert app.read(run).state is RunState.COMPLETED
    assert clock() >= waiting.until


def test_a_message_delivered_twice_changes_nothing(
    app: App, export_id: str, constant_contact: ConstantContact
) -> None:
    run = app.product.jobs.start(export_id, LOCAL)

    def twice(step: Step, redelivered: bool) -> None:
        app.product.jobs.perform(step, redelivered=redelivered)
        app.product.jobs.perform(step, redelivered=True)

    app.drain(twice)

    assert app.read(run).state is RunState.COMPLETED
    assert len(constant_contact.imports) == 1


def test_a_failed_activity_fails_the_run_and_can_be_retried(
    app: App, export_id: str, constant_contact: ConstantContact, list_id: str
) -> None:
    constant_contact.faults.end(nth=(1,), state="failed")
    failed = app.run(export_id)
    assert failed.state is RunState.FAILED
    assert failed.error is not None
    assert failed.error.code == "batches_failed"
    assert failed.reconciled is False

    retried = app.run(export_id, retry_of=failed.id)

    assert retried.state is RunState.COMPLETED
    assert retried.reconciled is True
    assert constant_contact.members(list_id) == EMAILS
    assert not app.product.ledger.has_staged(failed.key)


def test_a_retry_can_be_held_and_approved_by_another_person(
    app: App, export_id: str, constant_contact: ConstantContact, list_id: str
) -> None:
    order, etag = app.product.exports.read(export_id)
    app.product.exports.replace(export_id, order.having(two_people=True), etag)
    constant_contact.faults.end(nth=(1,), state="failed")
    failed = app.run(export_id)
    sent = len(constant_contact.imports)

    held = app.run(export_id, retry_of=failed.id, hold=True)

    assert held.state is RunState.HELD
    assert (held.counts.staged, held.plan is not None) == (len(PEOPLE), True)
    assert len(constant_contact.imports) == sent
    with pytest.raises(OtherPersonNeeded):
        app.product.jobs.approve(held.key, LOCAL)
    app.product.jobs.approve(held.key, Principal("grace", "grace", LOCAL.roles))
    app.drain()
    assert app.read(held).state is RunState.COMPLETED
    assert constant_contact.members(list_id) == EMAILS


def test_a_held_retry_that_is_cancelled_leaves_the_failed_files_for_another(
    app: App, export_id: str, constant_contact: ConstantContact, list_id: str
) -> None:
    constant_contact.faults.end(nth=(1,), state="failed")
    failed = app.run(export_id)
    held = app.run(export_id, retry_of=failed.id, hold=True)

    app.product.jobs.cancel(held.key, LOCAL)
    app.drain()

    assert app.read(held).state is RunState.CANCELLED
    assert app.run(export_id, retry_of=failed.id).state is RunState.COMPLETED
    assert constant_contact.members(list_id) == EMAILS


def test_a_retry_to_lists_or_a_connection_that_the_export_has_left_is_refused(
    app: App, export_id: str, constant_contact: ConstantContact
) -> None:
    constant_contact.faults.end(nth=(1,), state="failed")
    failed = app.run(export_id)
    order, etag = app.product.exports.read(export_id)
    autumn = constant_contact.add_list("Autumn")
    app.connect("second")
    sent = len(constant_contact.imports)

    elsewhere = order.segments[0].having(list_ids=(autumn,))
    for changed in (
        order.having(segments=(elsewhere,)),
        order.having(segments=(elsewhere.having(name="Other"),)),
        order.having(connection_id="second"),
    ):
        etag = app.product.exports.replace(export_id, changed, etag)
        with pytest.raises(RetryOutdated):
            app.start(export_id, retry_of=failed.id)

    app.product.exports.replace(export_id, order, etag)
    assert app.run(export_id, retry_of=failed.id).state is RunState.COMPLETED
    assert len(constant_contact.imports) == sent + 1


def test_a_step_that_fails_on_every_try_closes_the_run(app: App, export_id: str) -> None:
    run = app.product.jobs.start(export_id, LOCAL)

    app.product.jobs.abandon(Step(run=run.key, step=StepKind.PREPARE, position=0))

    closed = app.read(run)
    assert closed.state is RunState.FAILED
    assert closed.error is not None
    assert closed.error.code == "step_failed"


def test_removing_the_connection_stops_the_run_and_disables_the_export(
    app: App, export_id: str, constant_contact: ConstantContact
) -> None:
    run = app.product.jobs.start(export_id, LOCAL)

    app.product.removal.remove("main", LOCAL)
    app.drain()

    assert app.read(run).state is RunState.CANCELLED
    assert not constant_contact.imports
    export, _ = app.product.exports.read(export_id)
    assert (export.enabled, export.disabled_reason) == (False, "connection_removed")


def test_saving_names_every_fault_at_once(app: App, list_id: str) -> None:
    app.put_segment("Spring", PEOPLE)

    with pytest.raises(Invalid) as refused:
        app.create_export(
            "Spring",
            "00000000-0000-0000-0000-000000000000",
            mapping={"email": "NoSuchColumn", "cf:nothing": "City"},
            exclude_segments=["Autumn"],
        )

    assert {fault.code for fault in refused.value.faults} == {
        "unknown_list",
        "unknown_column",
        "unknown_custom_field",
        "unknown_segment",
    }


def test_saving_looks_at_files_as_a_run_would(app: App, list_id: str) -> None:
    """What nothing says of a file is not guessed, and an excluded segment needs its column."""
    rows = "ana@example.com,Ana\nbo@example.com,Bo\n"
    app.segments.upload_blob("Bare.csv", rows)
    app.segments.upload_blob("Out.csv", rows)
    bare = [{"name": "Bare", "list_ids": [list_id]}]

    with pytest.raises(Invalid) as refused:
        app.create_export("Bare", list_id, segments=bare, mapping={"email": "Column1"})
    assert [(fault.field, fault.code) for fault in refused.value.faults] == [
        ("mapping.email", "unknown_column")
    ]
    assert '"header": false' in refused.value.faults[0].message

    app.put_segment("Spring", PEOPLE)
    with pytest.raises(Invalid) as refused:
        app.create_export("Spring", list_id, exclude_segments=["Out"])
    assert [(fault.field, fault.code) for fault in refused.value.faults] == [
        ("exclude_segments.0", "unknown_column")
    ]
    with pytest.raises(Invalid, match="cannot be saved") as refused:
        app.create_export("Spring", list_id, exclude_segments=["SPRING"])
    assert "both sent and excluded" in refused.value.faults[0].message


def test_people_of_an_excluded_segment_are_left_out_and_an_emptied_one_holds_the_run(
    app: App, constant_contact: ConstantContact, list_id: str
) -> None:
    app.put_segment("Spring", PEOPLE)
    app.put_segment("Out", PEOPLE[:2])
    export_id = app.create_export("Spring", list_id, exclude_segments=["Out"])
    first = app.run(export_id)
    app.put_segment("Out", [("no address", "x", "y"), *PEOPLE[:2]])
    unusable = app.run(export_id)
    app.product.jobs.cancel(unusable.key, LOCAL)
    app.drain()
    app.put_segment("Out", [])

    held = app.run(export_id)

    assert (first.state, first.counts.excluded, first.reconciled) == (RunState.COMPLETED, 2, True)
    assert constant_contact.members(list_id) == EMAILS - {email for email, *_ in PEOPLE[:2]}
    assert unusable.state is held.state is RunState.HELD
    assert unusable.error is not None
    assert unusable.error.code == "exclusion_unusable"
    assert ("2", "email_invalid") in {
        (line["row"], line["reason"]) for line in rejects(app, unusable) if line["segment"] == "Out"
    }
    assert held.error is not None
    assert held.error.code == "exclusion_empty"


def test_a_plan_says_what_the_run_then_does(
    app: App, export_id: str, constant_contact: ConstantContact
) -> None:
    app.run(export_id)
    changed = (PEOPLE[0][0], "Renamed", "Boston")
    app.put_segment("Spring", [changed, *PEOPLE[1:], ("new@example.com", "New", "Boston")])

    first = app.run(export_id, hold=True)
    app.product.jobs.cancel(first.key, LOCAL)
    app.drain()
    second = app.run(export_id, hold=True)
    app.product.jobs.approve(second.key, LOCAL)
    app.drain()

    assert first.plan == second.plan
    assert first.plan is not None
    assert (first.plan.new, first.plan.changed, first.plan.unchanged) == (1, 1, 19)
    assert app.read(second).counts.accepted == 2


@pytest.mark.parametrize(
    ("header", "code"),
    [("EMailAddress1,GivenName,City", "column_missing"), (None, "column_empty")],
    ids=["gone", "empty"],
)
def test_a_column_that_is_gone_or_runs_empty_holds_the_run(
    app: App, export_id: str, constant_contact: ConstantContact, header: str | None, code: str
) -> None:
    app.run(export_id)
    imports = len(constant_contact.imports)
    if header:
        text = "\n".join([header, *(",".join(row) for row in PEOPLE)])
        app.segments.upload_blob("Spring.csv", text + "\n", overwrite=True)
    else:
        app.put_segment("Spring", [(email, "", city) for email, _, city in PEOPLE])

    held = app.run(export_id)

    assert held.state is RunState.HELD
    assert held.error is not None
    assert held.error.code == code
    assert len(constant_contact.imports) == imports


@pytest.mark.parametrize(
    ("addresses", "column", "value"),
    [
        ("plain", "email", "gone@example.com"),
        ("hashed", "email_sha256", sha256(b"gone@example.com").hexdigest()),
    ],
)
def test_who_opted_out_is_written_where_the_export_says(
    app: App,
    constant_contact: ConstantContact,
    list_id: str,
    addresses: str,
    column: str,
    value: str,
) -> None:
    constant_contact.add_contact("gone@example.com")
    constant_contact.unsubscribe("gone@example.com")
    app.put_segment("Spring", PEOPLE)
    container = app.add_container("consent-data")
    wanted = {"container": "consent-data", "addresses": addresses}
    export_id = app.create_export("Spring", list_id, opt_outs=wanted)

    app.run(export_id)

    text = container.download_blob(f"{export_id}.csv").readall().decode()
    (line,) = csv.DictReader(io.StringIO(text, newline=""))
    assert line[column] == value
    assert line["opted_out_by"] == "Contact"


@pytest.mark.parametrize(
    ("container", "code"),
    [
        ("exports", "container_taken"),
        ("segments", "container_taken"),
        ("nowhere", "unknown_container"),
    ],
)
def test_opt_outs_are_not_written_among_documents_or_segments_or_nowhere(
    app: App, list_id: str, container: str, code: str
) -> None:
    app.put_segment("Spring", PEOPLE)

    with pytest.raises(Invalid) as caught:
        app.create_export("Spring", list_id, opt_outs={"container": container})

    assert [(fault.field, fault.code) for fault in caught.value.faults] == [
        ("opt_outs.container", code)
    ]


def test_deleting_an_export_forgets_whom_it_sent(app: App, export_id: str) -> None:
    app.run(export_id)
    assert list(app.container.list_blob_names(name_starts_with="memory/"))

    app.product.editor.delete(export_id, LOCAL)

    assert not list(app.container.list_blob_names(name_starts_with="memory/"))


def test_a_queue_that_fails_once_strands_no_run(
    app: App, export_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is a step on, and the message for that step was never queued."""
    queue, failed = app.waits.send, list[Step]()

    def send(step: Step, delay: timedelta = timedelta(0)) -> None:
        if step.position == 1 and not failed:
            failed.append(step)
            raise ServiceUnavailable("The queue does not answer just now.")
        queue(step, delay)

    monkeypatch.setattr(app.waits, "send", send)

    run = app.run(export_id)

    assert failed
    assert run.state is RunState.COMPLETED


def test_an_upload_whose_answer_was_lost_is_not_repeated_while_it_may_be_on_its_way(
    app: App, export_id: str, constant_contact: ConstantContact
) -> None:
    """The gateway gave up, and what is behind it acts only minutes later."""
    constant_contact.faults.drop(IMPORT, "before", times=1)
    run = app.start(export_id)
    app.step(2)
    waiting = app.read(run).waiting
    assert waiting is not None
    assert waiting.reason == "answer_lost"
    looks = len(constant_contact.calls)

    app.product.jobs.perform(Step(run=run.key, step=StepKind.SEND, position=2))

    assert len(constant_contact.calls) == looks
    app.drain()
    assert app.read(run).state is RunState.COMPLETED
    assert len(constant_contact.imports) == 1
    longest = max(delay for _, delay in app.waits.sent)
    assert abs(longest - LONGEST_CALL) < timedelta(minutes=1)


def test_trouble_with_the_file_of_opt_outs_is_a_note_on_a_run_that_is_complete(
    app: App, list_id: str, constant_contact: ConstantContact
) -> None:
    app.put_segment("Spring", PEOPLE)
    container = app.add_container("consent-data")
    wanted = {"container": "consent-data", "addresses": "hashed"}
    export_id = app.create_export("Spring", list_id, opt_outs=wanted)
    container.delete_container()

    run = app.run(export_id)

    assert run.state is RunState.COMPLETED
    (note,) = run.notes
    assert note.code == "opt_outs_not_written"
    assert note.message.endswith("There is no such container.")
    assert constant_contact.members(list_id) == EMAILS


def test_a_worker_that_stalled_does_not_put_an_older_memory_over_a_newer_one(
    app: App, export_id: str
) -> None:
    first = app.start(export_id)
    app.step(2)
    staged = f"runs/{first.key}/batches/"
    files = {
        name: app.container.download_blob(name).readall()
        for name in app.container.list_blob_names(name_starts_with=staged)
    }
    app.drain()
    app.put_segment("Spring", [*PEOPLE[:-1], (PEOPLE[-1][0], "Renamed", "Boston")])
    app.run(export_id)

    for name, content in files.items():
        app.container.upload_blob(name, content)
    app.product.remembering.remember(app.read(first))

    assert app.run(export_id).counts.unchanged == 20


def test_what_is_sent_while_everybody_is_sent_counts_when_only_changes_are_sent_again(
    app: App, constant_contact: ConstantContact, export_id: str
) -> None:
    def switch(*, only_changes: bool) -> None:
        export, etag = app.product.exports.read(export_id)
        content = export.model_dump(mode="json") | {"only_changes": only_changes}
        app.product.editor.replace(export_id, content, etag, LOCAL)

    app.run(export_id)
    switch(only_changes=False)
    app.put_segment("Spring", [(email, "Changed", city) for email, _, city in PEOPLE])
    app.run(export_id)
    switch(only_changes=True)
    app.put_segment("Spring", PEOPLE)

    app.run(export_id)

    contact = constant_contact.contact(PEOPLE[0][0])
    assert contact is not None
    assert contact.values["first_name"] == PEOPLE[0][1]
