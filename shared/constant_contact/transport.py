"""HTTP to Constant Contact: the only importer of `requests`."""

from __future__ import annotations

from collections.abc import Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase, HTTPBasicAuth
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NewConnectionError

from shared.constant_contact.answers import Answer
from shared.errors import AnswerLost, ServiceUnavailable, SettingInvalid

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
UPLOAD_SECONDS = 60.0
"""For connecting and sending together, and then for the answer: on a new connection, a body is
sent under the connection's time limit."""

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


Credentials = AuthBase
"""How a request proves who sends it; always given, since a .netrc takes the place of none."""


class Bearer(AuthBase):
    """Sends an access token."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class Public(AuthBase):
    """Sends no credentials: the application has no secret."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class Secret(HTTPBasicAuth):
    """Sends the application's id and secret."""


class Transport:
    """Connections that are used again, by any number of threads."""

    def __init__(self) -> None:
        self._session = requests.Session()
        self._session.headers["Accept"] = "application/json"
        # Nothing is remembered between requests, so that threads can share the session.
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        adapter = HTTPAdapter(pool_connections=4, pool_maxsize=16)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def send(
        self,
        method: str,
        url: str,
        credentials: Credentials,
        *,
        acts: bool,
        uploads: bool = False,
        params: Mapping[str, str | int] | None = None,
        **content: Any,
    ) -> Answer:
        """Send once, without following redirects, and return the answer, whatever its status.

        Args:
            acts: Whether the request changes something.
            uploads: Whether its body is large.
            content: ``json``, ``data``, ``files`` and ``headers`` as `requests` takes them.

        Raises:
            ServiceUnavailable: It was certainly not sent, or only looks.
            AnswerLost: It acts and may have been received.
        """
        _require_tls(url)
        try:
            answer = self._session.request(
                method,
                url,
                auth=credentials,
                params=params,
                timeout=UPLOAD_SECONDS if uploads else (CONNECT_SECONDS, READ_SECONDS),
                allow_redirects=False,
                **content,
            )
        except requests.RequestException as error:
            # The message of the error is dropped: it may quote the URL.
            trouble = type(error).__name__
            if acts and not _was_not_sent(error):
                raise AnswerLost(
                    f"No answer from Constant Contact ({trouble}), so it may have acted."
                ) from None
            raise ServiceUnavailable(f"Constant Contact cannot be reached ({trouble}).") from None
        return Answer(answer.status_code, answer.headers, answer.content)


def _was_not_sent(error: requests.RequestException) -> bool:
    """Say whether there was no connection to send the request on."""
    if isinstance(error, requests.ConnectTimeout):
        return True
    match error.args:
        case (MaxRetryError(reason=NewConnectionError() | ConnectTimeoutError()), *_):
            return True
        case _:
            return False


def _require_tls(url: str) -> None:
    """Refuse to send tokens or contacts where others can read them."""
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        raise SettingInvalid(
            "CONSTANT_CONTACT_API_URL and CONSTANT_CONTACT_AUTH_URL have to begin with https."
        )
