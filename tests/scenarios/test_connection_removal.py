"""Removing a connection: at any time, and nothing further is sent."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace
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
        connected.connections.note_removed("main", WHO)
        return grant

    monkeypatch.setattr(other.endpoint, "refresh", remove_meanwhile)

    with pytest.raises(ReconnectRequired, match="removed"):
        other.tokens.rotate("main", old)
    assert token_requests(stand_in) == 2
    assert "connection-main" not in key_vault.secrets


def test_removed_during_a_refresh_it_waits_for_the_tokens_to_be_deleted(
    connected: Desk, key_vault: KeyVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the removal has returned, none are left and none will come."""
    other = Desk(connected.places)
    old = other.tokens.access_token("main")
    refresh = other.endpoint.refresh
    removals: list[threading.Thread] = []

    def remove_meanwhile(*arguments: object) -> object:
        grant = refresh(*arguments)  # type: ignore[arg-type]
        removals.append(threading.Thread(target=connected.remove, args=("main",)))
        removals[0].start()
        return grant

    monkeypatch.setattr(other.endpoint, "refresh", remove_meanwhile)

    with contextlib.suppress(ReconnectRequired):  # or it was faster than the mark
        other.tokens.rotate("main", old)
    removals[0].join()
    assert "connection-main" not in key_vault.secrets
    assert connected.connections.read("main").removal_complete


def test_removed_during_a_consent_no_tokens_are_left(
    connected: Desk, key_vault: KeyVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = connected.endpoint.exchange

    def remove_meanwhile(*arguments: object) -> object:
        grant = exchange(*arguments)  # type: ignore[arg-type]
        Desk(connected.places).connections.note_removed("main", WHO)
        return grant

    monkeypatch.setattr(connected.endpoint, "exchange", remove_meanwhile)

    with pytest.raises(ReconnectRequired, match="removed"):
        connected.connect("main")
    assert "connection-main" not in key_vault.secrets


def test_tokens_that_a_killed_instance_left_behind_go_with_the_timer(
    connected: Desk, key_vault: KeyVault
) -> None:
    """Once: after that, nobody asks the vault for a removed connection any more."""
    removed = connected.connections.note_removed("main", WHO)

    complete = connected.product.removal.finish(removed, TIMER)

    assert "connection-main" not in key_vault.secrets
    key_vault.calls.clear()
    assert connected.product.removal.finish(complete, TIMER) == complete
    assert key_vault.calls == []


def test_the_timer_leaves_a_connection_alone_that_was_made_anew_during_its_round(
    connected: Desk,
) -> None:
    """What it read at the round's start is no longer so."""
    read_before = connected.connections.note_removed("main", WHO)
    connected.remove("main")
    connected.connections.create("Main", consented=True, who=WHO, connection_id="main")
    made = connected.connect("main")

    assert connected.product.removal.finish(read_before, TIMER) == made
    assert Desk(connected.places).client("main").lists() == []


class TestInACopyOfTheApp:
    """Another deployment that reaches the same vault."""

    @pytest.fixture
    def copy(self, connected: Desk) -> Desk:
        return Desk(replace(connected.places, site="deployment-2"))

    def test_removing_its_connection_leaves_the_originals_tokens(
        self, connected: Desk, copy: Desk
    ) -> None:
        """Its document is a copy as well, so the original's is put back here."""
        document = connected.connections.read("main")

        copy.remove("main")

        connected.records.update("main", lambda _: document)
        assert Desk(connected.places).client("main").lists() == []

    def test_what_nobody_can_read_is_deleted(self, copy: Desk, key_vault: KeyVault) -> None:
        key_vault.set("connection-main", "not json")

        copy.remove("main")

        assert "connection-main" not in key_vault.secrets
