"""Connecting an account over HTTP: what a person is told, and what nobody is."""

from __future__ import annotations

import json
import logging
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from local.constant_contact import Fault
from tests.api.service import Service, problem_of
from tests.scenarios.secrecy import everything_of, let_out
from tests.scenarios.test_connection import TOKEN_PATH


def connect(service: Service, name: str) -> dict[str, str]:
    """Send a person through the consent of a connection; return what the console is told."""
    begun = service.call("POST", f"/api/connections/{name}/authorize", json={})
    there = requests.get(begun.json()["authorization_url"], allow_redirects=False, timeout=10)
    callback = f"/api/oauth/callback?{urlsplit(there.headers['Location']).query}"
    cookie = begun.headers["Set-Cookie"].partition(";")[0]
    back = service.call("GET", callback, headers={"Accept": "text/html,*/*", "Cookie": cookie})
    assert back.status_code == 302
    told = parse_qs(urlsplit(back.headers["Location"]).query)
    return {key: values[0] for key, values in told.items()}


def create_connection(service: Service, name: str) -> None:
    body = {"display_name": name, "id": name, "consent": {"accepted": True}}
    assert service.call("POST", "/api/connections", json=body).status_code == 201


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (401, {"error": "invalid_client"}, "setting_invalid"),
        (
            200,
            {"token_type": "Bearer", "expires_in": 60, "access_token": "unused", "scope": "a"},
            "no_refresh_token",
        ),
    ],
)
def test_why_an_account_was_not_connected_is_told_and_logged(
    service: Service,
    name: str,
    caplog: pytest.LogCaptureFixture,
    status: int,
    body: dict[str, Any],
    code: str,
) -> None:
    """The faults most common at a first connect: a wrong client secret, a scope too few."""
    create_connection(service, name)
    faults = service.app.constant_contact.faults
    summary = {"encoded_account_id": "new", "organization_name": "New"}
    faults.add(Fault(path=TOKEN_PATH, status=status, body=body))
    faults.add(Fault(path="/v3/account/summary", status=200, body=summary))

    try:
        assert connect(service, name) == {"not_connected": code}
    finally:
        faults.clear()
    assert any(f"not connected: {code}: " in record.getMessage() for record in caplog.records)


def test_what_needs_a_person_says_where(service: Service, name: str) -> None:
    create_connection(service, name)

    answer = service.call("GET", f"/api/connections/{name}/lists")

    assert answer.status_code == 409
    assert problem_of(answer)["location"] == "/console/#/connections"


def test_what_constant_contact_refuses_says_the_id_of_the_request(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    fault = Fault(path="/v3/contact_lists", status=400)
    service.app.constant_contact.faults.add(fault)

    try:
        answer = service.call("GET", "/api/connections/main/lists")
    finally:
        service.app.constant_contact.faults.clear()
    found = re.search(r"request id is [0-9a-f-]{36}\.", problem_of(answer)["detail"])
    assert found
    assert found[0] in caplog.text


def test_a_list_may_be_named_by_its_old_number_which_is_translated_once(
    service: Service, name: str
) -> None:
    stand_in = service.app.constant_contact
    numbers = [str(stand_in.list_number(service.list_id)), "999999"]
    known, unknown = ([{"name": "Spring", "list_ids": [number]}] for number in numbers)

    service.create_export(name, segments=known)

    saved = service.call("GET", f"/api/exports/{name}")
    assert saved.json()["segments"][0]["list_ids"] == [service.list_id]
    stand_in.calls.clear()
    again = service.call(
        "PUT",
        f"/api/exports/{name}",
        json=saved.json(),
        headers={"If-Match": saved.headers["ETag"]},
    )
    assert again.status_code == 200
    assert not any("xrefs" in call.path for call in stand_in.calls)
    refused = service.call("POST", "/api/exports", json=service.order("x", segments=unknown))
    assert problem_of(refused)["errors"][0]["field"] == "segments.0.list_ids.0"


def test_no_answer_and_no_log_gives_a_token_away(
    service: Service, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a connection's life over HTTP: connected, used, renewed, asked about, removed."""
    caplog.set_level(logging.DEBUG)
    said: list[str] = []

    def ask(method: str, path: str, **content: Any) -> None:
        answer = service.call(method, path, **content)
        said.append(f"{answer.headers} {answer.text}")

    secrets = service.product().secrets

    def tokens() -> set[str]:
        stored = json.loads(secrets.read("connection-main"))
        return {stored["access_token"], stored["refresh_token"]}

    known = tokens()
    service.create_export(name)
    service.app.constant_contact.expire_access_tokens()
    for path in ("lists", "fields"):
        ask("GET", f"/api/connections/main/{path}")
    known |= tokens()
    ask("POST", f"/api/exports/{name}/runs", json={})
    service.app.drain()
    for path in ("connections", "connections/main", "exports", f"exports/{name}/runs", "overview"):
        ask("GET", f"/api/{path}")

    assert len(known) == 4
    assert len(said) == 8
    logs = [everything_of(record) for record in caplog.records if record.name != "werkzeug"]
    assert let_out(known, [*said, *logs]) == []
