"""The app's parts for connections, over real services."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from local.constant_contact import ConstantContact
from local.key_vault import KeyVault
from tests.scenarios.desk import REDIRECT_URI, WHO, Desk, Places


@pytest.fixture
def stand_in() -> Iterator[ConstantContact]:
    """Constant Contact, without its limits: tests about those set them."""
    with ConstantContact(
        redirect_uris=(REDIRECT_URI,),
        requests_per_second=1000,
        token_requests_per_second=1000,
        activity_seconds=0,
    ) as running:
        yield running


@pytest.fixture
def desk(
    storage_account: str,
    key_vault: KeyVault,
    stand_in: ConstantContact,
    monkeypatch: pytest.MonkeyPatch,
) -> Desk:
    """One instance of the app, with a connection ``main`` that is not connected yet."""
    monkeypatch.setattr("shared.constant_contact.budget.TOKEN_SPACING", timedelta(0))
    key_vault.set("constant-contact-client-secret", "stand-in-secret")
    key_vault.set("memory-hash-key", "a key of the vault, long enough to be one")
    desk = Desk(
        Places(
            storage_account,
            key_vault.url,
            stand_in.api_url,
            stand_in.auth_url,
            per_second=1000,
        )
    )
    desk.container.create_container()
    desk.connections.create("Main", consented=True, who=WHO)
    return desk


@pytest.fixture
def connected(desk: Desk) -> Desk:
    """The same, connected."""
    desk.connect("main")
    return desk
