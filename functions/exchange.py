"""HTTP as the functions speak it: who is asking, what was sent, what is answered.

Every route passes through `answering`, the one place where a role is checked and an error
becomes ``application/problem+json`` (RFC 9457).
"""

from __future__ import annotations

import json
import logging
import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Generic, TypeVar

import azure.functions as func
from pydantic import BaseModel, ConfigDict, ValidationError

from shared.bootstrap import product
from shared.errors import (
    Conflict,
    DocumentChanged,
    ExportError,
    Forbidden,
    Invalid,
    NotFound,
    QuotaExceeded,
    ReconnectRequired,
    RequestRefused,
    SegmentError,
    SettingInvalid,
    TransientError,
    faults_of,
)
from shared.roles import Principal, Role, read_principal, require
from shared.settings import origin_of
from shared.tracing import request_span

log = logging.getLogger(__name__)

Model = TypeVar("Model", bound=BaseModel)

Item = TypeVar("Item", bound=BaseModel)

Handler = Callable[[func.HttpRequest, Principal], func.HttpResponse]
OpenHandler = Callable[[func.HttpRequest], func.HttpResponse]
Trigger = Callable[[func.HttpRequest], func.HttpResponse]

MAX_BODY_BYTES = 1024 * 1024
"""An export of 100 segments with 50 lists each takes a fifth of it."""

_STATUS: Sequence[tuple[type[ExportError], int]] = (
    (NotFound, 404),
    (Conflict, 409),
    (ReconnectRequired, 409),
    (SegmentError, 409),
    (DocumentChanged, 412),
    (Forbidden, 403),
    (Invalid, 422),
    (RequestRefused, 502),
    (TransientError, 503),
)

_RETRY_SECONDS = 5
_SESSION_COOKIE = "AppServiceAuthSession"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class FaultDocument(BaseModel):
    """One thing wrong in what was sent: where, a stable code, a sentence."""

    model_config = ConfigDict(extra="forbid")

    field: str
    code: str
    message: str


class ProblemDocument(BaseModel):
    """What every error is answered with (RFC 9457); *code* is stable, for programs."""

    model_config = ConfigDict(extra="forbid")

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    action: str | None = None
    location: str | None = None
    errors: tuple[FaultDocument, ...] | None = None


class Page(BaseModel, Generic[Item]):
    """A collection: the items, and the path of the next page or null."""

    model_config = ConfigDict(extra="forbid")

    items: tuple[Item, ...]
    next: str | None = None


def answering(role: Role) -> Callable[[Handler], Trigger]:
    """Turn a handler into a trigger that only callers with *role* reach."""

    def decorate(handler: Handler) -> Trigger:
        def handle(req: func.HttpRequest) -> func.HttpResponse:
            principal = signed_in(req)
            require(principal, role)
            return handler(req, principal)

        return _trigger(handle, handler)

    return decorate


def answering_all(handler: OpenHandler) -> Trigger:
    """Turn a handler into a trigger that is open to everybody."""
    return _trigger(handler, handler)


def _trigger(handle: OpenHandler, handler: Callable[..., object]) -> Trigger:
    # The worker reads the trigger's own signature, so functools.wraps must not hide it.
    def trigger(req: func.HttpRequest) -> func.HttpResponse:
        try:
            with request_span(handler.__name__, req.headers.get("traceparent")):
                return handle(req)
        except ExportError as error:
            return problem(error)
        except Exception as error:  # noqa: BLE001 - the last place before the caller
            return problem(_unforeseen(handler.__name__, error))

    trigger.__name__ = handler.__name__
    trigger.__qualname__ = handler.__qualname__
    trigger.__doc__ = handler.__doc__
    trigger.__module__ = handler.__module__
    return trigger


def _unforeseen(function: str, error: Exception) -> ExportError:
    """Log where *error* came from, not what it says: that may hold what somebody sent."""
    trace = "".join(traceback.format_tb(error.__traceback__))
    log.error("%s failed with %s:\n%s", function, type(error).__name__, trace)
    return ExportError("Something went wrong that nobody foresaw; the app's log says where.")


class PreconditionRequired(ExportError):
    """A change was sent without saying which version it is a change of."""

    code = "precondition_required"


class NotSignedIn(ExportError):
    """Nobody is signed in, or nothing says whom to believe."""

    code = "not_signed_in"


class BodyTooLarge(ExportError):
    """The body is larger than anything a caller could mean."""

    code = "body_too_large"


class NotJson(ExportError):
    """The body is declared as something else than JSON."""

    code = "not_json"


class TooLargeUnpacked(ExportError):
    """The caller takes no gzip, and the answer is too large without."""

    code = "too_large_unpacked"


def signed_in(req: func.HttpRequest) -> Principal:
    """Return who is asking, or raise `NotSignedIn`, or `Forbidden` for a forged request."""
    settings = product().settings
    principal = read_principal(req.headers, settings.sign_in)
    if principal is None:
        raise NotSignedIn("Sign in first.")
    if req.method.upper() not in _SAFE and _SESSION_COOKIE in req.headers.get("cookie", ""):
        # A browser sends the session cookie whoever wrote the page: ask for what only ours sends.
        same_origin = origin_of(req.headers.get("origin", "")) in settings.origins
        if not (same_origin and req.headers.get("x-requested-with")):
            raise Forbidden("The request does not come from this app's own console.")
    return principal


def read_json(req: func.HttpRequest) -> dict[str, Any]:
    """Return the body as a JSON object; an empty body is an empty object."""
    body = req.get_body()
    if len(body) > MAX_BODY_BYTES:
        raise BodyTooLarge("The body must not be larger than 1 MiB.")
    if not body.strip():
        return {}
    media_type = req.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise NotJson("Send the body as Content-Type: application/json.")
    try:
        content = _parse(body)
    except (ValueError, RecursionError):
        raise Invalid("The body is not valid JSON.") from None
    if not isinstance(content, dict):
        raise Invalid("The body has to be a JSON object.")
    return content


def _parse(body: bytes) -> object:
    """Return JSON that can be written as UTF-8 again: no NaN, no infinity, no half characters."""
    content = json.loads(body.decode("utf-8-sig"), parse_constant=_finite, parse_float=_finite)
    json.dumps(content, ensure_ascii=False).encode()
    return content


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError
    return number


def takes_gzip(req: func.HttpRequest) -> bool:
    """Say whether the answer may be packed; browsers and most clients unpack by themselves."""
    return "gzip" in req.headers.get("accept-encoding", "")


def read_query(model: type[Model], req: func.HttpRequest) -> Model:
    """Return the query's parameters as *model*; ones it does not know are passed over."""
    return read_model(model, dict(req.params))


def read_model(model: type[Model], content: Mapping[str, Any]) -> Model:
    """Return *content* as *model*, or raise `Invalid` with every fault."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise Invalid("Some fields are not valid.", faults_of(error)) from None


def answer(
    content: BaseModel | Mapping[str, Any],
    status: int = 200,
    *,
    headers: Mapping[str, str] | None = None,
) -> func.HttpResponse:
    """Return a JSON answer."""
    body = (
        content.model_dump_json() if isinstance(content, BaseModel) else json.dumps(dict(content))
    )
    return func.HttpResponse(
        body,
        status_code=status,
        mimetype="application/json",
        headers={**_SECURITY, **(headers or {})},
    )


def page(
    items: Sequence[BaseModel | Mapping[str, Any]], following: str | None = None
) -> func.HttpResponse:
    """Return a collection: the items and the path of the next page, or null."""
    shown = [
        item.model_dump(mode="json") if isinstance(item, BaseModel) else dict(item)
        for item in items
    ]
    return answer({"items": shown, "next": following})


def problem(error: ExportError) -> func.HttpResponse:
    """Return *error* as ``application/problem+json``."""
    status = status_of(error)
    detail = str(error)
    faults = tuple(FaultDocument(**vars(fault)) for fault in getattr(error, "faults", ()))
    location = error.location if isinstance(error, Conflict | ReconnectRequired) else None
    headers = dict(_SECURITY)
    match error:
        case Conflict(location=str(path)) | ReconnectRequired(location=path):
            headers["Location"] = path
        case NotSignedIn():
            headers["WWW-Authenticate"] = "Bearer"
        case QuotaExceeded(until=until):
            headers["Retry-After"] = str(max(1, round((until - datetime.now(UTC)).total_seconds())))
        case TransientError() if status == 503:
            headers["Retry-After"] = str(_RETRY_SECONDS)
        case SettingInvalid():
            # Which one is for the log: whoever asks may not even be signed in.
            log.error("a setting is not valid: %s", error)
            detail = "The app is not set up completely; its log says what is missing."
        case _:
            pass
    if status >= 500:
        log.warning("answered %s: %s: %s", status, error.code, error)
    document = ProblemDocument(
        title=HTTPStatus(status).phrase,
        status=status,
        code=error.code,
        detail=detail,
        action=error.action or None,
        location=location,
        errors=faults or None,
    )
    return func.HttpResponse(
        document.model_dump_json(exclude_none=True),
        status_code=status,
        mimetype="application/problem+json",
        headers=headers,
    )


def status_of(error: ExportError) -> int:
    """Return the HTTP status that says *error*."""
    match error:
        case NotSignedIn():
            return 401
        case TooLargeUnpacked():
            return 406
        case BodyTooLarge():
            return 413
        case NotJson():
            return 415
        case PreconditionRequired():
            return 428
        case Invalid(faults=()):
            return 400
        case _:
            return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
