"""The access token expires in the middle of a large export."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

import pytest

from local.constant_contact import ConstantContact
from local.key_vault import KeyVault
from tests.conftest import Figure
from tests.scenarios.desk import Desk
from tests.scenarios.secrecy import search
from tests.scenarios.test_connection import token_requests

PROFILES = 1_000_000
ROWS = 39_999


def test_a_million_profiles_lose_nothing_to_it(
    connected: Desk,
    stand_in: ConstantContact,
    key_vault: KeyVault,
    caplog: pytest.LogCaptureFixture,
    figure: Figure,
) -> None:
    """One refresh, no batch lost or doubled, and no token let out."""
    caplog.set_level(logging.DEBUG)
    stand_in.options.change(keep_files=False, latency=0.05)
    list_id = stand_in.add_list("Everybody")
    client = connected.client("main")
    starts = range(0, PROFILES, ROWS)

    def send(start: int) -> str:
        if start == starts[len(starts) // 2]:
            stand_in.expire_access_tokens()
        rows = "\n".join(
            f"person{number}@example.com" for number in range(start, min(start + ROWS, PROFILES))
        )
        content = f"email\n{rows}\n".encode()
        return client.import_contacts(f"{start}.csv", content, [list_id]).id

    with ThreadPoolExecutor(3) as pool:
        activities = list(pool.map(send, starts))

    refused = sum(call.status == 401 for call in stand_in.calls)
    assert refused >= 1
    assert token_requests(stand_in) == 2  # the consent's and one refresh
    assert len(stand_in.imports) == len(set(activities)) == len(starts)
    assert {activity.id for activity in client.activities()} == set(activities)
    assert len(stand_in.members(list_id)) == PROFILES
    figure(
        f"expired during {PROFILES:,} profiles: {refused} answers 401, 1 refresh,"
        f" {len(starts)} of {len(starts)} batches taken once, {PROFILES:,} members;"
        f" {search(connected, key_vault, caplog.records)}"
    )
