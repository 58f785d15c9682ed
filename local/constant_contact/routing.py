"""A route of the API: its path, who may take it and what answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from io import BytesIO

from werkzeug.wrappers import Request, Response

from .account import Account
from .activities import Activities
from .faults import Faults
from .oauth import Bearer

DATA = "contact_data"
READING, WRITING = "contacts:read", "contacts:write"
LISTS_READING, LISTS_WRITING = "contacts:lists:read", "contacts:lists:write"
Content = bytes


@dataclass(frozen=True)
class Received:
    """An import as it arrived, before any limit cut it; rows without the header."""

    file_name: str | None
    list_ids: tuple[str, ...]
    rows: int
    bytes: int
    activity_id: str
    at: datetime
    content: Content = field(repr=False)  # empty unless files are kept


class ApiRequest(Request):
    """Knows who is calling, and keeps an uploaded file in memory."""

    bearer: Bearer

    def _get_file_stream(
        self,
        total_content_length: int | None,
        content_type: str | None,
        filename: str | None = None,
        content_length: int | None = None,
    ) -> BytesIO:
        return BytesIO()


@dataclass(frozen=True)
class Service:
    """What endpoints work on."""

    account: Account
    activities: Activities
    faults: Faults
    imports: list[Received] = field(default_factory=list)


@dataclass(frozen=True)
class Route:
    """*endpoint* is called with the service, the request and what the path names."""

    method: str
    path: str
    scope: str | None
    privilege: str | None
    endpoint: Callable[..., Response]
    exclusive: bool = True  # holds the account while it is answered
