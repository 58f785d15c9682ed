"""The stand-in as a whole: answers requests, and shows a test what came of them."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from werkzeug.wrappers import Request, Response

from . import api
from .account import Account, Contact
from .activities import Activities
from .answers import Refused, json_response, not_found
from .control import Control
from .faults import Fault, Faults
from .limits import Limits
from .oauth import OAuth
from .options import Options
from .routing import ApiRequest, Received, Service
from .wire import Server

AUTHORIZE = "/oauth2/default/v1/authorize"
TOKEN = "/oauth2/default/v1/token"
CONSENTED = ("contact_data", "account_read", "offline_access")
SETTLE_EVERY = 0.05  # seconds, while activities are queued


@dataclass
class Call:
    """A request that came in. *status* is None while it is open, and when it was dropped."""

    monotonic: float
    at: datetime
    method: str
    path: str
    query: str
    bytes: int
    status: int | None = None


def utc_now() -> datetime:
    return datetime.now(UTC)


class ConstantContact:
    """Runs while its ``with`` block does.

    ``ConstantContact(redirect_uris=("http://…",), latency=0.3)``: see `Options` for what can
    be chosen. *clock* gives aware UTC times and decides on days, expiry and activities;
    *monotonic*, in seconds, on requests per second.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        clock: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
        **options: Any,
    ) -> None:
        self.options = Options()
        self.options.change(**options)
        self.calls: list[Call] = []
        self.faults = Faults()
        self.limits = Limits(self.options, clock, monotonic)
        self._clock = clock
        self._port = port
        self._account = Account(self.options, clock)
        self._activities = Activities(self._account, clock)
        self._oauth = OAuth(self.options, clock)
        self._service = Service(self._account, self._activities, self.faults)
        self._control = Control(self)
        self._closing = threading.Event()
        self._server: Server | None = None
        self._settler = threading.Thread(target=self._settle, name="activities", daemon=True)

    def __enter__(self) -> Self:
        self._server = Server(self._answer, self._port)
        self._settler.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._closing.set()
        self._activities.added.set()
        self._server.close()
        self._settler.join()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def api_url(self) -> str:
        return f"{self.url}/v3"

    @property
    def auth_url(self) -> str:
        return f"{self.url}/oauth2/default/v1"

    # What a test sees and does

    @property
    def imports(self) -> list[Received]:
        return list(self._service.imports)

    @property
    def activities(self) -> list[dict[str, Any]]:
        """All activities on record as the API would show them, oldest first."""
        self._activities.settle()
        now = self._clock()
        return [each.as_json(now) for each in reversed(self._activities.recent())]

    def members(self, list_id: str) -> set[str]:
        """Return the lower-cased addresses of everybody on the list."""
        self._activities.settle()
        with self._account.lock:
            return self._account.members(list_id)

    def members_digest(self, list_id: str) -> tuple[int, str]:
        """Return how many are on the list, and the SHA-256 of their sorted addresses."""
        self._activities.settle()
        with self._account.lock:
            members = self._account.find_list(list_id)
            return self._account.count(members, active_only=False), self._account.digest(list_id)

    def lists(self) -> dict[str, str]:
        """Return the names of the lists there are, by id."""
        self._activities.settle()
        with self._account.lock:
            return {key: each.name for key, each in self._account.lists.items()}

    def contact(self, email: str) -> Contact | None:
        self._activities.settle()
        with self._account.lock:
            return self._account.contact(email)

    def add_list(self, name: str) -> str:
        with self._account.lock:
            return self._account.create_list(name).list_id

    def list_number(self, list_id: str) -> int:
        """Return the id the list would have had in the v2 API."""
        with self._account.lock:
            return self._account.find_list(list_id).sequence_id

    def delete_list(self, list_id: str) -> None:
        with self._account.lock:
            self._account.delete_list(list_id)

    def add_contact(
        self,
        email: str,
        lists: Sequence[str] = (),
        permission: str = "implicit",
        values: Mapping[str, str] | None = None,
    ) -> str:
        """Have a contact in the account and return its id; *values* as in import headings."""
        with self._account.lock:
            return self._account.put_contact(email, lists, permission, values)

    def delete_contact(self, email: str) -> None:
        with self._account.lock:
            self._account.delete_contacts([self._account.contacts.numbers[email.lower()]])

    def unsubscribe(self, email: str) -> None:
        """Have the contact opt out, by their own hand."""
        with self._account.lock:
            self._account.unsubscribe(email)

    def refuse(self, email: str) -> None:
        """Find fault with this address in every import."""
        with self._account.lock:
            self._account.refused.add(email.lower())

    def add_custom_field(
        self, label: str, type_: str = "string", choices: Sequence[str] = ()
    ) -> str:
        """Return the name that imports use after ``cf:``."""
        with self._account.lock:
            return self._account.create_field(label, type_, choices).name

    def issue_tokens(
        self, scopes: Sequence[str] = CONSENTED, account_id: str | None = None
    ) -> dict[str, Any]:
        """Return the token endpoint's answer as if somebody had just consented.

        As with a real consent, earlier refresh tokens of the same account end.
        """
        return self._oauth.issue_tokens(
            tuple(scopes), account_id or self.options.encoded_account_id
        )

    def revoke(self) -> None:
        """Withdraw every consent: neither access nor refresh tokens work any more."""
        self._oauth.revoke()

    def expire_access_tokens(self) -> None:
        self._oauth.expire_access_tokens()

    def reset_quota(self) -> None:
        """Start the day's count anew."""
        self.limits.reset()

    def use_quota(self, calls: int) -> None:
        """Count *calls* more towards the day."""
        self.limits.use(calls)

    # Answering

    def _answer(self, plain: Request) -> Response | None:
        request = ApiRequest(plain.environ)
        if request.path.startswith("/_stand_in/"):
            return self._control.answer(request)
        call = Call(
            monotonic=time.monotonic(),
            at=self._clock(),
            method=request.method,
            path=request.path,
            query=request.query_string.decode("latin-1"),
            bytes=request.content_length or 0,
        )
        self.calls.append(call)
        fault = self.faults.find(request.method, request.path)
        response = self._answer_with(fault, request)
        if response is not None:
            response.headers["x-amzn-RequestId"] = str(uuid.uuid4())
            call.status = response.status_code
        return response

    def _answer_with(self, fault: Fault | None, request: ApiRequest) -> Response | None:
        try:
            self._admit(request)
            admitted: Response | None = None
        except Refused as refused:
            admitted = refused.response()
        delay = self.options.latency + (fault.delay if fault else 0.0)
        if delay:
            self._closing.wait(delay)
        if fault is not None and fault.drop == "before":
            return None
        if admitted is None and fault is not None and fault.status is not None:
            return _fault_response(fault)
        response = admitted or self._act(request)
        return None if fault is not None and fault.drop == "after" else response

    def _admit(self, request: ApiRequest) -> None:
        if request.path == TOKEN:
            self.limits.admit_token_request()
        elif request.path != AUTHORIZE:
            self.limits.admit()

    def _act(self, request: ApiRequest) -> Response:
        try:
            if request.path == AUTHORIZE:
                return self._oauth.authorize(request)
            if request.path == TOKEN and request.method == "POST":
                return self._oauth.token(request)
            if request.path.startswith("/v3/"):
                return api.answer(self._service, request, self._oauth.bearer(request))
            raise not_found()
        except Refused as refused:
            return refused.response()

    def _settle(self) -> None:
        """Carry out activities as they become due, so that no request has to."""
        while not self._closing.is_set():
            if self._activities.settle():
                self._closing.wait(SETTLE_EVERY)
            else:
                self._activities.added.wait()
            self._activities.added.clear()


def _fault_response(fault: Fault) -> Response:
    assert fault.status is not None
    if isinstance(fault.body, str):
        return Response(
            fault.body, fault.status, dict(fault.headers), content_type="text/html; charset=utf-8"
        )
    return json_response(fault.body, fault.status, fault.headers)
