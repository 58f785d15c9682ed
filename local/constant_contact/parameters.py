"""What a request asks for, read strictly: a wrong value is a 400."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlencode

from werkzeug.wrappers import Request

from .answers import decode_cursor, encode_cursor, invalid, unsupported

Item = TypeVar("Item")


def parse_json(request: Request) -> dict[str, Any]:
    if request.mimetype != "application/json":
        raise unsupported("The payload must be in JSON format.")
    try:
        body = json.loads(request.get_data())
    except ValueError as error:
        raise invalid("The JSON is malformed.") from error
    if not isinstance(body, dict):
        raise invalid("The JSON must be an object.")
    return body


@dataclass(frozen=True)
class Page:
    """The part of a collection that is asked for; *start* is where its cursor points."""

    start: int
    limit: int

    def of(self, items: Sequence[Item]) -> Sequence[Item]:
        return items[self.start : self.start + self.limit]

    def links(self, request: Request, total: int) -> dict[str, Any]:
        """Return the link to the page after this; nothing if this is the last."""
        after = self.start + self.limit
        return next_link(request, after) if after < total else {}


def parse_page(request: Request, highest: int) -> Page:
    text = request.args.get("limit", "50")
    if not text.isdigit() or not 1 <= int(text) <= highest:
        raise invalid("limit does not have a valid value")
    cursor = request.args.get("cursor")
    return Page(0 if cursor is None else decode_cursor(cursor), int(text))


def next_link(request: Request, after: int) -> dict[str, Any]:
    """Return a link relative to the host, which carries the filters on."""
    arguments = request.args.to_dict() | {"cursor": encode_cursor(after)}
    return {"_links": {"next": {"href": f"{request.path}?{urlencode(arguments)}"}}}


def parse_moment(text: str) -> float:
    """Return Unix time; UTC where no offset is given."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise invalid("a date does not have a valid value") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def parse_choices(request: Request, name: str, allowed: Collection[str]) -> set[str]:
    """Return the comma-separated values of parameter *name*, each of which must be *allowed*."""
    asked = set(filter(None, request.args.get(name, "").split(",")))
    if not asked <= set(allowed):
        raise invalid(f"{name} does not have a valid value")
    return asked
