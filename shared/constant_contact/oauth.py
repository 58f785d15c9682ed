"""OAuth as Constant Contact speaks it. Pure: texts in, texts or values out.

https://developer.constantcontact.com/api_guide/server_flow.html and pkce_flow.html
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from itsdangerous import BadSignature, SignatureExpired, URLSafeTimedSerializer
from oauthlib.common import add_params_to_uri
from oauthlib.oauth2 import (
    InvalidClientError,
    InvalidGrantError,
    OAuth2Error,
    WebApplicationClient,
)

from shared.constant_contact.answers import Answer, error_key, retry_after
from shared.errors import (
    AnswerLost,
    ExportError,
    Invalid,
    RateLimited,
    RequestRefused,
    SettingInvalid,
)

SCOPES = ("contact_data", "account_read", "offline_access")
"""``offline_access``: without it there is, silently, no refresh token."""

STATE_LIFE = timedelta(minutes=10)
REFRESH_LIFE = timedelta(days=180)
"""How long a refresh token may go unused; each use starts this anew."""

_SHORTEST_LIFE = timedelta(hours=1)  # for an answer that does not say
_LONGEST_LIFE = timedelta(days=30)  # of which nobody has heard


class GrantRefused(ExportError):
    """``invalid_grant``: this code or refresh token will never work again."""

    code = "grant_refused"


@dataclass(frozen=True)
class Grant:
    """A token answer. *lifetime* is that of the access token."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    lifetime: timedelta
    scope: str


@dataclass(frozen=True)
class State:
    """What comes back with the browser: which connection, and a nonce to be used once."""

    connection_id: str
    nonce: str = field(repr=False)


class StateSigner:
    """Signs the ``state`` of an authorization, and derives what else belongs to it.

    Args:
        key: Secret, and the same for every instance.
    """

    def __init__(self, key: str) -> None:
        self._key = key.encode()
        self._serializer = URLSafeTimedSerializer(
            self._key,
            salt="constant-contact-authorization",
            signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"},
        )

    def sign(self, state: State) -> str:
        """Return the text for the URL."""
        return str(self._serializer.dumps([state.connection_id, state.nonce]))

    def read(self, text: str) -> State:
        """Return the state, or raise `Invalid` if it is not ours or older than ten minutes."""
        try:
            content = self._serializer.loads(text, max_age=int(STATE_LIFE.total_seconds()))
        except SignatureExpired:
            raise Invalid("Connecting took longer than ten minutes; start it again.") from None
        except BadSignature:
            raise Invalid("This answer does not belong to a connection of this app.") from None
        connection_id, nonce = content
        return State(connection_id, nonce)

    def verifier(self, nonce: str) -> str:
        """Return the PKCE verifier of an authorization; derived, so that it is kept nowhere."""
        return self._derived("pkce verifier", nonce)

    def session(self, nonce: str) -> str:
        """Return what the browser keeps in which an authorization was begun."""
        return self._derived("session", nonce)

    def _derived(self, purpose: str, nonce: str) -> str:
        digest = hmac.digest(self._key, f"{purpose} {nonce}".encode(), "sha256")
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def nonce_digest(nonce: str) -> str:
    """Return what may be written down of a nonce."""
    return hashlib.sha256(nonce.encode()).hexdigest()


def authorization_url(
    auth_url: str, client_id: str, redirect_uri: str, state: str, verifier: str | None
) -> str:
    """Return where a person gives consent; with a *verifier* by PKCE."""
    client = WebApplicationClient(client_id)
    parameters = [
        ("response_type", "code"),
        ("client_id", client_id),
        ("redirect_uri", redirect_uri),
        ("scope", " ".join(SCOPES)),
        ("state", state),
    ]
    if verifier:
        challenge = client.create_code_challenge(verifier, "S256")
        parameters += [("code_challenge", challenge), ("code_challenge_method", "S256")]
    return str(add_params_to_uri(f"{auth_url}/authorize", parameters))


def exchange_body(client_id: str, redirect_uri: str, code: str, verifier: str | None) -> str:
    """Return the form that exchanges *code*; a public application sends its verifier."""
    client = WebApplicationClient(client_id)
    return str(
        client.prepare_request_body(
            code=code,
            redirect_uri=redirect_uri,
            include_client_id=verifier is not None,
            code_verifier=verifier,
        )
    )


def refresh_body(client_id: str, refresh_token: str, *, public: bool) -> str:
    """Return the form that asks for the next tokens."""
    client = WebApplicationClient(client_id)
    identity = {"client_id": client_id} if public else {}
    return str(client.prepare_refresh_body(refresh_token=refresh_token, **identity))


def read_grant(answer: Answer, client_id: str, now: datetime) -> Grant:
    """Return the tokens in the token endpoint's answer, or raise what it means.

    Raises:
        GrantRefused: The code or refresh token is spent, expired or revoked.
        SettingInvalid: The application or its secret is not known.
        RateLimited: More than one token request in a second.
        RequestRefused: Anything else that had no effect.
        AnswerLost: 5xx or an unusable body: tokens may have been issued.
    """
    if answer.status == 429:
        raise RateLimited(
            "Constant Contact wants fewer token requests.", retry_after=retry_after(answer, now)
        )
    if answer.status >= 500:
        raise AnswerLost(f"Constant Contact answered {answer.status} to a token request.")
    try:
        content = _object(answer.body)
        lifetime = _lifetime(content.pop("expires_in", None))
        found = WebApplicationClient(client_id).parse_request_body_response(json.dumps(content))
        return Grant(
            access_token=str(found["access_token"]),
            refresh_token=str(found["refresh_token"]) if found.get("refresh_token") else None,
            lifetime=lifetime,
            scope=" ".join(found.get("scope") or ()),
        )
    except InvalidGrantError:
        raise GrantRefused("Constant Contact no longer accepts this consent.") from None
    except InvalidClientError:
        raise SettingInvalid(
            "Constant Contact does not accept the application's client id and secret;"
            " the secret constant-contact-client-secret in Key Vault may have been replaced there."
        ) from None
    except (OAuth2Error, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        # oauthlib takes members of any type for what they should be.
        if answer.status < 300:
            raise AnswerLost("Constant Contact's token answer cannot be read.") from None
        reason = error_key(answer.body) or "without a reason"
        raise RequestRefused(
            f"Constant Contact refused a token request ({answer.status}, {reason}).",
            status=answer.status,
            request_id=answer.request_id,
        ) from None


def _object(body: bytes) -> dict[str, Any]:
    """Return *body* as a JSON object, or raise what parsing raises if it is none."""
    content = json.loads(body.decode("utf-8"))
    if not isinstance(content, dict):
        raise TypeError("a token answer is a JSON object")
    return content


def _lifetime(seconds: object) -> timedelta:
    """Return how long an access token lives: a number nobody can use must not cost the tokens."""
    try:
        lifetime = min(float(str(seconds)), _LONGEST_LIFE.total_seconds())
    except ValueError:
        return _SHORTEST_LIFE
    return timedelta(seconds=lifetime) if lifetime > 0 else _SHORTEST_LIFE
