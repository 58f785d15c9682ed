"""The right to act alone for a while, as a lease on a blob of the export container."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobLeaseClient, ContainerClient

from shared.errors import Busy, ExportError
from shared.storage.trouble import translated

SECONDS = 60
"""How long a lease outlives a worker that was killed; Azure allows 15 to 60."""

CERTAIN = 40
"""What `Lease.check` vouches for, in seconds: longer than one request can be under way."""

_RENEWAL = 10

Clock = Callable[[], float]


class Lease:
    """Held until its block ends, renewed by a thread meanwhile.

    Args:
        since: What *clock* said before the lease was asked for.
    """

    def __init__(self, client: BlobLeaseClient, since: float, clock: Clock) -> None:
        self._client = client
        self._since = since
        self._clock = clock
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise `Busy` unless nobody else can act for the next `CERTAIN` seconds.

        A process that was stalled knows by the time, before it can hear of its loss.
        """
        if self._clock() - self._since > SECONDS - CERTAIN:
            raise Busy("The lease was lost to another worker, or nearly.")

    def release(self) -> None:
        """Give the lease back; one that was lost is left alone."""
        self._released.set()
        self._thread.join()
        try:
            with translated():
                self._client.release()
        except (ExportError, ResourceExistsError, ResourceNotFoundError):
            pass  # it ends by itself

    def _renew(self) -> None:
        while not self._released.wait(_RENEWAL):
            since = self._clock()
            try:
                with translated():
                    self._client.renew()
            except ExportError:
                continue  # it lasts for a while, and may be renewed until another worker has it
            except HttpResponseError:
                self._since = -math.inf
                return
            self._since = since


class Leases:
    """Leases by name."""

    def __init__(self, container: ContainerClient, clock: Clock = time.monotonic) -> None:
        self._container = container
        self._clock = clock

    @contextmanager
    def hold(self, name: str, wait: timedelta = timedelta(0)) -> Iterator[Lease]:
        """Hold the lease called *name* for the length of the block.

        Raises:
            Busy: Another worker held it all through *wait*.
        """
        deadline = time.monotonic() + wait.total_seconds()
        while True:
            since = self._clock()
            try:
                lease = Lease(self._acquire(f"leases/{name}"), since, self._clock)
                break
            except Busy:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.2)
        try:
            yield lease
        finally:
            lease.release()

    def _acquire(self, path: str) -> BlobLeaseClient:
        blob = self._container.get_blob_client(path)
        try:
            with translated():
                return blob.acquire_lease(lease_duration=SECONDS)
        except ResourceExistsError:
            raise Busy("Another worker is at it.") from None
        except ResourceNotFoundError:
            pass
        try:
            with translated():
                blob.upload_blob(b"", overwrite=False)
        except ResourceExistsError:
            pass  # made meanwhile, or already held by a faster worker
        try:
            with translated():
                return blob.acquire_lease(lease_duration=SECONDS)
        except ResourceExistsError:
            raise Busy("Another worker is at it.") from None
