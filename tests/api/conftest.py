"""The API over HTTP, in this process, over real storage, vault and Constant Contact stand-in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest

from local.azurite import Azurite
from local.constant_contact import ConstantContact
from local.functions_host import Host
from local.key_vault import KeyVault
from shared.bootstrap import product
from tests.api.service import DISABLED, ROOT, Service, load_app
from tests.runs.app import REDIRECT_URI, App, Clock

PEOPLE = [(f"person{n}@example.com", f"First{n}", "Boston") for n in range(5)]


class RealClock(Clock):
    """The time, for the functions too, which know no other: waits are left out."""

    def pass_by(self, delay: timedelta) -> None:
        """Let no time pass."""


@pytest.fixture(scope="module")
def served(azurite: Azurite) -> Iterator[Service]:
    """The API with a connected account, a list ``Everyone`` and a segment ``Spring``."""
    clock = RealClock()
    with (
        pytest.MonkeyPatch.context() as patch,
        KeyVault() as vault,
        ConstantContact(
            clock=clock,
            redirect_uris=(REDIRECT_URI,),
            requests_per_second=1000,
            requests_per_day=1_000_000,
            token_requests_per_second=1000,
            activity_seconds=0.0,
        ) as constant_contact,
    ):
        patch.setattr("shared.constant_contact.budget.TOKEN_SPACING", timedelta(0))
        vault.set("constant-contact-client-secret", "stand-in-secret")
        options = {"CONSTANT_CONTACT_REQUESTS_PER_DAY": "1000000"}
        app = App(azurite.new_account(), vault.url, constant_contact, options, clock)
        environment = {
            name: str(value)
            for name, value in app.settings.model_dump(by_alias=True).items()
            if value is not None
        }
        for name, value in {**vault.environment, **environment}.items():
            patch.setenv(name, value)

        def set_environment(name: str, value: str | None) -> None:
            if value is None:
                patch.delenv(name, raising=False)
            else:
                patch.setenv(name, value)

        app.create()
        app.connect()
        app.put_segment("Spring", PEOPLE)
        constant_contact.add_list("Everyone")
        product.cache_clear()
        with Host(
            load_app(),
            {**environment, **DISABLED},
            json.loads((ROOT / "host.json").read_text(encoding="utf-8")),
            timers=False,
        ) as host:
            yield Service(app, host.url, set_environment)
        product.cache_clear()


@pytest.fixture
def service(served: Service) -> Iterator[Service]:
    """The API, signed in by the platform."""
    served.sign_in("entra")
    yield served
    served.sign_in("entra")


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """An id that no other test uses."""
    text = "".join(mark if mark.isalnum() else "-" for mark in request.node.name.lower())
    return text.removeprefix("test-")[-60:].strip("-")
