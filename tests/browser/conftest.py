"""A browser, and the app as a process of its own over parts of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from azure.storage.blob import ContainerClient
from playwright.sync_api import Browser, sync_playwright

from local import chromium, parts
from local.azurite import Azurite
from local.constant_contact import ConstantContact
from local.key_vault import KeyVault
from local.segments import Segment
from tests.browser.console import Console

LOCALES = {"en": "en-GB", "id": "id-ID"}


@dataclass(frozen=True)
class App:
    """The app, running at *url*, and what stands around it."""

    url: str
    settings: dict[str, str]
    constant_contact: ConstantContact

    @property
    def documents(self) -> ContainerClient:
        """The app's documents."""
        return ContainerClient.from_connection_string(
            self.settings["EXPORT_STORAGE"], self.settings["EXPORT_CONTAINER"]
        )

    def upload(self, segment: Segment) -> Segment:
        """Write a segment where Customer Insights would."""
        with ContainerClient.from_connection_string(
            self.settings["SEGMENT_STORAGE"], self.settings["SEGMENT_CONTAINER"]
        ) as container:
            segment.upload(container)
        return segment

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call the API as another program would."""
        answer = requests.request(method, self.url + path, json=body, timeout=60)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def connect(self) -> str:
        """Make a connection and consent to it; return its id."""
        body = {"display_name": "Main account", "consent": {"accepted": True}}
        connection = self.call("POST", "/api/connections", body)["id"]
        with requests.Session() as browser:
            begin = f"{self.url}/api/connections/{connection}/authorize"
            asked = browser.post(begin, json={}, timeout=60).json()
            consent = browser.post(
                asked["authorization_url"],
                data={"decision": "allow"},
                allow_redirects=False,
                timeout=60,
            )
            browser.get(consent.headers["Location"], allow_redirects=False, timeout=60)
        return str(connection)


Open = Callable[..., Console]
Serve = Callable[..., AbstractContextManager[App]]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium; `make test` has installed it."""
    program = chromium.find()
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=list(chromium.ARGUMENTS))
        yield running
        running.close()


@pytest.fixture(scope="session")
def serve(azurite: Azurite, tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """Run the app, with other settings than usual where some are given."""
    log = tmp_path_factory.mktemp("browser") / "app.log"

    @contextmanager
    def serving(**options: str) -> Iterator[App]:
        url = f"http://127.0.0.1:{parts.free_port()}"
        with KeyVault() as vault, ConstantContact(ask=True, activity_seconds=0.1) as stand_in:
            settings = parts.furnish(azurite, vault, stand_in, url)
            settings |= {"SNAPSHOT_QUIET_SECONDS": "0"} | options
            with (
                log.open("a") as file,
                parts.host(settings, "--poll-seconds", "0.2", "--timers", "off", log=file),
            ):
                yield App(url, settings, stand_in)

    return serving


@pytest.fixture
def app(serve: Serve) -> Iterator[App]:
    """The app, with nothing set up."""
    with serve() as running:
        yield running


@pytest.fixture
def open_console(browser: Browser) -> Iterator[Open]:
    """Open windows onto an app; each belongs to somebody else."""
    contexts = []

    def opening(app: App, language: str = "en", **options: Any) -> Console:
        chosen = {"viewport": {"width": 1280, "height": 860}, "timezone_id": "Asia/Jakarta"}
        context = browser.new_context(locale=LOCALES[language], **(chosen | options))
        contexts.append(context)
        return Console(context.new_page(), app.url, language)

    yield opening
    for context in contexts:
        context.close()
