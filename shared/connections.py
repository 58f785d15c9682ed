"""Connections: Constant Contact accounts this app may act for.

The document says who connected what and how it stands. Tokens are not in it: they live in Key
Vault only (`shared.tokens`).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, TypeAdapter, ValidationError

from shared.errors import (
    DocumentChanged,
    Fault,
    IdTaken,
    Invalid,
    NotFound,
    ReconnectRequired,
    faults_of,
)
from shared.events import Event, emit
from shared.ids import SLUG, DisplayName, slug
from shared.roles import Role

if TYPE_CHECKING:
    from shared.storage.documents import Records

CONSENT_TEXT = (
    "I allow this app to send the people in our segments, with the attributes each export names,"
    " to this Constant Contact account, and I confirm that they agreed to be contacted."
)
"""What an administrator accepts when a connection is made; kept with who and when."""

CONNECT_ELSEWHERE = (
    "Connect it here only if the other deployment is to give the account up: that disconnects it"
    " there. For both to work, one of them needs an application of its own at Constant Contact."
)
"""What to do about a connection of another deployment."""

_NAME: TypeAdapter[str] = TypeAdapter(DisplayName)
_SLUG = re.compile(SLUG)


class ConnectionState(StrEnum):
    """How a connection stands."""

    NEW = "new"
    CONNECTED = "connected"
    RECONNECT_REQUIRED = "reconnect_required"
    REMOVED = "removed"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def having(self, **changes: Any) -> Self:
        """Return this with *changes*."""
        return self.model_copy(update=changes)


class Consent(_Part):
    """Who accepted which text, and when."""

    accepted: Literal[True] = True
    text: str = CONSENT_TEXT
    accepted_by: str
    accepted_at: AwareDatetime


class LinkedAccount(_Part):
    """The Constant Contact account, by its encoded id, and the organization's name."""

    id: str
    name: str


class ConnectionProblem(_Part):
    """What keeps a connection from working: a code, a sentence, what to do."""

    code: str
    message: str
    action: str
    since: AwareDatetime


class Authorization(_Part):
    """An authorization that a person has begun and that can end once.

    Attributes:
        nonce_digest: SHA-256 of the nonce in the signed state.
        requested_by_id: For the audit, where people are named by ids only.
        replace_account: Whether it may connect another account than before.
        taken_by: Random, by whoever ended it. Of two who do at once, each writes another document,
            so that one of them is refused.
    """

    nonce_digest: str
    requested_by: str
    requested_by_id: str = ""
    expires_at: AwareDatetime
    replace_account: bool = False
    taken_by: str | None = None


class Connection(_Part):
    """The record of a connection, kept in ``connections/<id>.json``. Times are in UTC.

    Attributes:
        usable_by: Roles that may use it; administrators always may.
        account: None until connected, and where the account may not be read.
        last_refresh: When Constant Contact last issued tokens.
        refresh_expires: When the refresh token dies unless it is used before.
        deployment_id: Of the deployment that connected it; see `Settings.deployment_id`.
        removal_complete: Whether all that a removal means is done; see `shared.removal`.
    """

    id: str
    display_name: str
    usable_by: tuple[Role, ...] = (Role.ADMINISTRATOR,)
    consent: Consent
    state: ConnectionState = ConnectionState.NEW
    account: LinkedAccount | None = None
    connected_at: AwareDatetime | None = None
    connected_by: str | None = None
    last_refresh: AwareDatetime | None = None
    refresh_expires: AwareDatetime | None = None
    deployment_id: str | None = None
    authorization: Authorization | None = None
    problem: ConnectionProblem | None = None
    created_at: AwareDatetime
    created_by: str
    removed_at: AwareDatetime | None = None
    removed_by: str | None = None
    removal_complete: bool = False

    @property
    def audited(self) -> dict[str, Any]:
        """What an audit event says of it: nothing about people."""
        state = self.model_dump(mode="json", include={"display_name", "usable_by", "state"})
        return {**state, "account_id": self.account.id if self.account else None}

    def days_left(self, now: datetime) -> int | None:
        """Return the whole days until a person would have to connect again; None if unknown."""
        if self.refresh_expires is None:
            return None
        return max(0, (self.refresh_expires - now) // timedelta(days=1))

    def seen_from(self, deployment_id: str) -> Self:
        """Return this as it stands in a deployment: a copy of another one's is not connected.

        Nothing is written for that, since the other deployment may share the document.
        """
        connected = self.state is ConnectionState.CONNECTED and self.connected_at
        if not connected or self.deployment_id == deployment_id:
            return self
        problem = ConnectionProblem(
            code="another_deployment",
            message="Another deployment of this app made this connection. Renewing its tokens"
            " here would disconnect that one.",
            action=CONNECT_ELSEWHERE,
            since=self.connected_at,
        )
        return self.having(state=ConnectionState.RECONNECT_REQUIRED, problem=problem)

    def works_in(self, deployment_id: str) -> bool:
        """Say whether a deployment may act for this connection just now."""
        return self.seen_from(deployment_id).state is ConnectionState.CONNECTED

    def require_connected(self) -> None:
        """Raise `ReconnectRequired`, with the sentence why, unless tokens may be used."""
        match self.state:
            case ConnectionState.CONNECTED:
                return
            case ConnectionState.NEW:
                raise ReconnectRequired(
                    "The connection has not been connected to an account yet.",
                    action="An administrator has to connect the Constant Contact account.",
                )
            case ConnectionState.REMOVED:
                raise ReconnectRequired(
                    "The connection was removed.",
                    action="Choose another connection for the export.",
                )
        if self.problem is None:
            raise ReconnectRequired("The connection has to be connected again.")
        raise ReconnectRequired(self.problem.message, action=self.problem.action)


class Connections:
    """Creates connections and moves them from state to state."""

    def __init__(
        self, records: Records[Connection], now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._records = records
        self._now = now

    def read(self, connection_id: str) -> Connection:
        """Return the connection, or raise `NotFound`; also for what cannot be an id."""
        if not _SLUG.fullmatch(connection_id):
            raise NotFound("There is no such connection.")
        try:
            return self._records.read(connection_id)[0]
        except NotFound:
            raise NotFound("There is no such connection.") from None

    def all(self) -> Iterator[Connection]:
        """Yield every connection, removed ones too, in the order of their ids."""
        return self._records.all()

    def create(
        self,
        display_name: str,
        *,
        usable_by: Sequence[Role] = (Role.ADMINISTRATOR,),
        consented: bool,
        who: str,
        connection_id: str | None = None,
    ) -> Connection:
        """Write a new connection; without an id, one is made from the display name.

        A removed connection makes room for a new one of its id once its removal is complete.

        Raises:
            Invalid: With every fault: name, id, consent.
            IdTaken: There is one of this id.
        """
        name, faults = _read_name(display_name)
        faults += _id_faults(connection_id)
        if not consented:
            faults.append(Fault("consent", "consent_required", "The consent has to be accepted."))
        if faults:
            raise Invalid("The connection cannot be made.", faults)
        now = self._now()
        connection = Connection(
            id=connection_id or slug(name),
            display_name=name,
            usable_by=_roles(usable_by),
            consent=Consent(accepted_by=who, accepted_at=now),
            created_at=now,
            created_by=who,
        )
        try:
            return self._write_new(connection)
        except IdTaken:
            if connection_id:
                raise
        return self._write_new(
            connection.having(id=f"{connection.id[:57].rstrip('-')}-{secrets.token_hex(3)}")
        )

    def _write_new(self, connection: Connection) -> Connection:
        try:
            self._records.create(connection.id, connection)
        except DocumentChanged:
            existing, etag = self._records.read(connection.id)
            if not existing.removal_complete:
                raise IdTaken("There is a connection of this id already.") from None
            try:
                self._records.replace(connection.id, connection, etag)
            except DocumentChanged:
                raise IdTaken("There is a connection of this id already.") from None
        return connection

    def change(
        self,
        connection_id: str,
        *,
        display_name: str | None = None,
        usable_by: Sequence[Role] | None = None,
    ) -> Connection:
        """Rename the connection or change who may use it.

        Raises:
            NotFound: There is none, or it was removed.
            Invalid: The name is empty or too long.
        """
        changes: dict[str, Any] = {}
        if display_name is not None:
            name, faults = _read_name(display_name)
            if faults:
                raise Invalid("The connection cannot be changed.", faults)
            changes["display_name"] = name
        if usable_by is not None:
            changes["usable_by"] = _roles(usable_by)

        def changed(connection: Connection) -> Connection:
            if connection.state is ConnectionState.REMOVED:
                raise NotFound("There is no such connection.")
            return connection.having(**changes)

        return self._update(connection_id, changed)

    def begin(self, connection_id: str, authorization: Authorization) -> Connection:
        """Note an authorization; one begun before can no longer end."""

        def begun(connection: Connection) -> Connection:
            if connection.state is ConnectionState.REMOVED:
                raise NotFound("There is no such connection.")
            return connection.having(authorization=authorization)

        return self._update(connection_id, begun)

    def end(self, connection_id: str, nonce_digest: str) -> Authorization:
        """Take the authorization, which can be done once, and return it.

        Raises:
            Invalid: It ended before, another was begun since, or it took too long.
        """
        mine = secrets.token_hex(8)

        def ended(connection: Connection) -> Connection:
            pending = connection.authorization
            if (
                pending is None
                or pending.taken_by
                or not secrets.compare_digest(pending.nonce_digest, nonce_digest)
            ):
                raise Invalid("This authorization has ended already; start it again.")
            return connection.having(authorization=pending.having(taken_by=mine))

        authorization = self._update(connection_id, ended).authorization
        if authorization is None or self._now() >= authorization.expires_at:
            raise Invalid("Connecting took longer than ten minutes; start it again.")
        return authorization

    def note_connected(
        self,
        connection_id: str,
        *,
        account: LinkedAccount | None,
        deployment_id: str,
        who: str,
        at: datetime,
        refresh_expires: datetime,
    ) -> Connection:
        """Note that the account is connected as of *at*; a problem there was is gone."""

        def changed(connection: Connection) -> Connection:
            if connection.state is ConnectionState.REMOVED:
                return connection
            return connection.having(
                state=ConnectionState.CONNECTED,
                account=account,
                deployment_id=deployment_id,
                connected_at=at,
                connected_by=who,
                last_refresh=at,
                refresh_expires=refresh_expires,
                authorization=None,
                problem=None,
            )

        return self._update(connection_id, changed)

    def note_refreshed(
        self, connection_id: str, *, at: datetime, refresh_expires: datetime
    ) -> Connection:
        """Note that tokens were issued at *at*."""

        def changed(connection: Connection) -> Connection:
            if connection.state is not ConnectionState.CONNECTED:
                return connection
            if connection.last_refresh and connection.last_refresh >= at:
                return connection
            return connection.having(last_refresh=at, refresh_expires=refresh_expires, problem=None)

        return self._update(connection_id, changed)

    def require_person(
        self, connection_id: str, code: str, message: str, action: str
    ) -> ReconnectRequired:
        """Note that only a person can go on from here, say so once, and return the error."""
        problem = ConnectionProblem(code=code, message=message, action=action, since=self._now())
        moved: list[bool] = []

        def changed(connection: Connection) -> Connection:
            moved[:] = [connection.state is ConnectionState.CONNECTED]
            if not moved[0]:
                return connection
            return connection.having(state=ConnectionState.RECONNECT_REQUIRED, problem=problem)

        connection = self._update(connection_id, changed)
        if moved[0] and connection.problem == problem:
            emit(
                Event.RECONNECT_REQUIRED,
                connection_id=connection_id,
                code=code,
                location=ReconnectRequired.location,
            )
        return ReconnectRequired(message, action=action)

    def note_replaced(self, account_id: str, by: str) -> None:
        """Note that consent for an account was given anew for the connection *by*.

        That ended the tokens of every other connection of the account.
        """
        name = self.read(by).display_name
        for other in self._records.all():
            if other.id != by and other.account and other.account.id == account_id:
                self.require_person(
                    other.id,
                    "replaced",
                    "The same Constant Contact account was approved again for the connection"
                    f" {name}, which ended this one.",
                    f"Let the exports use {name}, or connect this one again, which ends that one.",
                )

    def note_removed(self, connection_id: str, who: str) -> Connection:
        """Mark the connection as removed; from here on no token is handed out for it."""
        now = self._now()

        def changed(connection: Connection) -> Connection:
            if connection.state is ConnectionState.REMOVED:
                return connection
            return connection.having(
                state=ConnectionState.REMOVED,
                authorization=None,
                problem=None,
                removed_at=now,
                removed_by=who,
            )

        return self._update(connection_id, changed)

    def note_removal_complete(self, connection_id: str) -> Connection:
        """Note that nothing of the removed connection is left to stop."""

        def changed(connection: Connection) -> Connection:
            if connection.state is not ConnectionState.REMOVED:
                return connection  # made anew: another was faster
            return connection.having(removal_complete=True)

        return self._update(connection_id, changed)

    def _update(self, connection_id: str, change: Callable[[Connection], Connection]) -> Connection:
        self.read(connection_id)  # refuses what cannot be an id
        return self._records.update(connection_id, change)


def _read_name(text: str) -> tuple[str, list[Fault]]:
    """Return the name without blanks around it, and what is wrong with it."""
    try:
        return _NAME.validate_python(text), []
    except ValidationError as error:
        return "", [Fault("display_name", each.code, each.message) for each in faults_of(error)]


def _id_faults(connection_id: str | None) -> list[Fault]:
    if connection_id is None or _SLUG.fullmatch(connection_id):
        return []
    sentence = "The id needs 1 to 64 lower-case letters, digits or hyphens."
    return [Fault("id", "format", sentence)]


def _roles(roles: Sequence[Role]) -> tuple[Role, ...]:
    """Return *roles* without repeats; administrators always may use a connection."""
    chosen = {Role.ADMINISTRATOR, *roles}
    return tuple(role for role in Role if role in chosen)
