"""Two lanes of instances, so that both cores of a small machine have something to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from local.azurite import Azurite
from local.constant_contact import ConstantContact
from local.key_vault import KeyVault
from tests.crashes.instances import Instances, instances
from tests.runs.app import REDIRECT_URI, App

LANES = 2

Settle = Callable[[App], None]


@pytest.fixture
def constant_contact() -> Iterator[ConstantContact]:
    """Constant Contact with limits that no test waits for, and tokens that outlast all waits."""
    with ConstantContact(
        redirect_uris=(REDIRECT_URI,),
        requests_per_second=1000,
        requests_per_day=1_000_000,
        token_requests_per_second=1000,
        activity_seconds=0.0,
        expires_in=30 * 86_400,
        activity_days=60,
    ) as running:
        yield running


@pytest.fixture
def lanes(
    azurite: Azurite, key_vault: KeyVault, constant_contact: ConstantContact
) -> Iterator[list[Instances]]:
    """Deployments that share nothing but the Constant Contact account."""
    key_vault.set("constant-contact-client-secret", "stand-in-secret")
    with ExitStack() as stack:
        found = []
        for number in range(LANES):
            options = {
                "EXPORT_CONTAINER": "exports",
                "CONSTANT_CONTACT_REQUESTS_PER_DAY": "1000000",
            }
            app = App(azurite.new_account(), key_vault.url, constant_contact, options)
            app.create()
            app.connect(f"lane-{number}")
            found.append(stack.enter_context(instances(app)))
        yield found


@pytest.fixture
def lane(lanes: list[Instances]) -> Instances:
    """The first of them."""
    return lanes[0]
