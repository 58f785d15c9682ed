"""Removing a connection: at any time, and nothing further is sent."""

from __future__ import annotations

import threading
from itertools import count

import pytest

from local.constant_contact import ConstantContact
from local.key_vault import KeyVault
from shared.connections import ConnectionState
from shared.errors import NotFound, ReconnectRequired
from shared.rounds import TIMER
from tests.conftest import Figure
from tests.scenarios.desk import WHO, Desk
from tests.scenarios.test_connection import token_requests

CSV = b"email\nana@example.com\n"


def test_the_tokens_go_and_the_document_says_who_and_when(
    connected: Desk, key_vault: KeyVault
) -> None:
    connection = connected.remove("main", "grace")

    assert connection.state is ConnectionState.REMOVED
    assert connection.removed_by == "grace"
    assert "connection-main" not in key_vault.secrets
    with pytest.raises(NotFound):
        connected.remove("main")
    assert connected.connections.read("main") == connection


def test_nothing_is_sent_any_more_by_any_instance(
    connected: Desk, stand_in: ConstantContact
) -> None:
    """Also not by one that still has a good access token."""
    elsewhere = Desk(connected.places)
    elsewhere.client("main").lists()
    connected.remove("main")
    stand_in.calls.clear()

    for desk in (connected, elsewhere):
        with pytest.raises(ReconnectRequired, match="removed"):
            desk.client("main").lists()
    with pytest.raises(NotFound):
        elsewhere.authorizations.authorize("main", WHO)
    assert stand_in.calls == []


def test_removed_during_a_run_nothing_further_is_sent(
    connected: Desk, stand_in: ConstantContact, figure: Figure
) -> None:
    """Another instance sends batch after batch, three calls in flight, as a run does."""
    list_id = stand_in.add_list("Spring")
    client = Desk(connected.places).client("main")
    under_way = threading.Semaphore(0)
    numbers = count()
    ends: list[str] = []

    def send() -> None:
        try:
            while True:
                client.import_contacts(f"{next(numbers)}.csv", CSV, [list_id])
                under_way.release()
        except ReconnectRequired as error:
            ends.append(str(error))

    threads = [threading.Thread(target=send) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        under_way.acquire()
    connected.remove("main")
    sent = len(stand_in.imports)
    for thread in threads:
        thread.join()

    assert len(stand_in.imports) == sent
    assert ends == ["The connection was removed."] * 3
    figure(f"removed during a run, after {sent} batches: 0 sent afterwards")


def test_removed_during_a_refresh_no_tokens_are_left(
    connected: Desk,
    stand_in: ConstantContact,
    key_vault: KeyVault,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever stores tokens looks afterwards whether they are still wanted."""
    other = Desk(connected.places)
    old = other.tokens.access_token("main")
    refresh = other.endpoint.refresh

    def remove_meanwhile(*arguments: object) -> object:
        grant = refresh(*arguments)  # type: ignore[arg-type]
        connected.remove("main")
        return grant

    monkeypatch.setattr(other.endpoint, "refresh", remove_meanwhile)

    with pytest.raises(ReconnectRequired, match="removed"):
        other.tokens.rotate("main", old)
    assert token_requests(stand_in) == 2
    assert "connection-main" not in key_vault.secrets


def test_removed_and_made_anew_during_a_refresh_it_starts_without_tokens(
    connected: Desk, key_vault: KeyVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Desk(connected.places)
    old = other.tokens.access_token("main")
    refresh = other.endpoint.refresh

    def replace_meanwhile(*arguments: object) -> object:
        grant = refresh(*arguments)  # type: ignore[arg-type]
        connected.remove("main")
        connected.connections.create("Again", consented=True, who=WHO, connection_id="main")
        return grant

    monkeypatch.setattr(other.endpoint, "refresh", replace_meanwhile)

    with pytest.raises(ReconnectRequired, match="not been connected"):
        other.tokens.rotate("main", old)
    assert "connection-main" not in key_vault.secrets
    assert connected.connections.read("main").last_refresh is None


def test_removed_during_a_consent_no_tokens_are_left(
    connected: Desk, key_vault: KeyVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    adopt = connected.tokens.adopt

    def remove_first(*arguments: object) -> object:
        Desk(connected.places).remove("main")
        return adopt(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(connected.tokens, "adopt", remove_first)

    with pytest.raises(ReconnectRequired, match="removed"):
        connected.connect("main")
    assert "connection-main" not in key_vault.secrets


def test_tokens_that_a_killed_instance_left_behind_go_with_the_timer(
    connected: Desk, key_vault: KeyVault
) -> None:
    left = key_vault.secrets["connection-main"]
    removed = connected.remove("main")
    connected.secrets.write("connection-main", left)

    connected.product.removal.finish(removed, TIMER)

    assert "connection-main" not in key_vault.secrets
