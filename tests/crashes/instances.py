"""Fresh instances of the app for each order, and what time does for one that was killed."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from azure.core.exceptions import HttpResponseError, ResourceExistsError
from azure.storage.blob import BlobLeaseClient

from shared.exports import Export
from shared.runs import Run
from tests.crashes.worker import Moment, Order
from tests.runs.app import MAPPING, App


@dataclass
class Instances:
    """Carries out orders one after the other, each in a new process.

    Attributes:
        ahead: Seconds that have passed beyond the real time.
        calls: Made by the instance before; None if it was killed.
    """

    app: App
    process: subprocess.Popen[str]
    ahead: float = 0
    calls: int | None = None
    _received: list[dict[str, str]] = field(default_factory=list)

    def begin(self, **order: Any) -> None:
        """Have a new instance carry out an order; `end` waits for it."""
        settings = self.app.settings.model_dump(mode="json", by_alias=True, exclude_none=True)
        assert self.process.stdin is not None
        self.process.stdin.write(Order(settings, ahead=self.ahead, **order).to_json() + "\n")
        self.process.stdin.flush()

    def end(self) -> bool:
        """Wait for the instance; return whether it came to its end rather than being killed."""
        self.calls, self._received = None, []
        assert self.process.stdout is not None
        for line in self.process.stdout:
            match json.loads(line):
                case {"calls": calls}:
                    self.calls = calls
                case {"ended": code}:
                    assert code in (0, -9), "the instance failed"
                    return bool(code == 0)
                case message:
                    self._received.append(message)
        raise AssertionError("the instances' parent died")

    @property
    def messages(self) -> list[str]:
        """What the instance before received."""
        return [message["content"] for message in self._received]

    def do(self, **order: Any) -> bool:
        """Have an order carried out; return whether the instance came to its end."""
        self.begin(**order)
        return self.end()

    def do_and_die(self, number: int, moment: Moment, **order: Any) -> bool:
        """Kill the instance at its call *number*; return False if there was none so late."""
        return not self.do(kill=(number, moment), **order)

    def save_export(self, **content: Any) -> str:
        """Save an export that only runs when it is started; return its id."""
        export = Export.model_validate(
            {
                "id": f"export-{uuid4().hex[:8]}",
                "display_name": "Export",
                "connection_id": next(iter(self.app.product.connection_records.keys())),
                "mapping": MAPPING,
                "schedule": "manual",
                **content,
            }
        )
        self.app.product.exports.create(export.id, export)
        return export.id

    def forget(self, export_id: str, list_id: str) -> None:
        """Remove an export and its list, so that the next one finds no more than this one did."""
        self.app.product.exports.delete(export_id)
        self.app.constant_contact.delete_list(list_id)

    def recover(
        self, export_id: str, before: Run | None = None, options: dict[str, Any] | None = None
    ) -> Run:
        """Let a fresh instance go on, and where no message is left, the timer.

        Args:
            before: The run that was the newest when the instance was started.
            options: With which it started one.

        Returns:
            The newest run.
        """
        self.pass_time()
        self.do()
        run = self.app.product.ledger.latest(export_id)
        if run is None or run == before:  # nothing was written down
            self.ahead += 3 * 60
            self.do(start=export_id, options=options or {})
        elif not run.ended:
            self.ahead += 16 * 60
            self.do(round=True)
        return self.run_of(export_id)

    def run_of(self, export_id: str) -> Run:
        """Return the export's newest run."""
        run = self.app.product.ledger.latest(export_id)
        assert run is not None
        return run

    def staged(self, run: Run) -> list[str]:
        """Return the names of the run's staged files."""
        prefix = f"runs/{run.key}/batches/"
        return list(self.app.container.list_blob_names(name_starts_with=prefix))

    def pass_time(self) -> None:
        """Let as much pass as it takes for a dead instance to lose its leases and messages.

        That is ten minutes, for which the host locks a message; all that it had sent has landed.
        """
        self.ahead += 10 * 60
        self._let_calls_land()
        for message in self._received[-1:]:
            with contextlib.suppress(HttpResponseError):  # gone, or received by another since
                self.app.queue.update_message(
                    message["id"], pop_receipt=message["pop_receipt"], visibility_timeout=0
                )
        for blob in self.app.container.list_blobs("leases/", include=["metadata"]):
            if blob.lease.state == "leased":
                client = self.app.container.get_blob_client(blob.name)
                with contextlib.suppress(ResourceExistsError):
                    BlobLeaseClient(client).break_lease(lease_break_period=0)

    def _let_calls_land(self) -> None:
        """Wait until nothing that the dead instance had sent is still being answered."""
        while any(call.status is None for call in self.app.constant_contact.calls):
            pass


@contextmanager
def instances(app: App) -> Iterator[Instances]:
    """Have instances of *app*."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.crashes.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Instances(app, process)
    finally:
        process.kill()
        process.communicate()
