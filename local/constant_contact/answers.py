"""The shapes Constant Contact answers in: three of errors, one of pages, one of times."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from werkzeug.wrappers import Response

COMPACT = (",", ":")


class Refused(Exception):
    """A request is answered with an error.

    Attributes:
        status: HTTP status.
        body: Array, bare object or OAuth object, as the refusing part of the service has it.
    """

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(str(status))
        self.status = status
        self.body = body
        self.headers = dict(headers or {})

    def response(self) -> Response:
        return json_response(self.body, self.status, self.headers)


def resource_error(status: int, key: str, message: str) -> Refused:
    """An error of a resource endpoint: an array."""
    return Refused(status, [{"error_key": key, "error_message": message}])


def invalid(message: str) -> Refused:
    return resource_error(400, "contacts.api.validation.error", message)


def not_found(message: str = "The requested resource was not found.") -> Refused:
    return resource_error(404, "contacts.api.not_found", message)


def conflict(message: str) -> Refused:
    return resource_error(409, "contacts.api.conflict", message)


def unsupported(message: str) -> Refused:
    return resource_error(415, "contacts.api.unsupported_media_type", message)


def gateway_error(
    status: int, key: str, message: str, headers: Mapping[str, str] | None = None
) -> Refused:
    """An error of the gateway: a bare object."""
    return Refused(status, {"error_key": key, "error_message": message}, headers)


def oauth_error(status: int, error: str, description: str) -> Refused:
    headers = {"WWW-Authenticate": "Basic realm=oauth2"} if status == 401 else None
    return Refused(status, {"error": error, "error_description": description}, headers)


UNAUTHORIZED_HEADERS = {
    "WWW-Authenticate": "Bearer realm=api.cc.email",
    "x-amzn-ErrorType": "UnauthorizedException",
}


def unauthorized() -> Refused:
    # As seen in https://community.constantcontact.com/t5/API-Developer-Support/Unauthorized-to-list-contacts/td-p/381268
    return gateway_error(401, "unauthorized", "Unauthorized", UNAUTHORIZED_HEADERS)


def throttled() -> Refused:
    return gateway_error(429, "throttled", "Too Many Requests")


def quota_exceeded() -> Refused:
    return gateway_error(429, "quota_exceeded", "Limit Exceeded")


def queue_full() -> Refused:
    """Only the status and this sentence are documented; key and shape are a guess."""
    return resource_error(
        429,
        "contacts.api.too_many_activities",
        "Too many requests. You exceeded 1,000 queued activities for this user account.",
    )


def json_response(
    body: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    return Response(
        json.dumps(body, separators=COMPACT),
        status=status,
        headers=dict(headers or {}),
        content_type="application/json",
    )


def timestamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def encode_cursor(position: int) -> str:
    return base64.urlsafe_b64encode(f"after:{position}".encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> int:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        return int(text.removeprefix("after:"))
    except ValueError as error:
        raise invalid("cursor does not have a valid value") from error
