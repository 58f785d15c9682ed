"""A retry sends again what Constant Contact did not carry out, and nothing that is out of date."""

from __future__ import annotations

import csv
import io

import pytest

from local.constant_contact import ConstantContact
from shared.errors import Conflict
from shared.roles import LOCAL
from shared.runs import Run, RunState
from shared.storage.documents import Documents
from tests.runs.app import EMAILS, PEOPLE, App

IMPORT = "contacts_file_import"


@pytest.fixture
def failed(app: App, export_id: str, constant_contact: ConstantContact) -> Run:
    """A run whose one batch Constant Contact did not carry out."""
    constant_contact.faults.end(IMPORT, nth=(1,), state="failed", share=0.0)
    run = app.run(export_id)
    assert run.state is RunState.FAILED
    return run


def rejects(app: App, run: Run) -> list[dict[str, str]]:
    text = b"".join(app.product.ledger.rejects(run.key)).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_a_retry_names_the_rows_that_are_refused(
    app: App, failed: Run, constant_contact: ConstantContact
) -> None:
    constant_contact.refuse("person3@example.com")

    run = app.run(failed.export_id, retry_of=failed.id)

    assert run.state is RunState.COMPLETED
    assert [(line["row"], line["reason"]) for line in rejects(app, run)] == [
        ("5", "refused_by_constant_contact")
    ]


def test_a_retry_of_which_nothing_is_refused_has_empty_rejects(app: App, failed: Run) -> None:
    run = app.run(failed.export_id, retry_of=failed.id)

    assert rejects(app, run) == []


def test_a_piece_put_behind_a_file_is_put_once_whoever_else_writes(app: App) -> None:
    """Two writers add to a file that is not there yet, and one of them does it twice."""
    files = Documents(app.container)

    for piece in (b"one\n", b"two\n", b"one\n"):
        files.append_block("rejects.csv", piece)

    assert b"".join(files.stream("rejects.csv")) == b"one\ntwo\n"


def test_a_run_is_not_retried_once_a_newer_one_has_sent_people(
    app: App, failed: Run, constant_contact: ConstantContact, list_id: str
) -> None:
    """It would put old values back, and people who have left since."""
    constant_contact.faults.end(IMPORT, nth=(1,), state="failed")
    app.put_segment("Spring", [(PEOPLE[0][0], "Renamed", "Boston"), *PEOPLE[1:-1]])
    newer = app.run(failed.export_id)
    assert newer.state is RunState.FAILED

    with pytest.raises(Conflict, match="newer run"):
        app.start(failed.export_id, retry_of=failed.id)

    assert not app.product.ledger.has_staged(failed.key)
    assert app.run(failed.export_id, retry_of=newer.id).state is RunState.COMPLETED
    assert constant_contact.members(list_id) == EMAILS - {PEOPLE[-1][0]}


def test_a_completed_run_takes_the_place_of_older_failed_ones(
    app: App, failed: Run, export_id: str
) -> None:
    app.run(export_id)

    assert not app.product.ledger.has_staged(failed.key)
    with pytest.raises(Conflict, match="newer run"):
        app.start(export_id, retry_of=failed.id)


def test_a_newer_run_that_sent_nothing_is_in_nobodys_way(
    app: App, failed: Run, export_id: str
) -> None:
    held = app.run(export_id, hold=True)
    app.product.jobs.cancel(held.key, LOCAL)
    app.drain()

    assert app.run(export_id, retry_of=failed.id).state is RunState.COMPLETED


@pytest.mark.parametrize("steps", [0, 1, 2], ids=["queued", "sending", "following"])
def test_a_retry_that_is_cancelled_leaves_the_failed_batches_for_another(
    app: App, failed: Run, constant_contact: ConstantContact, list_id: str, steps: int
) -> None:
    retry = app.start(failed.export_id, retry_of=failed.id)
    app.step(steps)
    app.product.jobs.cancel(retry.key, LOCAL)
    app.drain()
    assert app.read(retry).state is RunState.CANCELLED
    assert not app.product.ledger.has_staged(retry.key)

    again = app.run(failed.export_id, retry_of=failed.id)

    assert again.state is RunState.COMPLETED
    assert constant_contact.members(list_id) == EMAILS
    assert not app.product.ledger.has_staged(failed.key)


def test_a_retry_that_fails_again_can_itself_be_retried(
    app: App, failed: Run, constant_contact: ConstantContact, list_id: str
) -> None:
    constant_contact.faults.end(IMPORT, nth=(1,), state="failed")
    second = app.run(failed.export_id, retry_of=failed.id)
    assert second.state is RunState.FAILED
    assert not app.product.ledger.has_staged(failed.key)

    third = app.run(failed.export_id, retry_of=second.id)

    assert third.state is RunState.COMPLETED
    assert constant_contact.members(list_id) == EMAILS


def test_who_was_retried_is_remembered(
    app: App, failed: Run, export_id: str, constant_contact: ConstantContact
) -> None:
    app.run(export_id, retry_of=failed.id)
    imports = len(constant_contact.imports)

    run = app.run(export_id)

    assert (run.counts.unchanged, run.counts.staged) == (20, 0)
    assert len(constant_contact.imports) == imports


def test_who_was_retried_is_remembered_beside_those_the_failed_run_did_reach(
    app: App, constant_contact: ConstantContact, list_id: str
) -> None:
    """Of two batches one fails; after the retry, only who has changed since is sent."""
    app.put_segment("Autumn", PEOPLE[:10])
    app.put_segment("Spring", PEOPLE[10:])
    segments = [
        {"name": name, "list_ids": [list_id], "format": {"header": True}}
        for name in ("Autumn", "Spring")
    ]
    export_id = app.create_export("Autumn", list_id, segments=segments)
    constant_contact.refuse(PEOPLE[12][0])
    constant_contact.faults.end(IMPORT, nth=(2,), state="failed", share=0.0)
    failed = app.run(export_id)
    app.run(export_id, retry_of=failed.id)
    app.put_segment("Autumn", [(PEOPLE[0][0], "Renamed", "Boston"), *PEOPLE[1:10]])

    run = app.run(export_id)

    assert (run.counts.unchanged, run.counts.staged) == (18, 2)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_rows_of_a_batch_that_failed_are_named(
    app: App, export_id: str, constant_contact: ConstantContact, share: float
) -> None:
    constant_contact.faults.end(IMPORT, nth=(1,), state="failed", share=share)

    run = app.run(export_id)

    lines = rejects(app, run)
    assert [line["row"] for line in lines] == [str(n) for n in range(2, 22)]
    assert {(line["file"], line["reason"]) for line in lines} == {("Spring.csv", "import_failed")}


def test_batches_that_were_never_sent_are_named_and_can_be_retried(
    app: App, export_id: str, constant_contact: ConstantContact, list_id: str
) -> None:
    run = app.start(export_id)
    app.step(1)
    constant_contact.revoke()
    app.drain()
    stopped = app.read(run)
    assert stopped.state is RunState.FAILED
    assert stopped.reconciled is None
    assert [batch.verdict for batch in stopped.batches] == ["not_sent"]
    assert {line["reason"] for line in rejects(app, run)} == {"not_sent"}
    assert len(rejects(app, run)) == 20
    app.reconnect()

    retried = app.run(export_id, retry_of=run.id)

    assert retried.state is RunState.COMPLETED
    assert constant_contact.members(list_id) == EMAILS


def test_rows_that_were_on_their_way_when_a_run_was_cancelled_are_named(
    app: App, export_id: str
) -> None:
    run = app.start(export_id)
    app.step(2)
    app.product.jobs.cancel(run.key, LOCAL)
    app.drain()

    assert {line["reason"] for line in rejects(app, run)} == {"import_failed"}
    assert len(rejects(app, run)) == 20


def test_a_discarded_dry_run_has_nothing_to_add_up(app: App, export_id: str) -> None:
    held = app.run(export_id, hold=True)
    app.product.jobs.cancel(held.key, LOCAL)
    app.drain()

    assert app.read(held).reconciled is None
    assert rejects(app, held) == []
