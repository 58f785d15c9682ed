"""The current tokens of each connection, and their rotation.

With rotating refresh tokens a careless refresh loses the connection for good: each refresh
token works once, and issuing a new set ends every earlier one. So:

* one worker at a time refreshes a connection, under a blob lease;
* before, it marks the stored set as being refreshed, which also shows that Key Vault takes
  writes; after, it stores the new set and only then uses it; so does whoever exchanges the code
  of a new consent, which ends the earlier tokens of the account as well;
* an answer that got lost is not asked for again until the request cannot be under way any more.
  Then the stored refresh token is tried once more: if Constant Contact had not acted, it still
  works. If it had, the new set is lost, whoever is asked, and a person has to connect again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import stamina
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from shared.connections import (
    CONNECT_ELSEWHERE,
    Connection,
    Connections,
    ConnectionState,
    LinkedAccount,
)
from shared.constant_contact.oauth import REFRESH_LIFE, Grant, GrantRefused
from shared.constant_contact.token_endpoint import TokenEndpoint
from shared.errors import (
    AnswerLost,
    Busy,
    ExportError,
    NoRefreshToken,
    NotFound,
    OtherAccount,
    ReconnectRequired,
    ServiceUnavailable,
    TransientError,
)
from shared.events import Event, emit
from shared.storage.leases import Leases
from shared.storage.secrets import Secrets

log = logging.getLogger(__name__)

MARGIN = timedelta(minutes=5)
"""An access token is renewed this long before it expires; one that lives less than 50 minutes,
a tenth of its life before."""

IDLE = timedelta(days=120)
"""A connection that was not used for so long is refreshed: after 180 days its token dies."""

OVERDUE = timedelta(seconds=45)
"""A token request cannot be under way any longer than this: its timeouts are 5 and 30 s."""

PATIENCE = timedelta(seconds=60)
"""How long to wait for another worker's refresh."""

_CONNECT_AGAIN = "An administrator has to open the connection in the console and connect it again."


class TokenSet(BaseModel):
    """All that is kept of a connection's tokens: one secret, so that it changes in one write.

    Attributes:
        refreshed_at: When the set was issued.
        refreshing_since: Set before the refresh token is spent; still there if the outcome
            of that is not known.
        account_id: Of the account that consented; None if it may not be read.
        connected_at: When that was.
        deployment_id: Of the deployment that wrote it.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    access_token: str = Field(repr=False)
    refresh_token: str = Field(repr=False)
    scope: str = ""
    expires_at: AwareDatetime
    refreshed_at: AwareDatetime
    refreshing_since: AwareDatetime | None = None
    account_id: str | None = None
    connected_at: AwareDatetime
    deployment_id: str

    def having(self, **changes: Any) -> Self:
        """Return this with *changes*."""
        return self.model_copy(update=changes)

    def renewed(self, grant: Grant, at: datetime) -> Self:
        """Return the set after a refresh; an answer without refresh token keeps the old one."""
        return self.having(
            access_token=grant.access_token,
            refresh_token=grant.refresh_token or self.refresh_token,
            scope=grant.scope or self.scope,
            expires_at=at + grant.lifetime,
            refreshed_at=at,
            refreshing_since=None,
        )

    @property
    def refresh_expires(self) -> datetime:
        """When the refresh token dies unless it is used before."""
        return self.refreshed_at + REFRESH_LIFE

    def is_fresh(self, now: datetime) -> bool:
        """Say whether the access token is good for a while."""
        return self.expires_at - now > min(MARGIN, (self.expires_at - self.refreshed_at) / 10)


class Tokens:
    """Hands out access tokens and renews them; for any number of threads and instances."""

    def __init__(
        self,
        connections: Connections,
        secrets: Secrets,
        leases: Leases,
        endpoint: TokenEndpoint,
        deployment_id: str,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._connections = connections
        self._secrets = secrets
        self._leases = leases
        self._endpoint = endpoint
        self._deployment_id = deployment_id
        self._now = now
        self._known: dict[str, TokenSet] = {}
        self._knowing = threading.Lock()
        self._turns: dict[str, threading.Lock] = {}

    def access_token(self, connection_id: str) -> str:
        """Return an access token that is good for some minutes, renewed if need be.

        The connection's document is read each time, so that a removal or another account takes
        effect everywhere at once.

        Raises:
            ReconnectRequired: A person is needed; the sentence says why.
            TransientError: There is no token just now, and nothing was sent.
        """
        connection = self._usable(connection_id)
        tokens = self._current(connection)
        now = self._now()
        if tokens.is_fresh(now):
            return tokens.access_token
        if tokens.expires_at <= now:
            return self._renew(connection, tokens.access_token, PATIENCE).access_token
        try:
            return self._renew(connection, tokens.access_token, timedelta(0)).access_token
        except TransientError as trouble:
            log.info("the access token is used on: %s", trouble.code)
            return tokens.access_token

    def rotate(self, connection_id: str, refused: str) -> str:
        """Return an access token newer than *refused*, spending the refresh token at most once.

        Whoever comes second finds the work done.

        Raises:
            ReconnectRequired: A person is needed; the sentence says why.
            TransientError: There is no token just now.
        """
        return self._renew(self._usable(connection_id), refused, PATIENCE).access_token

    def give_up(self, connection_id: str, refused: str) -> ExportError:
        """Return what to raise when *refused* is not the first token that was refused.

        That a person is needed is noted only if *refused* is the newest there is.
        """
        stored = self._load(self._usable(connection_id))
        if stored.access_token != refused:
            return ServiceUnavailable("The connection's tokens were renewed meanwhile.")
        return self._connections.require_person(
            connection_id,
            "access_refused",
            "Constant Contact refuses this connection although its tokens are new.",
            _CONNECT_AGAIN,
        )

    def connect(
        self,
        connection_id: str,
        who: str,
        exchange: Callable[[Callable[[], None]], Grant],
        identify: Callable[[Grant], LinkedAccount | None],
    ) -> Connection:
        """Store the tokens that a person's consent gives, and return the connection.

        The exchange ends the tokens there were, if they are for the same account. So the stored
        set is marked first, as before a refresh: whatever happens, `care` finds out whether it
        still works. Where that is unlikely, a person is asked for at once.

        Args:
            exchange: Exchanges the code, right after it has called what it is given.
            identify: Returns the account, None if it may not be read, or raises what speaks
                against it: `OtherAccount` if the tokens there were are not concerned.

        Raises:
            NoRefreshToken: The connection would end within a day.
            ReconnectRequired: The connection was removed.
        """
        with self._leases.hold(_lease(connection_id), PATIENCE) as lease:
            before = self._mark(connection_id)
            try:
                grant = exchange(lease.check)
            except AnswerLost:
                raise  # and the mark stays
            except ExportError:
                self._unmark(connection_id, before)
                raise
            try:
                connection = self._adopt(connection_id, grant, identify(grant), who)
            except OtherAccount:
                self._unmark(connection_id, before)
                raise
            except ExportError:
                self._connections.require_person(
                    connection_id,
                    "consent_interrupted",
                    "Connecting the account again was interrupted, so the tokens from before have"
                    " probably ended.",
                    _CONNECT_AGAIN,
                )
                raise
            self._drop_if_unwanted(connection)
            return connection

    def _mark(self, connection_id: str) -> TokenSet | None:
        """Note that the stored set may be spent; return it as it was, if it is one of ours."""
        try:
            stored = self._read(connection_id)
        except (NotFound, ValidationError):
            return None
        if stored.deployment_id != self._deployment_id:
            return None
        self._write(connection_id, stored.having(refreshing_since=self._now()))
        return stored

    def _unmark(self, connection_id: str, before: TokenSet | None) -> None:
        if before:
            self._write(connection_id, before)

    def _adopt(
        self, connection_id: str, grant: Grant, account: LinkedAccount | None, who: str
    ) -> Connection:
        if grant.refresh_token is None:
            raise NoRefreshToken
        now = self._now()
        tokens = TokenSet(
            access_token=grant.access_token,
            refresh_token=grant.refresh_token,
            scope=grant.scope,
            expires_at=now + grant.lifetime,
            refreshed_at=now,
            account_id=account.id if account else None,
            connected_at=now,
            deployment_id=self._deployment_id,
        )
        self._store(connection_id, tokens)
        return self._connections.note_connected(
            connection_id,
            account=account,
            deployment_id=self._deployment_id,
            who=who,
            at=now,
            refresh_expires=tokens.refresh_expires,
        )

    def discard(self, connection_id: str) -> Connection:
        """Delete the tokens of a connection if it is removed, and return it as it now is.

        The mark comes first: from then on no token is handed out. What others are storing just
        now is waited for, so that none are left behind.

        Raises:
            Busy: Another worker is at them for longer than a minute.
        """
        with self._leases.hold(_lease(connection_id), PATIENCE):
            connection = self._connections.read(connection_id)  # it may have been made anew
            if connection.state is ConnectionState.REMOVED:
                self._discard(connection_id)
            return connection

    def care(self, connection: Connection, now: datetime) -> bool:
        """Look after a connection that nobody may be using; say whether it was refreshed.

        Refreshes it when it was idle for long, and when a refresh was interrupted: so a person
        who is needed is told within one round of the timer, not at the next export.
        """
        seen = connection.seen_from(self._deployment_id)
        if seen.state is not ConnectionState.CONNECTED:
            return False
        tokens = self._load(seen)
        if connection.last_refresh != tokens.refreshed_at:
            self._note_refreshed(connection.id, tokens)
        interrupted = tokens.refreshing_since and now - tokens.refreshing_since > OVERDUE
        if not interrupted and now - tokens.refreshed_at < IDLE:
            return False
        self._renew(seen, tokens.access_token, timedelta(0))
        return True

    def _usable(self, connection_id: str) -> Connection:
        try:
            connection = self._connections.read(connection_id)
        except NotFound:
            raise ReconnectRequired(
                "The connection does not exist.", action="Choose another one for the export."
            ) from None
        connection = connection.seen_from(self._deployment_id)
        connection.require_connected()
        return connection

    def _current(self, connection: Connection) -> TokenSet:
        """Return this process's set if it belongs to the connection as it is, else the stored."""
        known = self._known.get(connection.id)
        if (
            known
            and known.account_id == _account_id(connection)
            and known.connected_at == connection.connected_at
            and known.is_fresh(self._now())
        ):
            return known
        return self._load(connection)

    def _load(self, connection: Connection) -> TokenSet:
        """Return the stored set, or raise `ReconnectRequired` if it is not to be used."""
        known = self._known.get(connection.id)
        try:
            tokens = self._read(connection.id)
        except NotFound:
            raise self._connections.require_person(
                connection.id,
                "tokens_missing",
                "The connection's tokens are no longer in Key Vault.",
                _CONNECT_AGAIN,
            ) from None
        except ValidationError:
            raise self._connections.require_person(
                connection.id,
                "tokens_unreadable",
                "The connection's tokens in Key Vault cannot be read.",
                _CONNECT_AGAIN,
            ) from None
        if tokens.deployment_id != self._deployment_id:
            raise ReconnectRequired(
                "The connection's tokens belong to another deployment of this app. Renewing them"
                " here would disconnect that one.",
                action=CONNECT_ELSEWHERE,
            )
        if tokens.account_id != _account_id(connection):
            raise ReconnectRequired(
                "Connecting the account was interrupted.", action=_CONNECT_AGAIN
            )
        with self._knowing:  # what came to be known during the read is newer than what was read
            if self._known.get(connection.id) is known:
                self._known[connection.id] = tokens
        return tokens

    def _renew(self, connection: Connection, refused: str, patience: timedelta) -> TokenSet:
        """Return a set whose access token is not *refused*, after at most one refresh.

        Raises:
            Busy: Another worker is at it for longer than *patience*.
        """
        turn = self._turns.setdefault(connection.id, threading.Lock())
        if not turn.acquire(timeout=patience.total_seconds()):
            raise Busy("Another worker is renewing the connection's tokens.")
        try:
            known = self._current(connection)
            if self._is_answer_to(refused, known):
                return known
            with self._leases.hold(_lease(connection.id), patience) as lease:
                stored = self._load(connection)
                if self._is_answer_to(refused, stored):
                    return stored
                if stored.refreshing_since and self._now() - stored.refreshing_since < OVERDUE:
                    raise ServiceUnavailable("Constant Contact has not answered a token request.")
                return self._refresh(connection, stored, lease.check)
        finally:
            turn.release()

    def _is_answer_to(self, refused: str, tokens: TokenSet) -> bool:
        return tokens.access_token != refused and tokens.is_fresh(self._now())

    def _refresh(
        self, connection: Connection, stored: TokenSet, still_alone: Callable[[], None]
    ) -> TokenSet:
        self._write(connection.id, stored.having(refreshing_since=self._now()))
        try:
            # A process that stalled may have lost its lease while it waited for its turn.
            grant = self._endpoint.refresh(stored.refresh_token, still_alone)
        except GrantRefused:
            return self._after_refusal(connection, stored)
        except AnswerLost:
            raise ServiceUnavailable(
                "Constant Contact's answer to a token request got lost."
            ) from None  # and the mark stays
        except ExportError:
            still_alone()  # or the set is no longer ours to write
            self._unmark(connection.id, stored)
            raise
        fresh = stored.renewed(grant, self._now())
        self._store(connection.id, fresh)
        self._drop_if_unwanted(self._note_refreshed(connection.id, fresh))
        emit(Event.CONNECTION_REFRESHED, connection_id=connection.id)
        return fresh

    def _after_refusal(self, connection: Connection, spent: TokenSet) -> TokenSet:
        """Look once whether somebody else has rotated; otherwise a person is needed."""
        again = self._load(connection)
        if again.refresh_token != spent.refresh_token:
            return again
        if spent.refreshing_since:
            raise self._connections.require_person(
                connection.id,
                "refresh_interrupted",
                "The app stopped, or lost the answer, while Constant Contact issued new tokens;"
                " the old ones no longer work.",
                _CONNECT_AGAIN,
            )
        raise self._connections.require_person(
            connection.id,
            "consent_ended",
            "Constant Contact no longer accepts this connection: the consent was withdrawn or"
            " replaced, or it was not used for 180 days.",
            _CONNECT_AGAIN,
        )

    def _store(self, connection_id: str, tokens: TokenSet) -> None:
        """Write the set, trying for long: it exists nowhere else."""
        for attempt in stamina.retry_context(
            on=TransientError, attempts=None, timeout=90.0, wait_max=10.0
        ):
            with attempt:
                self._write(connection_id, tokens)
        with self._knowing:
            self._known[connection_id] = tokens

    def _read(self, connection_id: str) -> TokenSet:
        return TokenSet.model_validate_json(self._secrets.read(_secret(connection_id)))

    def _write(self, connection_id: str, tokens: TokenSet) -> None:
        self._secrets.write(_secret(connection_id), tokens.model_dump_json())

    def _note_refreshed(self, connection_id: str, tokens: TokenSet) -> Connection:
        return self._connections.note_refreshed(
            connection_id, at=tokens.refreshed_at, refresh_expires=tokens.refresh_expires
        )

    def _drop_if_unwanted(self, connection: Connection) -> None:
        """Delete tokens that were stored for a connection that was removed meanwhile."""
        if connection.state is not ConnectionState.CONNECTED:
            self._discard(connection.id)
            connection.require_connected()

    def _discard(self, connection_id: str) -> None:
        """Delete the tokens, but for those of another deployment: a copy must not take them."""
        self._known.pop(connection_id, None)
        try:
            stored = self._read(connection_id)
        except NotFound:
            return
        except ValidationError:
            pass  # nobody can use it
        else:
            if stored.deployment_id != self._deployment_id:
                return
        self._secrets.delete(_secret(connection_id))


def _account_id(connection: Connection) -> str | None:
    return connection.account.id if connection.account else None


def _secret(connection_id: str) -> str:
    return f"connection-{connection_id}"


def _lease(connection_id: str) -> str:
    return f"connections/{connection_id}"
