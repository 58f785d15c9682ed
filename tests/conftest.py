"""The parts a run needs, real ones: each test has its own account, vault and Constant Contact."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from local import parts
from local.azurite import Azurite
from local.constant_contact import ConstantContact
from local.key_vault import KeyVault

# No time limits; and in CI the same examples every time, so that nobody fails for another's find.
hypothesis.settings.register_profile("app", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("app")

Figure = Callable[[str], None]

SAMPLE = Path(__file__).parents[1] / "local.settings.sample.json"
"""`function_app` checks its settings when it is loaded, so the tests have the sample's."""

for setting, text in json.loads(SAMPLE.read_text(encoding="utf-8"))["Values"].items():
    os.environ.setdefault(setting, text)


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """Microsoft's storage emulator, in memory; take accounts with `new_account`."""
    with Azurite() as running:
        yield running


@pytest.fixture
def storage_account(azurite: Azurite) -> str:
    """The connection string of an empty storage account."""
    return azurite.new_account()


@pytest.fixture
def key_vault(monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyVault]:
    """An empty vault; ``SecretClient(key_vault.url, DefaultAzureCredential())`` reaches it."""
    with KeyVault() as vault:
        for name, value in vault.environment.items():
            monkeypatch.setenv(name, value)
        yield vault


@pytest.fixture
def constant_contact() -> Iterator[ConstantContact]:
    """An empty Constant Contact account."""
    with ConstantContact() as running:
        yield running


@pytest.fixture
def settings(
    azurite: Azurite, key_vault: KeyVault, constant_contact: ConstantContact
) -> dict[str, str]:
    """The app's settings for the parts of this test, to be served at `PUBLIC_URL`, a free port."""
    url = f"http://127.0.0.1:{parts.free_port()}"
    return parts.furnish(azurite, key_vault, constant_contact, url)


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Figure:
    """Say what a test measured; shown when all tests have run."""
    return lambda sentence: record_property("figure", sentence)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    figures = [
        value
        for report in terminalreporter.getreports("passed")
        if report.when == "call"
        for name, value in report.user_properties
        if name == "figure"
    ]
    if figures:
        terminalreporter.section("figures")
        for sentence in figures:
            terminalreporter.write_line(str(sentence))
