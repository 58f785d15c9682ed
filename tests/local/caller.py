"""An application that calls the Constant Contact stand-in, and the clock it lives by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import requests

from local.constant_contact import ConstantContact

CALLBACK = "https://app.example/api/oauth/callback"
FAST: dict[str, Any] = {
    "activity_seconds": 0,
    "requests_per_second": 1_000,
    "token_requests_per_second": 1_000,
    "redirect_uris": (CALLBACK,),
}


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 23, 6, tzinfo=UTC)
        self.seconds = 100.0

    def __call__(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, **units: float) -> None:
        passed = timedelta(**units)
        self.now += passed
        self.seconds += passed.total_seconds()


class Caller:
    """Holds tokens and speaks HTTP; paths are below ``/v3``."""

    def __init__(self, cc: ConstantContact, clock: Clock, session: requests.Session) -> None:
        self.cc = cc
        self.clock = clock
        self.session = session
        self.tokens: dict[str, Any] = {}
        self.use(cc.issue_tokens())

    def use(self, tokens: dict[str, Any]) -> None:
        self.tokens = tokens
        self.session.headers.update(self.headers)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens['access_token']}"}

    def call(self, method: str, path: str, **content: Any) -> requests.Response:
        return self.session.request(method, self.cc.api_url + path, timeout=10, **content)

    def get(self, path: str, **params: Any) -> requests.Response:
        return self.call("GET", path, params=params)

    def post(self, path: str, body: Any) -> requests.Response:
        return self.call("POST", path, json=body)

    def upload(
        self, csv: str | bytes, *list_ids: str, name: str = "part-00001.csv", **form: str
    ) -> requests.Response:
        return self.call(
            "POST",
            "/activities/contacts_file_import",
            files={"file": (name, csv, "text/csv")},
            data={"list_ids": ",".join(list_ids), **form},
        )

    def activity(self, answer: requests.Response) -> dict[str, Any]:
        """Return what has become of the activity that *answer* began."""
        found = self.get(f"/activities/{answer.json()['activity_id']}")
        assert found.status_code == 200
        body: dict[str, Any] = found.json()
        return body

    def imported(self, csv: str | bytes, *list_ids: str, **form: str) -> dict[str, Any]:
        answer = self.upload(csv, *list_ids, **form)
        assert answer.status_code == 201, answer.text
        return self.activity(answer)

    def pages(self, path: str, **params: Any) -> Iterator[dict[str, Any]]:
        """Follow ``_links.next``, which is relative to the host."""
        answer = self.get(path, **params)
        while True:
            body = answer.json()
            yield body
            link = body.get("_links", {}).get("next")
            if link is None:
                return
            assert link["href"].startswith("/v3/")
            answer = self.session.get(self.cc.url + link["href"], timeout=10)

    def authorize(self, **changes: str | None) -> requests.Response:
        asked: dict[str, str | None] = {
            "client_id": "stand-in-client",
            "redirect_uri": CALLBACK,
            "response_type": "code",
            "scope": "contact_data account_read offline_access",
            "state": "abc",
        }
        return self.session.get(
            f"{self.cc.auth_url}/authorize",
            params=asked | changes,
            allow_redirects=False,
            timeout=10,
        )

    def token(
        self,
        form: Mapping[str, str],
        auth: tuple[str, str] | None = ("stand-in-client", "stand-in-secret"),
    ) -> requests.Response:
        # A session would send its bearer where no credentials are given.
        return requests.post(f"{self.cc.auth_url}/token", data=form, auth=auth, timeout=10)

    def refresh(self, token: str) -> requests.Response:
        return self.token({"grant_type": "refresh_token", "refresh_token": token})


@contextmanager
def connected(**options: Any) -> Iterator[Caller]:
    """Start a stand-in with generous limits and a clock that stands still."""
    clock = Clock()
    with (
        ConstantContact(clock=clock, monotonic=clock.monotonic, **(FAST | options)) as cc,
        requests.Session() as session,
    ):
        yield Caller(cc, clock, session)
