"""How a person connects an account: out to Constant Contact with a state, back with a code."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

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
from shared.constant_contact.token_endpoint import TokenEndpoint
from shared.errors import (
    AccountUnknown,
    AnswerLost,
    ConsentDenied,
    Invalid,
    OtherAccount,
    RequestRefused,
    SignInLost,
)
from shared.tokens import Tokens


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
        endpoint: TokenEndpoint,
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

        Raises:
            AccountUnknown: Only *replace_account* can tell what is meant, since which account
                was connected before could not be read.
        """
        before = self._connections.read(connection_id)
        if before.connected_at and before.account is None and not replace_account:
            raise _account_unknown()  # before the consent ends the tokens there are
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
            Conflict: Consent was denied, or is, or may be, for another account than before.
            NoRefreshToken: The sentence says why.
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
        before = self._connections.read(found.connection_id)
        try:
            connection = self._tokens.connect(
                found.connection_id,
                begun.requested_by,
                partial(self._endpoint.exchange, code, verifier),
                partial(self._identify, found.connection_id, begun),
            )
        except GrantRefused:
            raise Invalid("Constant Contact no longer accepts this code; start again.") from None
        except AnswerLost:
            raise SignInLost("Constant Contact's answer got lost; connect again.") from None
        audit.note(
            "connection_connected",
            begun.requested_by_id,
            before=before.audited,
            after=connection.audited,
            connection_id=connection.id,
        )
        return connection

    def _identify(
        self, connection_id: str, begun: Authorization, grant: Grant
    ) -> LinkedAccount | None:
        """Return whose tokens these are, if they may take the place of those there were.

        Whether they may or not, they have ended those of other connections of the account.
        """
        account = self._read_account(grant)
        if account:
            self._connections.note_replaced(account.id, by=connection_id)
        before = self._connections.read(connection_id)
        if before.connected_at is None or begun.replace_account:
            return account
        if account is None or before.account is None:
            raise _account_unknown()
        if account.id != before.account.id:
            raise OtherAccount(
                "This is not the Constant Contact account that was connected before, so this"
                " connection was not changed. If another connection is of that account, it has to"
                " be connected again.",
                action="Sign in with the account from before, or ask for it to be replaced.",
            )
        return account

    def _read_account(self, grant: Grant) -> LinkedAccount | None:
        """Return the account; None where the person may not read it, which exports do not need."""
        try:
            account = self._account_of(grant.access_token)
        except RequestRefused as refusal:
            if refusal.status == 403:
                return None
            raise
        return LinkedAccount(id=account.id, name=account.name)


def _account_unknown() -> AccountUnknown:
    return AccountUnknown(
        "Constant Contact does not let the app see which account this is or was, so it may be"
        " another one than before."
    )
