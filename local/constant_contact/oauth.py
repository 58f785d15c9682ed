"""Consent and tokens, as the authorization server hands them out.

https://developer.constantcontact.com/api_guide/server_flow.html and pkce_flow.html.
Issuing a new set of tokens ends every earlier refresh token of the same account; access
tokens go on until they expire.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from html import escape
from typing import Any
from urllib.parse import urlencode

from werkzeug.utils import redirect
from werkzeug.wrappers import Request, Response

from .answers import COMPACT, Refused, json_response, oauth_error, unauthorized
from .options import Options


@dataclass
class Code:
    redirect_uri: str
    scopes: tuple[str, ...]
    challenge: str | None
    expires_at: datetime
    spent: bool = False


@dataclass
class Grant:
    """One approval by a person, and what has been issued on it."""

    account_id: str
    scopes: tuple[str, ...]
    revoked: bool = False
    refresh_token: str | None = None
    refresh_used_at: datetime | None = None
    access_tokens: dict[str, datetime] = field(default_factory=dict)  # token → expiry


@dataclass(frozen=True)
class Bearer:
    """Who a valid access token speaks for."""

    account_id: str
    scopes: tuple[str, ...]


class OAuth:
    def __init__(self, options: Options, clock: Callable[[], datetime]) -> None:
        self._options = options
        self._clock = clock
        self._lock = threading.RLock()
        self._codes: dict[str, Code] = {}
        self._grants: list[Grant] = []
        self._by_access: dict[str, Grant] = {}
        self._by_refresh: dict[str, Grant] = {}

    # The person's browser

    def authorize(self, request: Request) -> Response:
        """Answer ``GET /authorize``: straight back to the application, or a page that asks."""
        asked = request.args
        if asked.get("client_id") != self._options.client_id:
            return _page(400, "Unknown application.")
        redirect_uri = asked.get("redirect_uri", "")
        if redirect_uri not in self._options.redirect_uris:
            return _page(400, "The redirect_uri is not registered for this application.")
        if request.method == "POST":
            return self._decide(asked, allowed=request.form.get("decision") == "allow")
        if self._options.ask:
            return _page(200, _CONSENT.format(name=escape(self._options.organization_name)))
        return self._decide(asked, allowed=not self._options.deny)

    def _decide(self, asked: Mapping[str, str], *, allowed: bool) -> Response:
        answer = {"state": asked["state"]} if asked.get("state") else {}
        if error := self._fault_of(asked):
            answer |= {"error": error}
        elif not allowed:
            answer |= {
                "error": "access_denied",
                "error_description": "The resource owner denied the request.",
            }
        else:
            answer |= {"code": self._issue_code(asked)}
        uri = asked["redirect_uri"]
        return redirect(f"{uri}{'&' if '?' in uri else '?'}{urlencode(answer)}", 302)

    def _fault_of(self, asked: Mapping[str, str]) -> str | None:
        if asked.get("response_type") != "code":
            return "unsupported_response_type"
        scopes = asked.get("scope", "").split()
        if not scopes or not set(scopes) <= set(self._options.scopes):
            return "invalid_scope"
        if not asked.get("state"):
            return "invalid_request"
        challenged = bool(asked.get("code_challenge"))
        if challenged and asked.get("code_challenge_method") != "S256":
            return "invalid_request"
        if self._options.client_secret is None and not challenged:
            return "invalid_request"
        return None

    def _issue_code(self, asked: Mapping[str, str]) -> str:
        code = secrets.token_urlsafe(32)
        with self._lock:
            self._codes[code] = Code(
                redirect_uri=asked["redirect_uri"],
                scopes=tuple(asked["scope"].split()),
                challenge=asked.get("code_challenge"),
                expires_at=self._clock() + timedelta(seconds=self._options.code_seconds),
            )
        return code

    # The application

    def token(self, request: Request) -> Response:
        """Answer ``POST /token``; parameters may come in the body or in the query."""
        form = request.values
        with self._lock:
            self._check_client(request)
            match form.get("grant_type"):
                case "authorization_code":
                    answer = self._exchange(form)
                case "refresh_token":
                    answer = self._refresh(form.get("refresh_token", ""))
                case None:
                    raise oauth_error(400, "invalid_request", "The grant_type is missing.")
                case _:
                    raise oauth_error(
                        400, "unsupported_grant_type", "The grant type is not supported."
                    )
        return json_response(answer, headers={"Cache-Control": "no-store", "Pragma": "no-cache"})

    def _check_client(self, request: Request) -> None:
        secret = self._options.client_secret
        if secret is None:
            known = request.values.get("client_id") == self._options.client_id
            if not known or "Authorization" in request.headers:
                raise oauth_error(401, "invalid_client", "Client authentication failed.")
            return
        expected = f"{self._options.client_id}:{secret}".encode()
        if not hmac.compare_digest(_basic_credentials(request), expected):
            raise oauth_error(401, "invalid_client", "The client secret supplied is invalid.")

    def _exchange(self, form: Mapping[str, str]) -> dict[str, Any]:
        code = self._codes.get(form.get("code", ""))
        if code is None or code.spent or self._clock() >= code.expires_at:
            raise _invalid_grant("The authorization code is invalid or has expired.")
        if form.get("redirect_uri") != code.redirect_uri:
            raise _invalid_grant("The redirect_uri does not match the authorization request.")
        if code.challenge is not None and not _verifies(form.get("code_verifier"), code.challenge):
            raise _invalid_grant("PKCE verification failed.")
        code.spent = True
        return self._consent(code.scopes, self._options.encoded_account_id)

    def _consent(self, scopes: tuple[str, ...], account_id: str) -> dict[str, Any]:
        for earlier in self._grants:
            if earlier.account_id == account_id:
                earlier.refresh_token = None
        grant = Grant(account_id, scopes)
        self._grants.append(grant)
        return self._issue(grant, rotate="offline_access" in scopes)

    def _refresh(self, presented: str) -> dict[str, Any]:
        grant = self._by_refresh.get(presented)
        if grant is None or grant.revoked:
            raise _invalid_grant()
        if presented != grant.refresh_token:
            if self._options.reuse_revokes and grant.refresh_token is not None:
                grant.revoked = True
            raise _invalid_grant()
        unused_since = grant.refresh_used_at
        if unused_since is None or self._clock() - unused_since > timedelta(
            days=self._options.refresh_days
        ):
            raise _invalid_grant()
        return self._issue(grant, rotate=self._options.refresh_tokens == "rotating")

    def _issue(self, grant: Grant, *, rotate: bool) -> dict[str, Any]:
        now = self._clock()
        access = _access_token(grant.account_id, now, self._options.expires_in)
        grant.access_tokens[access] = now + timedelta(seconds=self._options.expires_in)
        self._by_access[access] = grant
        answer: dict[str, Any] = {
            "token_type": "Bearer",
            "expires_in": self._options.expires_in,
            "access_token": access,
            "scope": " ".join(grant.scopes),
        }
        if rotate:
            grant.refresh_token = secrets.token_urlsafe(31)  # 42 characters, as seen
            self._by_refresh[grant.refresh_token] = grant
        if grant.refresh_token is not None:
            grant.refresh_used_at = now
            if rotate or not self._options.omit_refresh_token:
                answer["refresh_token"] = grant.refresh_token
        return answer

    # The API

    def bearer(self, request: Request) -> Bearer:
        """Return who is calling, or raise the documented 401."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        with self._lock:
            grant = self._by_access.get(token)
            if (
                scheme.lower() != "bearer"
                or grant is None
                or grant.revoked
                or self._clock() >= grant.access_tokens[token]
            ):
                raise unauthorized()
            return Bearer(grant.account_id, grant.scopes)

    # The test

    def issue_tokens(self, scopes: tuple[str, ...], account_id: str) -> dict[str, Any]:
        """Return a token answer as if somebody had just consented."""
        with self._lock:
            return self._consent(scopes, account_id)

    def revoke(self) -> None:
        """Withdraw every consent given so far; nothing issued on them works any more."""
        with self._lock:
            for grant in self._grants:
                grant.revoked = True

    def expire_access_tokens(self) -> None:
        """Make every access token issued so far expire now; refresh tokens go on."""
        with self._lock:
            now = self._clock()
            for grant in self._grants:
                grant.access_tokens = dict.fromkeys(grant.access_tokens, now)


def _invalid_grant(description: str = "The refresh token is invalid or expired.") -> Refused:
    return oauth_error(400, "invalid_grant", description)


def _basic_credentials(request: Request) -> bytes:
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _verifies(verifier: str | None, challenge: str) -> bool:
    digest = hashlib.sha256((verifier or "").encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=") == challenge


def _access_token(account_id: str, now: datetime, expires_in: int) -> str:
    """Return something the size and look of the real one, about 1,000 characters."""
    head = {"kid": secrets.token_urlsafe(32), "alg": "RS256"}
    issued = int(now.timestamp())
    claims = {
        "ver": 1,
        "jti": f"AT.{secrets.token_urlsafe(32)}",
        "aud": "https://api.cc.email/v3",
        "sub": account_id,
        "iat": issued,
        "exp": issued + expires_in,
        "ctx": secrets.token_urlsafe(210),
    }
    signature = secrets.token_urlsafe(256)
    return f"{_segment(head)}.{_segment(claims)}.{signature}"


def _segment(part: Mapping[str, Any]) -> str:
    text = json.dumps(part, separators=COMPACT)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


_CONSENT = """<p>An application asks to read and change the contacts of <b>{name}</b>.</p>
<form method="post">
<button name="decision" value="allow">Allow</button>
<button name="decision" value="deny">Deny</button>
</form>"""


def _page(status: int, content: str) -> Response:
    return Response(
        f"<!doctype html><html lang=en><title>Constant Contact stand-in</title>{content}</html>",
        status=status,
        content_type="text/html; charset=utf-8",
    )
