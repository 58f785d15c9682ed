"""What goes wrong on purpose, and the stand-in as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import pytest
import requests

from local.constant_contact import ConstantContact, Fault
from tests.local.caller import CALLBACK, Caller, connected


@pytest.fixture
def app() -> Iterator[Caller]:
    with connected() as caller:
        yield caller


def test_the_nth_matching_call_is_answered_with_an_error(app: Caller) -> None:
    app.cc.faults.add(Fault(method="GET", path="/v3/contact_lists", nth=(2,), status=503, body=[]))

    statuses = [app.get("/contact_lists").status_code for _ in range(3)]

    assert statuses == [200, 503, 200]
    assert app.get("/activities").status_code == 200


def test_the_first_so_many_calls_can_fail(app: Caller) -> None:
    app.cc.faults.add(Fault(times=2, status=500, body=[{"error_key": "x", "error_message": "y"}]))

    assert [app.get("/contact_lists").status_code for _ in range(3)] == [500, 500, 200]


def test_a_refused_request_is_not_acted_on(app: Caller) -> None:
    app.cc.faults.add(Fault(times=1, status=500, body=[]))

    app.post("/contact_lists", {"name": "Spring"})

    assert app.cc.lists() == {}


def test_each_kind_of_429_is_at_hand(app: Caller) -> None:
    spring = app.cc.add_list("Spring")
    app.cc.faults.throttle(times=1)
    throttled = app.get("/contact_lists")
    app.cc.faults.clear()
    app.cc.faults.exceed_quota(times=1)
    exceeded = app.get("/contact_lists")
    app.cc.faults.clear()
    app.cc.faults.fill_queue(times=1)
    full = app.upload("email\n", spring)

    assert (throttled.status_code, exceeded.status_code, full.status_code) == (429, 429, 429)
    assert throttled.json()["error_key"] == "throttled"
    assert exceeded.json()["error_key"] == "quota_exceeded"
    assert isinstance(full.json(), list)


def test_an_error_can_be_a_page(app: Caller) -> None:
    app.cc.faults.html()

    answer = app.get("/contact_lists")

    assert answer.status_code == 502
    assert answer.headers["Content-Type"].startswith("text/html")
    assert answer.text.startswith("<html>")


@pytest.mark.parametrize(("when", "lists"), [("before", 0), ("after", 1)])
def test_an_answer_can_get_lost_before_or_after_acting(app: Caller, when: Any, lists: int) -> None:
    app.cc.faults.drop("/v3/contact_lists", when, method="POST")

    with pytest.raises(requests.ConnectionError):
        app.post("/contact_lists", {"name": "Spring"})

    assert len(app.cc.lists()) == lists
    assert app.cc.calls[-1].status is None


def test_a_lost_token_answer_has_spent_the_refresh_token(app: Caller) -> None:
    app.cc.faults.drop(".*/token", "after", times=1)

    with pytest.raises(requests.ConnectionError):
        app.refresh(app.tokens["refresh_token"])

    assert app.refresh(app.tokens["refresh_token"]).json()["error"] == "invalid_grant"


def test_an_answer_can_come_late(app: Caller) -> None:
    app.cc.faults.add(Fault(delay=30))

    with pytest.raises(requests.ReadTimeout):
        app.session.get(f"{app.cc.api_url}/contact_lists", timeout=0.05)


def test_every_answer_takes_the_latency_asked_for(app: Caller) -> None:
    app.cc.options.latency = 0.05

    assert app.get("/contact_lists").elapsed.total_seconds() >= 0.05


def test_options_are_checked() -> None:
    with pytest.raises(TypeError, match="no such option: speed"):
        ConstantContact(speed=1)
    with pytest.raises(ValueError, match="rotating"):
        ConstantContact(refresh_tokens="sometimes")


# As a process


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    command = [sys.executable, "-m", "local.constant_contact", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.terminate()


def test_another_process_sees_and_does_what_a_test_can() -> None:
    arguments = ["--list", "Spring", "--redirect-uri", CALLBACK, "--options"]
    with (
        running(*arguments, '{"activity_seconds": 0}') as (process, ready),
        requests.Session() as session,
    ):
        spring = ready["lists"]["Spring"]
        face = ready["api_url"].removesuffix("/v3") + "/_stand_in"

        def tell(where: str, /, **body: Any) -> Any:
            return session.post(face + where, json=body, timeout=10).json()

        def look(path: str) -> Any:
            return session.get(face + path, timeout=10).json()

        assert look("/health") == {"status": "ok"}
        contacts = [{"email": "Ana@example.com", "lists": [spring]}, {"email": "bo@example.net"}]
        assert len(tell("/contacts", contacts=contacts)["contact_ids"]) == 2
        tell("/unsubscribe", email="bo@example.net")
        tell("/refuse", email="cy@example.com")
        assert tell("/custom_fields", label="Loyalty tier") == {"name": "Loyalty_tier"}
        session.headers["Authorization"] = f"Bearer {tell('/tokens')['access_token']}"
        csv = "email\nana@example.com\nbo@example.net\ncy@example.com\ndi@example.com\n"
        sent = session.post(
            f"{ready['api_url']}/activities/contacts_file_import",
            files={"file": ("part-1.csv", csv, "text/csv")},
            data={"list_ids": spring},
            timeout=10,
        )

        members = ["ana@example.com", "di@example.com"]
        assert sent.status_code == 201
        assert look(f"/lists/{spring}") == {
            "list_id": spring,
            "count": 2,
            "digest": sha256("\n".join(members).encode()).hexdigest(),
        }
        assert look(f"/lists/{spring}/members") == {"members": members}
        assert look("/contacts/bo@example.net")["permission"] == "unsubscribed"
        assert look("/contacts/nobody@example.net") is None
        assert look("/imports")[0]["rows"] == 4
        assert look("/activities")[0]["status"]["correctable_count"] == 1
        assert [(call["method"], call["status"]) for call in look("/calls")] == [("POST", 201)]

        tell("/faults", path="/v3/contact_lists", times=1, status=500, body=[])
        tell("/endings", kind="contacts_file_import", state="failed")
        lists = f"{ready['api_url']}/contact_lists"
        assert session.get(lists, timeout=10).status_code == 500
        assert session.get(lists, timeout=10).status_code == 200
        assert tell("/quota", used=10_000) == {"used": 10_000}
        assert session.get(lists, timeout=10).json()["error_key"] == "quota_exceeded"
        tell("/quota", used=0)
        tell("/expire_access_tokens")
        assert session.get(lists, timeout=10).status_code == 401

        changed = session.patch(f"{face}/options", json={"latency": 0.01}, timeout=10)
        assert changed.json()["latency"] == 0.01
        wrong = session.patch(f"{face}/options", json={"speed": 1}, timeout=10)
        assert wrong.status_code == 400
        process.terminate()
        assert process.wait(timeout=10) == 0
