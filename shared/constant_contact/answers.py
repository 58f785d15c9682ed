"""What Constant Contact's answers mean. Pure: status, headers and body in, a value or an error out.

Bodies never get into an error: they hold contact data. The vendor's ``error_key`` and its
request id do, both checked for their form.
https://developer.constantcontact.com/api_guide/glossary_responses.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from shared.errors import (
    ActivityQueueFull,
    AnswerLost,
    ExportError,
    QuotaExceeded,
    RateLimited,
    RequestRefused,
    ServiceUnavailable,
)

T = TypeVar("T")

_KEY = re.compile(r"[A-Za-z0-9_.-]{1,80}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_ENDED = frozenset({"completed", "cancelled", "failed", "timed_out", "time_out"})

_REPORT = "Start the run again; if this repeats, it is a fault of this app: report it."

_REASONS = {
    400: ("it finds a value or the file invalid", "Check the export's mapping and lists."),
    403: (
        "a permission is missing",
        "Whoever connected the account has to be allowed to manage contacts and lists.",
    ),
    404: ("it does not exist there", "Check whether a list of the export has been deleted."),
    409: (
        "it exists there already or was changed at the same time",
        "Start the run again; if this repeats, look at the account's lists.",
    ),
    413: ("it is too large", _REPORT),
    415: ("it is not taken for a CSV file", _REPORT),
}


class TokenRefused(ExportError):
    """401: the access token is bad or expired; the request had no effect."""

    code = "token_refused"


@dataclass(frozen=True)
class Answer:
    """An HTTP answer. Header names are compared without regard to case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)

    def header(self, name: str) -> str | None:
        """Return a header's value, or None."""
        wanted = name.lower()
        return next((v for k, v in self.headers.items() if k.lower() == wanted), None)

    @property
    def request_id(self) -> str | None:
        """What the vendor's support asks for; None if there is none."""
        found = self.header("x-amzn-RequestId")
        return found if found and _REQUEST_ID.fullmatch(found) else None


@dataclass(frozen=True)
class Activity:
    """A bulk job at Constant Contact.

    Attributes:
        state: As Constant Contact wrote it; states we do not know count as not ended.
        errors: Verbatim; may hold addresses, so mask them before they are shown.
        items_total: Rows of an import, the header included; contacts otherwise.
        persons: Contacts in an import's file.
        refused: Rows not taken, whether correctable or not.
        suppressed: Contacts left off the list because they unsubscribed before.
    """

    id: str
    state: str
    file_name: str | None = None
    errors: tuple[str, ...] = field(default=(), repr=False)
    items_total: int = 0
    persons: int = 0
    refused: int = 0
    suppressed: int = 0

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in _ENDED

    @property
    def succeeded(self) -> bool:
        """Whether it ran to its end; single rows may have been refused all the same."""
        return self.state == "completed"


@dataclass(frozen=True)
class ContactList:
    """A list; *count* is its members, None where it was not asked for."""

    id: str
    name: str
    count: int | None = None


@dataclass(frozen=True)
class Member:
    """A contact on a list; *unsubscribed* people stay on their lists and get no mail."""

    id: str
    address: str = field(repr=False)
    unsubscribed: bool = False


@dataclass(frozen=True)
class OptOut:
    """A person who has opted out: when, in ISO 8601, and by whom (``Contact``, ``Account``)."""

    address: str = field(repr=False)
    at: str | None = None
    source: str | None = None


@dataclass(frozen=True)
class CustomField:
    """A custom field; imports name it ``cf:<name>``."""

    id: str
    name: str
    label: str
    type: str


@dataclass(frozen=True)
class Account:
    """A Constant Contact account: its encoded id and the organization's name."""

    id: str
    name: str


def decipher(
    answer: Answer, parse: Callable[[Any], T], *, acts: bool, what: str, now: datetime
) -> T:
    """Return what *answer* holds, by *parse*, or raise what it means.

    Args:
        parse: From the JSON of a good answer; a fault of its own, such as a
            `KeyError`, means that the answer cannot be used.
        acts: Whether the request changes something: then an unusable answer is one that got lost.
        what: The request in words, for sentences: ``the import``.
        now: For the end of the day's quota.

    Raises:
        TokenRefused: 401.
        RateLimited, QuotaExceeded, ActivityQueueFull: 429, by what the body says.
        RequestRefused: Any other 3xx or 4xx.
        AnswerLost: 5xx or an unusable body, to a request that acts.
        ServiceUnavailable: The same, to one that only looks.
    """
    if 200 <= answer.status < 300:
        try:
            return parse(json.loads(answer.body) if answer.body else None)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise _unusable(answer, acts=acts) from None
    if answer.status == 401:
        raise TokenRefused("Constant Contact does not accept the access token.")
    if answer.status == 429:
        raise _too_many(answer, acts=acts, now=now)
    if answer.status >= 500 or answer.status == 408:
        raise _unusable(answer, acts=acts)
    raise _refused(answer, what)


def error_key(body: bytes) -> str | None:
    """Return the vendor's code in any of its three error shapes, or None.

    An array comes from the resources, an object from the gateway, ``error`` from OAuth; proxies
    answer with anything else.
    """
    try:
        content = json.loads(body)
    except ValueError:  # UnicodeDecodeError is one
        return None
    match content:
        case [{"error_key": str(key)}, *_] | {"error_key": str(key)} | {"error": str(key)}:
            return key if _KEY.fullmatch(key) else None
        case _:
            return None


def next_midnight(now: datetime) -> datetime:
    """Return the next 00:00 UTC, when the day's quota starts anew."""
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day + timedelta(days=1)


def retry_after(answer: Answer, now: datetime) -> float | None:
    """Return the seconds ``Retry-After`` asks for; it is not documented, but honoured."""
    text = (answer.header("Retry-After") or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:6])
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


def _too_many(answer: Answer, *, acts: bool, now: datetime) -> ExportError:
    match error_key(answer.body):
        case "quota_exceeded":
            return QuotaExceeded(
                "The day's calls to Constant Contact are used up.", until=next_midnight(now)
            )
        case "throttled":
            pass
        case _ if acts:
            # The one 429 whose body is not documented: 1,000 activities are queued.
            return ActivityQueueFull("Constant Contact has too many activities waiting.")
    return RateLimited(
        "Constant Contact wants fewer calls a second.", retry_after=retry_after(answer, now)
    )


def _unusable(answer: Answer, *, acts: bool) -> ExportError:
    sentence = f"Constant Contact answered {_described(answer)}"
    if acts:
        return AnswerLost(f"{sentence}, so it is not known whether it acted.")
    return ServiceUnavailable(f"{sentence}.")


def _refused(answer: Answer, what: str) -> RequestRefused:
    reason, action = _REASONS.get(answer.status, ("it answered something unforeseen", ""))
    key = error_key(answer.body)
    detail = f"{answer.status} {key}" if key else f"{answer.status}"
    return RequestRefused(
        f"Constant Contact refused {what}: {reason} ({detail}).",
        status=answer.status,
        request_id=answer.request_id,
        action=action,
    )


def _described(answer: Answer) -> str:
    known = f", request {answer.request_id}" if answer.request_id else ""
    if answer.status < 300:
        return f"{answer.status} without a usable body{known}"
    return f"{answer.status}{known}"


def parse_activity(content: Any) -> Activity:
    """Return an activity; what is missing counts as nothing yet."""
    status = content.get("status")
    counts = status if isinstance(status, dict) else {}
    return Activity(
        id=_text(content["activity_id"]),
        state=_text(content["state"]),
        file_name=content.get("source_file_name"),
        errors=tuple(_errors(content.get("activity_errors"))),
        items_total=_number(counts.get("items_total_count")),
        persons=_number(counts.get("person_count")),
        # Assumed disjoint; the guide does not say otherwise.
        refused=_number(counts.get("error_count")) + _number(counts.get("correctable_count")),
        suppressed=_number(counts.get("cannot_add_to_list_count")),
    )


def parse_list(content: Any) -> ContactList:
    """Return a list."""
    count = content.get("membership_count")
    return ContactList(
        _text(content["list_id"]),
        _text(content["name"]),
        None if count is None else _number(count),
    )


def parse_member(content: Any) -> Member:
    """Return a contact as far as membership goes; one without an address has an empty one."""
    email = content.get("email_address") or {}
    return Member(
        _text(content["contact_id"]),
        str(email.get("address", "")),
        email.get("permission_to_send") == "unsubscribed",
    )


def parse_opt_out(content: Any) -> OptOut:
    """Return a person who has opted out."""
    email = content["email_address"]
    return OptOut(_text(email["address"]), email.get("opt_out_date"), email.get("opt_out_source"))


def parse_custom_field(content: Any) -> CustomField:
    """Return a custom field. Its name is read, never made from the label."""
    return CustomField(
        _text(content["custom_field_id"]),
        _text(content["name"]),
        str(content.get("label", content["name"])),
        str(content.get("type", "string")),
    )


def parse_account(content: Any) -> Account:
    """Return an account."""
    return Account(_text(content["encoded_account_id"]), str(content.get("organization_name", "")))


def parse_page(name: str, parse: Callable[[Any], T]) -> Callable[[Any], tuple[list[T], str | None]]:
    """Return a parser of one page: its items under *name* and the path of the next page."""

    def page(content: Any) -> tuple[list[T], str | None]:
        items = [parse(item) for item in content.get(name) or []]
        match content.get("_links"):
            case {"next": {"href": str(path)}} if path:
                return items, path
            case _:
                return items, None

    return page


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("not a text")
    return value


def _number(value: object) -> int:
    return max(0, value) if isinstance(value, int) else 0


def _errors(value: object) -> list[str]:
    """Return texts: strings everywhere, but objects with a message from one kind of activity."""
    found = []
    for item in value if isinstance(value, list) else []:
        match item:
            case str(text) | {"message": str(text)}:
                found.append(text)
    return found
