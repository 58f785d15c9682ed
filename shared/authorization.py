"""How a person connects an account: out to Constant Contact with a state, back with a code."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from shared import audit
from shared.connections import Authorization, Connection, Connections, LinkedAccount
from shared.constant_contact.answers import Account
from shared.constant_contact.oauth import (
    STATE_LIFE,
    Grant,
    GrantRefused,
    State,
    StateSigner,
    nonce_digest,
)
from shared.errors import (
    AnswerLost,
    ConsentDenied,
    Invalid,
    OtherAccount,
    RequestRefused,
    SignInLost,
)
from shared.tokens import Tokens


class Endpoint(Protocol):
    """The authorization server; `TokenEndpoint` in earnest."""

    def is_public(self) -> bool:
        """Say whether PKCE takes the place of a client secret."""

    def authorization_url(self, state: str, verifier: str | None) -> str:
        """Return where the person gives consent."""

    def exchange(self, code: str, verifier: str | None) -> Grant:
        """Return what the code gives; it works once."""


@dataclass(frozen=True)
class Begun:
    """An authorization that a person has begun.

    Attributes:
        url: Where they give consent.
        session: What their browser keeps and `Authorizations.callback` asks for.
    """

    url: str
    session: str = field(repr=False)


class Authorizations:
    """Begun by an administrator, ended by the browser that comes back.

    Args:
        signer: Made when it is needed, since its key is in Key Vault.
        account_of: Reads the account with an access token that is not stored yet.
    """

    def __init__(
        self,
        connections: Connections,
        tokens: Tokens,
        endpoint: Endpoint,
        signer: Callable[[], StateSigner],
        account_of: Callable[[str], Account],
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._connections = connections
        self._tokens = tokens
        self._endpoint = endpoint
        self._signer = signer
        self._account_of = account_of
        self._now = now

    def authorize(
        self, connection_id: str, who: str, *, who_id: str = "", replace_account: bool = False
    ) -> Begun:
        """Return where *who* gives consent, good for ten minutes, one use and one browser.

        Args:
            who_id: Names the same person in the audit.
            replace_account: Let another account than before be connected.
        """
        nonce = secrets.token_urlsafe(24)
        self._connections.begin(
            connection_id,
            Authorization(
                nonce_digest=nonce_digest(nonce),
                requested_by=who,
                requested_by_id=who_id,
                expires_at=self._now() + STATE_LIFE,
                replace_account=replace_account,
            ),
        )
        signer = self._signer()
        verifier = signer.verifier(nonce) if self._endpoint.is_public() else None
        state = signer.sign(State(connection_id, nonce))
        return Begun(self._endpoint.authorization_url(state, verifier), signer.session(nonce))

    def callback(
        self,
        *,
        state: str,
        code: str | None = None,
        error: str | None = None,
        session: str | None,
    ) -> Connection:
        """Exchange the code, store the tokens and return the connection, now connected.

        Args:
            session: What the browser has kept since it began; so nobody's consent ends up in
                a connection of somebody who sent them the address.

        Raises:
            Invalid: The state is not ours, too old, used before, or another browser's.
            Conflict: Consent was denied, or is for another account than before.
            ReconnectRequired: There is no refresh token; the sentence says why.
            TransientError: Constant Contact or Azure cannot be reached; connect again.
        """
        signer = self._signer()
        found = signer.read(state)
        if not hmac.compare_digest(signer.session(found.nonce).encode(), (session or "").encode()):
            raise Invalid(
                "Connecting was not begun in this browser; start it again, in the console at its"
                " public address."
            )
        begun = self._connections.end(found.connection_id, nonce_digest(found.nonce))
        if error or not code:
            raise ConsentDenied(
                "Constant Contact was not given the permission, so nothing was changed."
            )
        verifier = signer.verifier(found.nonce) if self._endpoint.is_public() else None
        grant = self._exchange(code, verifier)
        # Which account it is has to be known before these tokens take the place of others.
        account = self._read_account(grant)
        self._require_same_account(found.connection_id, account, begun)
        before = self._connections.read(found.connection_id)
        connection = self._tokens.adopt(found.connection_id, grant, account, begun.requested_by)
        audit.note(
            "connection_connected",
            begun.requested_by_id,
            before=before.audited,
            after=connection.audited,
            connection_id=connection.id,
        )
        return connection

    def _exchange(self, code: str, verifier: str | None) -> Grant:
        try:
            return self._endpoint.exchange(code, verifier)
        except GrantRefused:
            raise Invalid("Constant Contact no longer accepts this code; start again.") from None
        except AnswerLost:
            raise SignInLost("Constant Contact's answer got lost; connect again.") from None

    def _read_account(self, grant: Grant) -> LinkedAccount | None:
        """Return the account; None where the person may not read it, which exports do not need."""
        try:
            account = self._account_of(grant.access_token)
        except RequestRefused as refusal:
            if refusal.status == 403:
                return None
            raise
        return LinkedAccount(id=account.id, name=account.name)

    def _require_same_account(
        self, connection_id: str, account: LinkedAccount | None, begun: Authorization
    ) -> None:
        before = self._connections.read(connection_id).account
        if before is None or begun.replace_account:
            return
        if account is None or account.id != before.id:
            raise OtherAccount(
                "This is not the Constant Contact account that was connected before, so nothing was"
                " changed. Sign in with that one, or ask for the account to be replaced."
            )
