"""Token requests: each is sent once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from shared.constant_contact import oauth
from shared.constant_contact.budget import Budget, Purpose
from shared.constant_contact.patience import attempts
from shared.constant_contact.transport import Credentials, Public, Secret, Transport
from shared.errors import NotFound
from shared.storage.secrets import Secrets

CLIENT_SECRET = "constant-contact-client-secret"  # noqa: S105 - its name in Key Vault

_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class TokenEndpoint:
    """Where codes and refresh tokens are exchanged, and where a person gives consent.

    The client secret is read anew for each request, so that a new one needs no restart. Without
    one in Key Vault the application is a public one, and PKCE takes its place.
    """

    def __init__(
        self,
        transport: Transport,
        secrets: Secrets,
        budget: Budget,
        *,
        auth_url: str,
        client_id: str,
        redirect_uri: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._transport = transport
        self._secrets = secrets
        self._budget = budget
        self._auth_url = auth_url
        self._client_id = client_id
        self._redirect_uri = redirect_uri
        self._now = now

    def is_public(self) -> bool:
        """Say whether the registered application has no secret."""
        return self._client_secret() is None

    def authorization_url(self, state: str, verifier: str | None) -> str:
        """Return where a person gives consent."""
        return oauth.authorization_url(
            self._auth_url, self._client_id, self._redirect_uri, state, verifier
        )

    def exchange(
        self, code: str, verifier: str | None, still_alone: Callable[[], None]
    ) -> oauth.Grant:
        """Return what *code* gives; see `oauth.read_grant` for what it raises.

        Args:
            still_alone: Called right before the code goes out; what it raises stops that.
        """
        body = oauth.exchange_body(self._client_id, self._redirect_uri, code, verifier)
        for attempt in attempts():
            with attempt:
                secret = self._client_secret()
                self._budget.take(Purpose.TOKEN)
                still_alone()
                return self._send(body, secret)
        raise AssertionError("the last error is raised")

    def refresh(self, refresh_token: str, still_alone: Callable[[], None]) -> oauth.Grant:
        """Spend *refresh_token*; see `oauth.read_grant` for what it raises.

        Args:
            still_alone: Called right before the token goes out; what it raises stops that.
        """
        secret = self._client_secret()
        body = oauth.refresh_body(self._client_id, refresh_token, public=secret is None)
        self._budget.take(Purpose.TOKEN)
        still_alone()
        return self._send(body, secret)

    def _client_secret(self) -> str | None:
        try:
            return self._secrets.read(CLIENT_SECRET)
        except NotFound:
            return None

    def _send(self, body: str, secret: str | None) -> oauth.Grant:
        credentials: Credentials = Public() if secret is None else Secret(self._client_id, secret)
        answer = self._transport.send(
            "POST", f"{self._auth_url}/token", credentials, acts=True, data=body, headers=_FORM
        )
        return oauth.read_grant(answer, self._client_id, self._now())
