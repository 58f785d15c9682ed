"""The route of the session: who is signed in, and what the console says around every page."""

from __future__ import annotations

import azure.functions as func
from pydantic import AwareDatetime, BaseModel, ConfigDict

from functions.exchange import answer
from functions.operations import operation
from shared.bootstrap import product
from shared.connections import CONSENT_TEXT
from shared.roles import Principal, Role
from shared.version import VERSION

bp = func.Blueprint()


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Usage(_Answer):
    """The day's calls to Constant Contact, of all connections together."""

    used: int
    limit: int
    resets_at: AwareDatetime


class Session(_Answer):
    """Who is signed in, and what the console says around every page.

    Attributes:
        id: Who is signed in, as a run's audit names them.
    """

    id: str
    name: str
    roles: tuple[Role, ...]
    usage: Usage
    consent_text: str
    version: str


@operation(bp, "GET", "api/session", Role.VIEWER, answer=Session)
def read_session(req: func.HttpRequest, who: Principal) -> func.HttpResponse:
    """Return who is signed in, the day's calls to Constant Contact, and the text of the consent."""
    today = product().budget.today()
    return answer(
        Session(
            id=who.id,
            name=who.name,
            roles=tuple(sorted(who.roles)),
            usage=Usage(used=today.used, limit=today.limit, resets_at=today.resets_at),
            consent_text=CONSENT_TEXT,
            version=VERSION,
        )
    )
