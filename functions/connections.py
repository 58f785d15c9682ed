"""Routes of connections: the Constant Contact accounts this app may act for."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime
from http.cookies import Morsel
from typing import Annotated
from urllib.parse import urlencode

import azure.functions as func
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

from functions.exchange import Page, answer, page, problem, read_json, read_model, read_query
from functions.operations import open_operation, operation
from shared import audit
from shared.bootstrap import product
from shared.connections import (
    Connection,
    ConnectionProblem,
    ConnectionState,
    Consent,
    LinkedAccount,
)
from shared.constant_contact.budget import Purpose
from shared.errors import ExportError, NotFound
from shared.exports import STANDARD_FIELDS
from shared.ids import SLUG, DisplayName
from shared.roles import Principal, Role, require_use

log = logging.getLogger(__name__)

bp = func.Blueprint()

_CALLBACK = "api/oauth/callback"
_SESSION_COOKIE = "authorization"


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ConsentBody(_Body):
    """The consent of the person who makes a connection."""

    accepted: bool = False


class ConnectionBody(_Body):
    """What ``POST /api/connections`` takes."""

    display_name: DisplayName
    usable_by: list[Role] = [Role.ADMINISTRATOR]
    consent: Annotated[ConsentBody, Field(default_factory=dict, validate_default=True)]
    id: str | None = Field(None, pattern=f"^{SLUG}$")

    @field_validator("consent")
    @classmethod
    def _accepted(cls, consent: ConsentBody) -> ConsentBody:
        if not consent.accepted:
            raise PydanticCustomError("consent_required", "The consent has to be accepted.")
        return consent


class ConnectionChange(_Body):
    """What ``PATCH /api/connections/{id}`` takes."""

    display_name: DisplayName | None = None
    usable_by: list[Role] | None = None


class AuthorizeBody(_Body):
    """What ``POST …/authorize`` takes; all of it may be left out."""

    replace_account: bool = False


class ConnectionAnswer(_Body):
    """A connection for a reader: as it is kept, but for what only the app needs.

    Attributes:
        days_left: Until a person would have to connect again; null if unknown.
    """

    id: str
    display_name: str
    usable_by: tuple[Role, ...]
    consent: Consent
    state: ConnectionState
    account: LinkedAccount | None
    connected_at: AwareDatetime | None
    connected_by: str | None
    last_refresh: AwareDatetime | None
    refresh_expires: AwareDatetime | None
    days_left: int | None
    problem: ConnectionProblem | None
    created_at: AwareDatetime
    created_by: str
    removed_at: AwareDatetime | None
    removed_by: str | None


class AuthorizationAnswer(_Body):
    """Where a person gives consent, within ten minutes."""

    authorization_url: str


class CallbackQuery(BaseModel):
    """What Constant Contact sends the browser back with."""

    state: str = ""
    code: str | None = None
    error: str | None = None


class ContactList(_Body):
    """A list of the account, with the number of its members where that is known."""

    id: str
    name: str
    count: int | None


class ContactField(_Body):
    """What a column can be mapped to; *key* is what an export's mapping names."""

    key: str
    label: str
    type: str


@operation(bp, "GET", "api/connections", Role.VIEWER, answer=Page[ConnectionAnswer])
def list_connections(req: func.HttpRequest, who: Principal) -> func.HttpResponse:
    """List the connections, without those that were removed."""
    present = (c for c in product().connections.all() if c.state is not ConnectionState.REMOVED)
    return page([_shown(connection) for connection in present])


@operation(
    bp,
    "POST",
    "api/connections",
    Role.ADMINISTRATOR,
    body=ConnectionBody,
    status=201,
    answer=ConnectionAnswer,
    headers=("Location",),
    errors=(409,),
)
def create_connection(req: func.HttpRequest, who: Principal) -> func.HttpResponse:
    """Make a connection: its name, who may use it, and the consent. It is not connected yet."""
    body = read_model(ConnectionBody, read_json(req))
    connection = product().connections.create(
        body.display_name,
        usable_by=body.usable_by,
        consented=body.consent.accepted,
        who=who.name,
        connection_id=body.id,
    )
    audit.note("connection_created", who, after=connection.audited, connection_id=connection.id)
    return answer(
        _shown(connection), 201, headers={"Location": f"/api/connections/{connection.id}"}
    )


@operation(bp, "GET", "api/connections/{connection_id}", Role.VIEWER, answer=ConnectionAnswer)
def read_connection(req: func.HttpRequest, who: Principal) -> func.HttpResponse:
    """Return how the connection stands and how many days its consent has left."""
    return answer(_shown(_connection(req)))


@operation(
    bp,
    "PATCH",
    "api/connections/{connection_id}",
    Role.ADMINISTRATOR,
    body=ConnectionChange,
    answer=ConnectionAnswer,
)
def change_connection(req: func.HttpRequest, who: Principal) -> func.HttpResponse:
    """Rename the connection or change who may use it."""
    body = read_model(ConnectionChange, read_json(req))
    before = _connection(req)
    connection = product().connections.change(
        before.id, display_name=body.display_name, usable_by=body.usable_by
    )
    audit.note(
        "connection_changed",
        who,
        before=before.audited,
        after=connection.audited,
        connection_id=connection.id,
    )
    return answer(_shown(connection))


@operation(bp, "DELETE", "api/connections/{connection_id}", Role.ADMINISTRATOR, status=204)
def remove_connection(req: func.HttpRequest, who: Principal) -> func.HttpResponse:
    """Delete the tokens and stop everything that uses them; exports stay, disabled."""
    product().removal.remove(_connection_id(req), who)
    return func.HttpResponse(status_code=204)


@operation(
    bp,
    "POST",
    "api/connections/{connection_id}/authorize",
    Role.ADMINISTRATOR,
    body=AuthorizeBody,
    answer=AuthorizationAnswer,
)
def authorize_connection(req: func.HttpRequest, who: Principal) -> func.HttpResponse:
    """Return the address at Constant Contact where the person gives consent, in this browser."""
    body = read_model(AuthorizeBody, read_json(req))
    connection = _connection(req)
    begun = product().authorizations.authorize(
        connection.id, who.name, who_id=who.id, replace_account=body.replace_account
    )
    audit.note(
        "authorization_begun",
        who,
        after={"replace_account": body.replace_account},
        connection_id=connection.id,
    )
    return answer(
        AuthorizationAnswer(authorization_url=begun.url),
        headers={"Set-Cookie": _cookie(begun.session)},
    )


@open_operation(
    bp,
    "GET",
    _CALLBACK,
    query=CallbackQuery,
    status=302,
    headers=("Location",),
    errors=(400, 409),
)
def complete_authorization(req: func.HttpRequest) -> func.HttpResponse:
    """Take the browser back from Constant Contact. State and cookie prove whose answer it is."""
    given = read_query(CallbackQuery, req)
    try:
        connection = product().authorizations.callback(
            state=given.state, code=given.code, error=given.error, session=_session(req)
        )
    except ExportError as error:
        log.warning("an account was not connected: %s: %s", error.code, error)
        if "text/html" in req.headers.get("accept", ""):
            return _to_console(not_connected=error.code)
        return problem(error)
    return _to_console(connected=connection.id)


@operation(
    bp,
    "GET",
    "api/connections/{connection_id}/lists",
    Role.CONTRIBUTOR,
    answer=Page[ContactList],
    errors=(409, 502),
)
def list_contact_lists(req: func.HttpRequest, who: Principal) -> func.HttpResponse:
    """List the account's lists: id, name, members."""
    connection = _usable(req, who)
    lists = product().client(connection.id, Purpose.LOOK_UP).lists()
    return page([ContactList(id=each.id, name=each.name, count=each.count) for each in lists])


@operation(
    bp,
    "GET",
    "api/connections/{connection_id}/fields",
    Role.CONTRIBUTOR,
    answer=Page[ContactField],
    errors=(409, 502),
)
def list_contact_fields(req: func.HttpRequest, who: Principal) -> func.HttpResponse:
    """List what a column can be mapped to: the contact's own fields and the custom ones."""
    connection = _usable(req, who)
    custom = product().client(connection.id, Purpose.LOOK_UP).custom_fields()
    return page(
        [
            *(ContactField(key=key, label=key, type="standard") for key in STANDARD_FIELDS),
            *(
                ContactField(key=f"cf:{each.name}", label=each.label, type=each.type)
                for each in custom
            ),
        ]
    )


def _cookie(session: str) -> str:
    """Return the cookie that binds an authorization to the browser it was begun in."""
    kept: Morsel[str] = Morsel()
    kept.set(_SESSION_COOKIE, session, session)
    kept["path"] = "/" + _CALLBACK
    kept["httponly"] = True
    kept["samesite"] = "Lax"  # it has to come along from Constant Contact's page
    kept["secure"] = product().settings.base_url.startswith("https:")
    return kept.OutputString()


def _session(req: func.HttpRequest) -> str | None:
    pairs = (part.strip().partition("=") for part in req.headers.get("cookie", "").split(";"))
    return next((value for name, _, value in pairs if name == _SESSION_COOKIE), None)


def _to_console(**outcome: str) -> func.HttpResponse:
    return func.HttpResponse(
        status_code=302,
        headers={"Location": f"/console/?{urlencode(outcome)}", "Cache-Control": "no-store"},
    )


def _connection_id(req: func.HttpRequest) -> str:
    """Return the connection's id from the path; nothing unchecked becomes part of a blob's path."""
    connection_id = req.route_params.get("connection_id") or ""
    if not re.fullmatch(SLUG, connection_id):
        raise NotFound("There is no such connection.")
    return connection_id


def _connection(req: func.HttpRequest) -> Connection:
    connection = product().connections.read(_connection_id(req))
    if connection.state is ConnectionState.REMOVED:
        raise NotFound("There is no such connection.")
    return connection


def _usable(req: func.HttpRequest, who: Principal) -> Connection:
    connection = _connection(req)
    require_use(who, connection.usable_by)
    return connection


def _shown(connection: Connection) -> ConnectionAnswer:
    seen = connection.seen_from(product().settings.deployment_id)
    kept = {name: value for name, value in seen if name in ConnectionAnswer.model_fields}
    return ConnectionAnswer(**kept, days_left=seen.days_left(datetime.now(UTC)))
