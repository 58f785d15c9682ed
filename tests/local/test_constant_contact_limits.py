"""Rate, quota and connections of the Constant Contact stand-in."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from http.client import HTTPConnection
from urllib.parse import urlsplit

from tests.local.caller import connected

THROTTLED = {"error_key": "throttled", "error_message": "Too Many Requests"}
EXCEEDED = {"error_key": "quota_exceeded", "error_message": "Limit Exceeded"}


def test_a_fifth_call_within_any_second_is_throttled() -> None:
    with connected(requests_per_second=4) as app:
        for _ in range(4):
            assert app.get("/contact_lists").status_code == 200
            app.clock.advance(seconds=0.2)

        refused = app.get("/contact_lists")

        assert refused.status_code == 429
        assert refused.json() == THROTTLED
        assert "Retry-After" not in refused.headers
        app.clock.advance(seconds=0.2)
        assert app.get("/contact_lists").status_code == 200
        assert app.get("/contact_lists").status_code == 429


def test_the_limit_is_the_keys_whatever_the_token() -> None:
    with connected(requests_per_second=1) as app:
        assert app.get("/contact_lists").status_code == 200
        app.use(app.cc.issue_tokens(account_id="another"))

        assert app.get("/contact_lists").status_code == 429


def test_the_days_quota_comes_back_at_midnight_utc() -> None:
    with connected(requests_per_day=3) as app:
        app.clock.now = datetime(2026, 11, 23, 23, 59, 59, tzinfo=UTC)
        statuses = [app.get("/contact_lists").status_code for _ in range(5)]
        refused = app.get("/contact_lists")

        assert statuses == [200, 200, 200, 429, 429]
        assert refused.json() == EXCEEDED
        app.clock.advance(seconds=1)
        assert app.get("/contact_lists").status_code == 200


def test_the_quota_can_be_used_up_and_given_back() -> None:
    with connected() as app:
        app.cc.use_quota(10_000)
        assert app.get("/contact_lists").json() == EXCEEDED

        app.cc.reset_quota()

        assert app.get("/contact_lists").status_code == 200


def test_the_token_endpoint_takes_one_request_a_second() -> None:
    with connected(token_requests_per_second=1) as app:
        first = app.refresh(app.tokens["refresh_token"])
        second = app.refresh(first.json()["refresh_token"])

        assert first.status_code == 200
        assert second.status_code == 429
        app.clock.advance(seconds=1)
        assert app.refresh(first.json()["refresh_token"]).status_code == 200


def test_token_requests_count_towards_the_keys_limits_unless_told_otherwise() -> None:
    with connected(requests_per_second=1) as app:
        tokens = app.refresh(app.tokens["refresh_token"]).json()
        app.use(tokens)
        assert app.get("/contact_lists").status_code == 429

        app.clock.advance(seconds=1)
        app.cc.options.token_requests_count = False
        app.use(app.refresh(tokens["refresh_token"]).json())
        assert app.get("/contact_lists").status_code == 200


def test_a_throttled_call_uses_up_quota_unless_told_otherwise() -> None:
    with connected(requests_per_second=1) as app:
        app.get("/contact_lists")
        app.get("/contact_lists")
        assert app.cc.limits.used_today == 2

        app.cc.options.refused_calls_count = False
        app.get("/contact_lists")
        assert app.cc.limits.used_today == 2


def test_every_call_is_on_record() -> None:
    with connected(requests_per_day=1) as app:
        app.get("/contact_lists", limit=5)
        app.get("/contact_lists")
        app.refresh("no such token")

        seen = [(call.method, call.path, call.query, call.status) for call in app.cc.calls]
        assert seen == [
            ("GET", "/v3/contact_lists", "limit=5", 200),
            ("GET", "/v3/contact_lists", "", 429),
            ("POST", "/oauth2/default/v1/token", "", 400),
        ]
        assert {call.at for call in app.cc.calls} == {app.clock.now}


def test_a_connection_serves_many_calls() -> None:
    """HTTP/1.1 keep-alive, so that a client's reuse of connections can be seen."""
    with connected() as app:
        connection = HTTPConnection("127.0.0.1", urlsplit(app.cc.url).port or 0, timeout=10)
        with closing(connection):
            connection.connect()
            opened = connection.sock
            for _ in range(3):
                connection.request("GET", "/v3/contact_lists", headers=app.headers)
                answer = connection.getresponse()
                answer.read()

                assert (answer.status, answer.version) == (200, 11)
            assert connection.sock is opened
