"""The app over the real parts, a fresh one for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.constant_contact import ConstantContact
from local.key_vault import KeyVault
from tests.runs.app import PEOPLE, REDIRECT_URI, App, Clock


@pytest.fixture
def clock() -> Clock:
    """The time, for the app and for Constant Contact."""
    return Clock()


@pytest.fixture
def constant_contact(clock: Clock) -> Iterator[ConstantContact]:
    """Constant Contact with limits that no test waits for."""
    with ConstantContact(
        clock=clock,
        redirect_uris=(REDIRECT_URI,),
        requests_per_second=1000,
        token_requests_per_second=1000,
        activity_seconds=0.0,
    ) as running:
        yield running


@pytest.fixture
def list_id(constant_contact: ConstantContact) -> str:
    """An empty list."""
    return constant_contact.add_list("Spring")


@pytest.fixture
def export_id(app: App, list_id: str) -> str:
    """An export of `PEOPLE` to that list."""
    app.put_segment("Spring", PEOPLE)
    return app.create_export("Spring", list_id)


@pytest.fixture
def app(
    storage_account: str, key_vault: KeyVault, constant_contact: ConstantContact, clock: Clock
) -> App:
    """The app, connected to one account."""
    key_vault.set("constant-contact-client-secret", "stand-in-secret")
    app = App(storage_account, key_vault.url, constant_contact, clock=clock)
    app.create()
    app.connect()
    return app
