"""The app in this process, over real storage, vault and HTTP, with time that a test can move."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
from azure.storage.blob import ContainerClient
from azure.storage.queue import QueueClient

from local.constant_contact import ConstantContact
from shared.product import Product
from shared.roles import LOCAL
from shared.runs import Run
from shared.settings import Settings
from shared.steps import Step, parse_step, write_step
from shared.storage.accounts import QUEUE
from shared.storage.queue import StepQueue

BASE_URL = "https://app.example"
REDIRECT_URI = f"{BASE_URL}/api/oauth/callback"
COLUMNS = ("EMailAddress1", "FirstName", "City")
PEOPLE = [(f"person{n}@example.com", f"First{n}", "Boston") for n in range(20)]
EMAILS = {email for email, *_ in PEOPLE}
MAPPING = {"email": "EMailAddress1", "first_name": "FirstName", "city": "City"}


@dataclass
class Clock:
    """The time, moved on by the waits that the app asks for."""

    ahead: timedelta = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def pass_by(self, delay: timedelta) -> None:
        """Let *delay* pass."""
        self.ahead += delay


class PatientQueue(StepQueue):
    """The real queue, where waits take no time but are known."""

    def __init__(self, queue: QueueClient) -> None:
        super().__init__(queue)
        self.delays: dict[str, timedelta] = {}
        self.sent: list[tuple[Step, timedelta]] = []

    def send(self, step: Step, delay: timedelta = timedelta(0)) -> None:
        """Queue *step* to be delivered at once, and note how long it should have waited."""
        self.sent.append((step, delay))
        self.delays[write_step(step)] = delay
        super().send(step)


@dataclass
class App:
    """One instance of the app.

    Attributes:
        storage: Connection string of the account for segments and documents.
    """

    storage: str
    vault_url: str
    constant_contact: ConstantContact
    options: dict[str, str] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)

    @cached_property
    def settings(self) -> Settings:
        return Settings.model_validate(
            {
                "SEGMENT_STORAGE": self.storage,
                "SEGMENT_CONTAINER": "segments",
                "EXPORT_STORAGE": self.storage,
                "KEY_VAULT_URL": self.vault_url,
                "CONSTANT_CONTACT_CLIENT_ID": "stand-in-client",
                "CONSTANT_CONTACT_API_URL": self.constant_contact.api_url,
                "CONSTANT_CONTACT_AUTH_URL": self.constant_contact.auth_url,
                "CONSTANT_CONTACT_REQUESTS_PER_SECOND": "1000",
                "PUBLIC_URL": BASE_URL,
                "SIGN_IN": "off",
                "SNAPSHOT_QUIET_SECONDS": "0",
                "ACTIVITY_POLL_SECONDS": "1",
                **self.options,
            }
        )

    @cached_property
    def queue(self) -> QueueClient:
        return QueueClient.from_connection_string(self.storage, QUEUE)

    @cached_property
    def waits(self) -> PatientQueue:
        return PatientQueue(self.queue)

    @cached_property
    def product(self) -> Product:
        product = Product(self.settings, self.clock)
        product.__dict__["queue"] = self.waits
        return product

    @property
    def segments(self) -> ContainerClient:
        return ContainerClient.from_connection_string(self.storage, "segments")

    @property
    def container(self) -> ContainerClient:
        return ContainerClient.from_connection_string(self.storage, "exports")

    def add_container(self, name: str) -> ContainerClient:
        """Make another container in the account."""
        container = ContainerClient.from_connection_string(self.storage, name)
        container.create_container()
        return container

    def create(self) -> None:
        """Make the containers and the queue, as the deployment does."""
        self.segments.create_container()
        self.container.create_container()
        self.queue.create_queue()

    def connect(self, connection_id: str = "main") -> None:
        """Make a connection and connect it, as an administrator does in a browser."""
        connections = self.product.connections
        connections.create(connection_id, consented=True, who="ada", connection_id=connection_id)
        self.reconnect(connection_id)

    def reconnect(self, connection_id: str = "main") -> None:
        """Give consent for a connection, whose account is its own."""
        self.constant_contact.options.change(encoded_account_id=f"account-of-{connection_id}")
        begun = self.product.authorizations.authorize(connection_id, "ada")
        back = requests.get(begun.url, allow_redirects=False, timeout=10).headers["Location"]
        values = parse_qs(urlsplit(back).query)
        self.product.authorizations.callback(
            state=values["state"][0], code=values["code"][0], session=begun.session
        )

    def put_segment(self, name: str, rows: Sequence[tuple[str, ...]]) -> None:
        """Put a plain CSV file with a header into the segment container."""
        lines = [",".join(COLUMNS), *(",".join(row) for row in rows)]
        self.segments.upload_blob(f"{name}.csv", "\n".join(lines) + "\n", overwrite=True)

    def create_export(self, segment: str, list_id: str, **changes: Any) -> str:
        """Save an export of *segment* to a list; return its id."""
        content = {
            "display_name": f"Export of {segment}",
            "connection_id": "main",
            "segments": [{"name": segment, "list_ids": [list_id], "format": {"header": True}}],
            "mapping": MAPPING,
            **changes,
        }
        export, _ = self.product.editor.create(content, LOCAL)
        return export.id

    def run(self, export_id: str, **options: Any) -> Run:
        """Start a run and carry it on until nothing is queued; return what became of it."""
        run = self.start(export_id, **options)
        self.drain()
        return self.read(run)

    def start(self, export_id: str, **options: Any) -> Run:
        """Start a run; return its document."""
        return self.product.jobs.start(export_id, LOCAL, **options)

    def read(self, run: Run) -> Run:
        """Return the run as it now stands."""
        return self.product.ledger.runs.read(run.key)[0]

    def drain(self, perform: Callable[[Step, bool], None] | None = None, most: int = 500) -> None:
        """Deliver messages until none is left, letting the time pass that each should wait."""
        for _ in range(most):
            if not self._deliver(perform):
                return
        raise AssertionError("the queue does not run dry")

    def step(self, times: int) -> None:
        """Deliver so many messages."""
        for _ in range(times):
            assert self._deliver()

    def _deliver(self, perform: Callable[[Step, bool], None] | None = None) -> bool:
        message = self.queue.receive_message(visibility_timeout=600)
        if message is None:
            return False
        step = parse_step(message.content.encode())
        self.clock.pass_by(self.waits.delays.pop(message.content, timedelta(0)))
        redelivered = (message.dequeue_count or 1) > 1
        if perform:
            perform(step, redelivered)
        else:
            self.product.jobs.perform(step, redelivered=redelivered)
        self.queue.delete_message(message)
        return True
