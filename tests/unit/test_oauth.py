"""OAuth's texts and answers, apart from sending."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.constant_contact.answers import Answer
from shared.constant_contact.oauth import (
    GrantRefused,
    State,
    StateSigner,
    exchange_body,
    read_grant,
    refresh_body,
)
from shared.errors import (
    AnswerLost,
    ExportError,
    Invalid,
    RateLimited,
    RequestRefused,
    SettingInvalid,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
GRANT = {
    "token_type": "Bearer",
    "expires_in": 28800,
    "access_token": "eyJraWQi",
    "scope": "offline_access contact_data",
    "refresh_token": "kQ2v",
}


def read(status: int, body: object) -> object:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_grant(Answer(status, {}, content), "client", NOW)


def test_a_grant_is_read_whole_and_its_life_is_believed() -> None:
    grant = read_grant(Answer(200, {}, json.dumps(GRANT).encode()), "client", NOW)

    assert (grant.access_token, grant.refresh_token) == ("eyJraWQi", "kQ2v")
    assert grant.lifetime == timedelta(hours=8)
    assert "contact_data" in grant.scope


@pytest.mark.parametrize(
    ("expires_in", "lifetime"),
    [
        ("28800", timedelta(hours=8)),
        (10**12, timedelta(days=30)),
        (float("inf"), timedelta(days=30)),
        (float("nan"), timedelta(hours=1)),
        (-1, timedelta(hours=1)),
        ("soon", timedelta(hours=1)),
        (None, timedelta(hours=1)),
    ],
)
def test_a_life_that_cannot_be_believed_does_not_cost_the_tokens(
    expires_in: object, lifetime: timedelta
) -> None:
    """The old ones have ended already."""
    body = json.dumps(GRANT | {"expires_in": expires_in}).encode()
    grant = read_grant(Answer(200, {}, body), "client", NOW)

    assert grant.lifetime == lifetime
    assert grant.refresh_token == "kQ2v"


def test_a_grant_does_not_show_its_tokens() -> None:
    assert "kQ2v" not in repr(read(200, GRANT))
    assert "eyJraWQi" not in repr(read(200, GRANT))


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, {"error": "invalid_grant", "error_description": "expired"}, GrantRefused),
        (401, {"error": "invalid_client"}, SettingInvalid),
        (400, {"error": "unauthorized_client"}, RequestRefused),
        (403, b"<html></html>", RequestRefused),
        (429, b"", RateLimited),
        (500, {"error": "server_error"}, AnswerLost),
        (502, b"<html></html>", AnswerLost),
        (200, b"<html></html>", AnswerLost),
        (200, {"token_type": "Bearer"}, AnswerLost),
    ],
)
def test_an_error_means_what_happens_next(
    status: int, body: object, error: type[ExportError]
) -> None:
    with pytest.raises(ExportError) as caught:
        read(status, body)
    assert type(caught.value) is error


@given(st.integers(200, 599), st.binary(max_size=80) | st.just(json.dumps(GRANT).encode()))
def test_any_answer_is_a_grant_or_an_error_of_ours(status: int, body: bytes) -> None:
    with suppress(ExportError):
        assert read(status, body)


@given(st.from_regex(r"[a-z0-9-]{1,64}", fullmatch=True), st.text(max_size=40))
def test_a_state_comes_back_as_it_went(connection_id: str, nonce: str) -> None:
    signer = StateSigner("a key")

    assert signer.read(signer.sign(State(connection_id, nonce))) == State(connection_id, nonce)


@given(st.integers(min_value=0), st.characters(min_codepoint=33, max_codepoint=126))
def test_no_changed_state_is_accepted(position: int, character: str) -> None:
    signer = StateSigner("a key")
    good = signer.sign(State("main", "nonce"))
    position %= len(good)
    changed = good[:position] + character + good[position + 1 :]
    if changed == good:
        return

    with suppress(Invalid):
        # The last character of a signature has spare bits; then nothing was changed.
        assert signer.read(changed) == State("main", "nonce")


def test_another_keys_state_is_refused() -> None:
    with pytest.raises(Invalid):
        StateSigner("a key").read(StateSigner("another key").sign(State("main", "nonce")))


def test_a_verifier_is_as_long_as_pkce_asks_and_follows_from_the_nonce() -> None:
    signer = StateSigner("a key")

    assert 43 <= len(signer.verifier("one")) <= 128
    assert signer.verifier("one") == StateSigner("a key").verifier("one")
    assert signer.verifier("one") != signer.verifier("two")


def test_a_public_application_names_itself_in_the_form() -> None:
    confidential = parse_qs(exchange_body("client", "https://app/cb", "code", None))
    public = parse_qs(exchange_body("client", "https://app/cb", "code", "verifier"))

    assert "client_id" not in confidential
    assert confidential["redirect_uri"] == ["https://app/cb"]
    assert public["client_id"] == ["client"]
    assert public["code_verifier"] == ["verifier"]
    assert "client_id" not in parse_qs(refresh_body("client", "kQ2v", public=False))
    assert parse_qs(refresh_body("client", "kQ2v", public=True))["client_id"] == ["client"]
