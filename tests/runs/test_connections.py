"""What a run does when its connection does not hold, and what it never lets out."""

from __future__ import annotations

import logging
from datetime import timedelta
from threading import Lock

import pytest

from local.constant_contact import ConstantContact
from local.key_vault import KeyVault
from shared.errors import AccessRefused, IdTaken, NotConnected, NotFound
from shared.roles import LOCAL
from shared.runs import Run, RunState
from shared.sending import IN_FLIGHT
from shared.steps import write_step
from shared.tokens import TokenSet
from tests.conftest import Figure
from tests.runs.app import PEOPLE, App, Clock
from tests.scenarios.secrecy import everything_of


@pytest.fixture
def clock() -> Clock:
    """An app whose exports were saved before the segments came: those are news."""
    return Clock(ahead=timedelta(minutes=-1))


def test_a_revoked_consent_ends_the_run_with_what_to_do(
    app: App, export_id: str, constant_contact: ConstantContact
) -> None:
    constant_contact.revoke()

    run = app.run(export_id)

    assert run.state is RunState.FAILED
    assert run.error is not None
    assert run.error.code == "reconnect_required"
    assert "connect it again" in run.error.action
    assert not constant_contact.imports


def test_exports_of_a_broken_connection_rest_and_go_on_once_it_is_connected(
    app: App, export_id: str, constant_contact: ConstantContact, list_id: str
) -> None:
    constant_contact.revoke()
    assert app.product.round.make() == "1 started"
    app.drain()
    assert app.product.round.make() == "1 not connected"
    with pytest.raises(NotConnected):
        app.product.jobs.start(export_id, LOCAL)

    app.clock.pass_by(timedelta(seconds=5))
    app.reconnect()
    assert app.product.round.make() == "1 started"
    app.drain()

    assert constant_contact.members(list_id) == {email for email, *_ in PEOPLE}


def test_an_access_token_that_expires_during_a_run_is_renewed_once(
    app: App, export_id: str, constant_contact: ConstantContact, key_vault: KeyVault
) -> None:
    before = key_vault.secrets["connection-main"]
    constant_contact.expire_access_tokens()
    calls = len([call for call in constant_contact.calls if call.path.endswith("/token")])

    run = app.run(export_id)

    refreshes = [call for call in constant_contact.calls if call.path.endswith("/token")][calls:]
    assert run.state is RunState.COMPLETED
    assert len(refreshes) == 1
    assert key_vault.secrets["connection-main"] != before


def test_a_removal_that_was_cut_off_is_finished_by_removing_again(
    app: App, export_id: str, key_vault: KeyVault, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "events")
    run = app.start(export_id)
    key_vault.fail("DELETE", "connection-main", status=403)
    with pytest.raises(AccessRefused):
        app.product.removal.remove("main", LOCAL)
    with pytest.raises(IdTaken):  # nor does another take its place, with these exports
        app.product.connections.create("New", consented=True, who="ada", connection_id="main")

    app.product.removal.remove("main", LOCAL)

    assert is_stopped(app, run, key_vault)
    with pytest.raises(NotFound):
        app.product.removal.remove("main", LOCAL)
    assert [audited(caplog, what) for what in ("connection_removed", "export_disabled")] == [1, 1]


def test_a_removal_that_was_cut_off_is_finished_by_the_timer_alone(
    app: App, export_id: str, key_vault: KeyVault
) -> None:
    run = app.start(export_id)
    key_vault.fail("DELETE", "connection-main", status=403)
    with pytest.raises(AccessRefused):
        app.product.removal.remove("main", LOCAL)

    assert "1 removed" in app.product.round.make()

    assert is_stopped(app, run, key_vault)
    assert "removed" not in app.product.round.make()


def is_stopped(app: App, run: Run, key_vault: KeyVault) -> bool:
    app.drain()
    export, _ = app.product.exports.read(run.export_id)
    cancelled = app.read(run).state is RunState.CANCELLED
    return cancelled and not export.enabled and "connection-main" not in key_vault.secrets


def audited(caplog: pytest.LogCaptureFixture, what: str) -> int:
    return sum(vars(record).get("what") == what for record in caplog.records)


def test_removing_the_connection_while_a_run_sends_cancels_it(
    app: App, constant_contact: ConstantContact, list_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of eight batches, at most the three under way are taken; nothing is sent afterwards."""
    names = [f"Segment{number}" for number in range(8)]
    for name in names:
        app.put_segment(name, [(f"{name}@example.com", "Ana", "Boston")])
    segments = [{"name": n, "list_ids": [list_id], "format": {"header": True}} for n in names]
    run = app.start(app.create_export(names[0], list_id, segments=segments))
    app.step(1)
    elsewhere = App(app.storage, app.vault_url, constant_contact, clock=app.clock)
    access_token, turns = app.product.tokens.access_token, Lock()
    sent: list[int] = []

    def remove_after_the_first_batch(connection_id: str) -> str:
        with turns:
            if constant_contact.imports and not sent:
                elsewhere.product.removal.remove("main", LOCAL)
                sent.append(len(constant_contact.imports))
        return access_token(connection_id)

    monkeypatch.setattr(app.product.tokens, "access_token", remove_after_the_first_batch)
    app.drain()

    run = app.read(run)
    assert run.state is RunState.CANCELLED
    assert run.error is None or "was removed" in run.error.message
    taken = len(constant_contact.imports)
    assert taken <= sent[0] + IN_FLIGHT - 1 < len(names)
    assert app.product.round.make() == "1 disabled"
    app.drain()
    assert len(constant_contact.imports) == taken
    export, _ = app.product.exports.read(run.export_id)
    assert export.disabled_reason == "connection_removed"


def test_no_token_and_no_address_leaves_where_it_belongs(
    app: App,
    export_id: str,
    constant_contact: ConstantContact,
    key_vault: KeyVault,
    caplog: pytest.LogCaptureFixture,
    figure: Figure,
) -> None:
    """Documents, queue messages and logs of a run with refusals and a renewed token."""
    caplog.set_level(logging.DEBUG)
    constant_contact.refuse("person3@example.com")
    constant_contact.options.errors_name_address = True
    old = TokenSet.model_validate_json(key_vault.secrets["connection-main"])
    constant_contact.expire_access_tokens()

    app.run(export_id)

    new = TokenSet.model_validate_json(key_vault.secrets["connection-main"])
    tokens = {t for s in (old, new) for t in (s.access_token, s.refresh_token)}
    documents = {
        name: app.container.download_blob(name).readall().decode("utf-8", "replace")
        for name in app.container.list_blob_names()
    }
    messages = [write_step(step) for step, _ in app.waits.sent]
    logs = [everything_of(record) for record in caplog.records]
    texts = [*documents.values(), *messages, *logs]
    assert not [text[:80] for text in texts if any(token in text for token in tokens)]
    assert not [text[:80] for text in texts if "@example.com" in text.lower()]
    figure(
        f"{len(tokens)} tokens and 20 addresses searched in {len(documents)} documents, "
        f"{len(messages)} messages and {len(logs)} log records of a run: none found"
    )
