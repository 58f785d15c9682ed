"""Calls to Constant Contact's v3 API for one connection."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar
from urllib.parse import quote, urlsplit

from shared.constant_contact.answers import (
    Account,
    Activity,
    ContactList,
    CustomField,
    Member,
    OptOut,
    TokenRefused,
    decipher,
    parse_account,
    parse_activity,
    parse_custom_field,
    parse_list,
    parse_member,
    parse_opt_out,
    parse_page,
)
from shared.constant_contact.budget import Purpose
from shared.constant_contact.patience import attempts
from shared.constant_contact.transport import Bearer, Transport
from shared.errors import (
    ExportError,
    QuotaExceeded,
    RateLimited,
    ReconnectRequired,
    RequestRefused,
    ServiceUnavailable,
    TransientError,
)
from shared.ids import UUID
from shared.tracing import call_span

T = TypeVar("T")

PAGE = 500
"""Items a page; the most that lists and activities allow."""

FIELDS_PAGE = 100
MAX_XREFS = 500
MAX_PAGES = 4_000

LATE_SECONDS = 0.1
"""A slot that began longer ago is given back for another one."""

PRIVILEGES = "/account/user/privileges"
NEEDED_PRIVILEGES = frozenset(
    {"contacts:read", "contacts:write", "contacts:lists:read", "contacts:lists:write"}
)

_UUID = re.compile(UUID)


class Sender(Protocol):
    """The budget, as a client uses it."""

    def take(self, purpose: Purpose, *, unused: int = 0) -> object:
        """Wait for the next slot; give back so many *unused* ones."""

    def pause(self, seconds: float) -> None:
        """Keep everybody from calling for a while."""

    def exhausted(self) -> datetime:
        """Keep everybody from calling until the day's quota starts anew."""


class TokenSource(Protocol):
    """The tokens, as a client uses them."""

    def access_token(self, connection_id: str) -> str:
        """Return a token to call with."""

    def rotate(self, connection_id: str, refused: str) -> str:
        """Return a newer one than *refused*."""

    def give_up(self, connection_id: str, refused: str) -> ExportError:
        """Return what to raise now that *refused*, a new token, is refused as well."""


class Client:
    """Speaks for one connection. Thread-safe: several calls may be in flight at once.

    Every call takes a slot of the shared budget first. All calls raise `TransientError` for
    what passes, `ReconnectRequired` when a person is needed, and `RequestRefused`.

    Attributes:
        calls: Requests sent so far, repeats included.
        still_wanted: Called right before a request goes out, when it has waited for its slot;
            what it raises stops that.
    """

    def __init__(
        self,
        connection_id: str,
        transport: Transport,
        tokens: TokenSource,
        budget: Sender,
        *,
        api_url: str,
        purpose: Purpose,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection_id = connection_id
        self._transport = transport
        self._tokens = tokens
        self._budget = budget
        self._api_url = api_url
        self._purpose = purpose
        self._now = now
        self._clock = clock
        self._lock = threading.Lock()
        self.calls = 0
        self.still_wanted: Callable[[], None] = lambda: None

    def import_contacts(self, file_name: str, csv: bytes, list_ids: Sequence[str]) -> Activity:
        """Start a bulk import and return its activity, usually still ``initialized``.

        The file is received at most once; only after an answer that says it was not is it sent
        again in place.

        Args:
            file_name: Unique, ending in ``.csv``: `find_import` looks for it.
            csv: UTF-8, header row first; at most 40,000 lines and 3.9 MB with its envelope.
                Constant Contact drops the excess silently.
            list_ids: Lists to add every contact to; 1 to 50.

        Raises:
            AnswerLost: It may have been received; find the activity before sending again.
            ActivityQueueFull: 1,000 activities are waiting; come back later.
        """
        return self._call(
            "POST",
            "/activities/contacts_file_import",
            parse_activity,
            what="the import",
            acts=True,
            uploads=True,
            files={"file": (file_name, csv, "text/csv")},
            data={"list_ids": ",".join(list_ids)},
        )

    def activities(self) -> list[Activity]:
        """Return the account's newest activities, up to 500, in one call."""
        return next(self._pages("activities", parse_activity, "to list activities", limit=PAGE))

    def find_activities(self, ids: Collection[str]) -> dict[str, Activity]:
        """Return those of *ids* that are on record, by their ids.

        Usually one call: that of the newest 500. What is not among them costs a call for each
        further page, or one for each activity where these are fewer.
        """
        found: dict[str, Activity] = {}
        missing = set(ids)
        pages = self._pages("activities", parse_activity, "to list activities", limit=PAGE)
        for read, page in enumerate(pages, start=1):
            found |= {activity.id: activity for activity in page if activity.id in missing}
            missing -= found.keys()
            if len(missing) <= read:
                break
        for activity_id in missing:
            activity = self.activity(activity_id)
            if activity:
                found[activity_id] = activity
        return found

    def activity(self, activity_id: str) -> Activity | None:
        """Return the activity; None once its record is gone, after ten days."""
        path = f"/activities/{quote(activity_id, safe='')}"
        return self._find(path, parse_activity, what="to show an activity")

    def find_import(self, file_name: str) -> Activity | None:
        """Return the newest import of *file_name* in the last ten days, or None."""
        for page in self._pages("activities", parse_activity, "to list activities", limit=PAGE):
            for activity in page:
                if activity.file_name == file_name:
                    return activity
        return None

    def lists(self, *, counts: bool = True) -> list[ContactList]:
        """Return every list of the account; with *counts*, how many members each has."""
        asked: dict[str, str | int] = {"limit": PAGE}
        if counts:
            asked["include_membership_count"] = "all"
        pages = self._pages(
            "contact_lists", parse_list, "to show the lists", items="lists", **asked
        )
        return [found for page in pages for found in page]

    def contact_list(
        self, list_id: str, *, count: bool, active: bool = False
    ) -> ContactList | None:
        """Return the list, or None if there is none.

        Args:
            count: With how many members; *active*: but for those who have unsubscribed.
        """
        if not _UUID.fullmatch(list_id):
            return None
        asked = {"include_membership_count": "active" if active else "all"} if count else None
        return self._find(
            f"/contact_lists/{list_id}", parse_list, what="to show a list", params=asked
        )

    def create_list(self, name: str) -> ContactList:
        """Create a list; up to 255 characters.

        Raises:
            RequestRefused: With status 409 if there is a list of this name.
            AnswerLost: It may have been created; `lists` tells.
        """
        return self._call(
            "POST",
            "/contact_lists",
            parse_list,
            what="to create a list",
            acts=True,
            json={"name": name, "favorite": False},
        )

    def delete_lists(self, list_ids: Sequence[str]) -> Activity:
        """Start deleting up to 100 lists; their contacts stay."""
        return self._start("list_delete", "to delete lists", {"list_ids": list(list_ids)})

    def add_memberships(self, source_lists: Sequence[str], target_lists: Sequence[str]) -> Activity:
        """Start adding all members of *source_lists* to *target_lists*; up to 50 each."""
        return self._start(
            "add_list_memberships",
            "to add people to a list",
            {"source": {"list_ids": list(source_lists)}, "list_ids": list(target_lists)},
        )

    def remove_memberships(
        self, source_lists: Sequence[str], target_lists: Sequence[str]
    ) -> Activity:
        """Start removing all members of *source_lists* from *target_lists*; up to 50 each.

        A list removed from itself would be emptied, so that is a `ValueError`.
        """
        if set(source_lists) & set(target_lists):
            raise ValueError("a list must not be removed from itself")
        return self._start(
            "remove_list_memberships",
            "to remove people from a list",
            {"source": {"list_ids": list(source_lists)}, "list_ids": list(target_lists)},
        )

    def remove_contacts(self, contact_ids: Sequence[str], list_ids: Sequence[str]) -> Activity:
        """Start removing up to 500 contacts from up to 50 lists; the contacts stay."""
        return self._start(
            "remove_list_memberships",
            "to remove people from a list",
            {"source": {"contact_ids": list(contact_ids)}, "list_ids": list(list_ids)},
        )

    def members(self, list_id: str) -> Iterator[list[Member]]:
        """Yield everybody on a list, 500 for each call; unsubscribed people are among them."""
        return self._pages(
            "contacts", parse_member, "to show the members of a list", lists=list_id, limit=PAGE
        )

    def opted_out(self) -> Iterator[list[OptOut]]:
        """Yield everybody in the account who has opted out, 500 for each call."""
        return self._pages(
            "contacts",
            parse_opt_out,
            "to show who has opted out",
            status="unsubscribed",
            limit=PAGE,
        )

    def custom_fields(self) -> list[CustomField]:
        """Return every custom field of the account."""
        pages = self._pages(
            "contact_custom_fields",
            parse_custom_field,
            "to show the custom fields",
            items="custom_fields",
            limit=FIELDS_PAGE,
        )
        return [found for page in pages for found in page]

    def account(self) -> Account:
        """Return which account this is."""
        return self._call("GET", "/account/summary", parse_account, what="to show the account")

    def privileges(self) -> frozenset[str]:
        """Return what the person who connected the account may do: ``contacts:write``, …"""
        return self._call(
            "GET",
            PRIVILEGES,
            lambda content: frozenset(str(item["privilege_name"]) for item in content),
            what="to show the privileges",
        )

    def translate_list_ids(self, sequence_ids: Iterable[int]) -> dict[int, str]:
        """Return the ids of lists known by their old numbers; unknown numbers are left out."""
        numbers = sorted(set(sequence_ids))
        found: dict[int, str] = {}
        for start in range(0, len(numbers), MAX_XREFS):
            found |= self._call(
                "GET",
                "/contact_lists/list_id_xrefs",
                _parse_xrefs,
                what="to translate list numbers",
                params={"sequence_ids": ",".join(map(str, numbers[start : start + MAX_XREFS]))},
            )
        return found

    def _start(self, activity: str, what: str, body: dict[str, Any]) -> Activity:
        return self._call(
            "POST", f"/activities/{activity}", parse_activity, what=what, acts=True, json=body
        )

    def _find(self, path: str, parse: Callable[[Any], T], **call: Any) -> T | None:
        try:
            return self._call("GET", path, parse, **call)
        except RequestRefused as refusal:
            if refusal.status == 404:
                return None
            raise

    def _pages(
        self,
        collection: str,
        parse: Callable[[Any], T],
        what: str,
        *,
        items: str | None = None,
        **asked: str | int,
    ) -> Iterator[list[T]]:
        read = parse_page(items or collection, parse)
        path = f"/{collection}"
        params: dict[str, str | int] | None = asked
        for _ in range(MAX_PAGES):
            page, following = self._call("GET", path, read, what=what, params=params)
            yield page
            if following is None:
                return
            path, params = self._path_of(following), None
        raise ServiceUnavailable(f"Constant Contact's pages do not end ({collection}).")

    def _path_of(self, link: str) -> str:
        """Return the path of a link within the API: links begin with its version, ``/v3``."""
        base = urlsplit(self._api_url).path
        if not link.startswith(f"{base}/"):
            raise ServiceUnavailable("Constant Contact links to a page outside its API.")
        return link.removeprefix(base)

    def _call(self, method: str, path: str, parse: Callable[[Any], T], **call: Any) -> T:
        try:
            for attempt in attempts():
                with attempt:
                    return self._send(method, path, parse, **call)
        except RequestRefused as refusal:
            if refusal.status != 403 or path == PRIVILEGES:
                raise
            raise self._explained(refusal) from None
        raise AssertionError("the last error is raised")

    def _send(
        self,
        method: str,
        path: str,
        parse: Callable[[Any], T],
        **call: Any,
    ) -> T:
        """Send once; if the token is refused, once more with a new one."""
        token = self._take_turn()
        try:
            return self._exchange(method, path, parse, token, **call)
        except TokenRefused:
            self._tokens.rotate(self._connection_id, token)
        token = self._take_turn()
        try:
            return self._exchange(method, path, parse, token, **call)
        except TokenRefused:
            raise self._tokens.give_up(self._connection_id, token) from None

    def _take_turn(self) -> str:
        """Wait for a slot; return the token to use, since the connection may be gone by then.

        A slot does not keep: whoever comes late to theirs, after a token was renewed or storage
        was slow, would call together with the owner of another.
        """
        self._tokens.access_token(self._connection_id)  # what takes long, before the slot
        began = self._take_slot()
        token = self._tokens.access_token(self._connection_id)
        if self._clock() - began > LATE_SECONDS:
            self._take_slot(unused=1)
            token = self._tokens.access_token(self._connection_id)
        return token

    def _take_slot(self, *, unused: int = 0) -> float:
        self._budget.take(self._purpose, unused=unused)
        began = self._clock()
        self.still_wanted()
        return began

    def _exchange(
        self,
        method: str,
        path: str,
        parse: Callable[[Any], T],
        token: str,
        *,
        what: str,
        acts: bool = False,
        **content: Any,
    ) -> T:
        """Send and understand the answer; what it says of the limits goes for everybody."""
        with self._lock:
            self.calls += 1
        try:
            with call_span(f"Constant Contact: {what}", method=method):
                answer = self._transport.send(
                    method, f"{self._api_url}{path}", Bearer(token), acts=acts, **content
                )
                return decipher(answer, parse, acts=acts, what=what, now=self._now())
        except RateLimited as limited:
            self._budget.pause(limited.retry_after or 1.0)
            raise
        except QuotaExceeded as quota:
            quota.until = self._budget.exhausted()
            raise

    def _explained(self, refusal: RequestRefused) -> RequestRefused:
        """Return *refusal* with which of the three reasons there are for a 403 it is."""
        try:
            missing = NEEDED_PRIVILEGES - self.privileges()
        except RequestRefused:
            action = "The application has been deactivated at Constant Contact; activate it there."
        except TransientError:
            return refusal
        else:
            action = (
                f"Whoever connected the account lacks the privilege {', '.join(sorted(missing))}"
                " there; let somebody who has it connect the account."
                if missing
                else "The consent lacks the scope contact_data; connect the account again."
            )
        return RequestRefused(
            refusal.args[0], status=refusal.status, request_id=refusal.request_id, action=action
        )


class GivenToken:
    """The token of a consent that is not stored yet, for one look at the account."""

    def __init__(self, token: str) -> None:
        self._token = token

    def access_token(self, connection_id: str) -> str:
        """Return the token."""
        return self._token

    def rotate(self, connection_id: str, refused: str) -> str:
        """There is no newer one."""
        raise self.give_up(connection_id, refused)

    def give_up(self, connection_id: str, refused: str) -> ExportError:
        """Return the error; nothing is noted, since nothing was connected."""
        return ReconnectRequired("Constant Contact does not accept the tokens it just gave.")


def _parse_xrefs(content: Any) -> dict[int, str]:
    return {int(item["sequence_id"]): str(item["list_id"]) for item in content["xrefs"]}
