"""One queue's messages, taken and settled as the storage extension does.

https://github.com/Azure/azure-sdk-for-net, Microsoft.Azure.WebJobs.Extensions.Storage.Common:
QueueListener.cs and QueueProcessor.cs.
"""

from __future__ import annotations

import base64
import binascii
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from math import ceil

import azure.functions as func
from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError
from azure.functions.queue import QueueMessage
from azure.storage.queue import QueueClient
from azure.storage.queue import QueueMessage as Received

from .options import QueueOptions

log = logging.getLogger("host.queues")

FIRST_POLL_SECONDS = 0.1
POISON = "-poison"


class QueueListener:
    """Takes messages in a thread and gives each to *run*, which says whether it went well.

    `stop` returns when the running functions are done and what was not begun is released.
    """

    def __init__(
        self,
        queue: QueueClient,
        poison: QueueClient,
        options: QueueOptions,
        run: Callable[[func.QueueMessage], bool],
    ) -> None:
        self._queue = queue
        # A poison queue's own failures have nowhere to go.
        self._poison = None if queue.queue_name.endswith(POISON) else poison
        self._options = options
        self._run = run
        self._stopping = threading.Event()
        self._changed = threading.Condition()
        self._running = 0
        self._thread = threading.Thread(target=self._listen, name=f"queue-{queue.queue_name}")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join()
        with self._changed:
            self._changed.wait_for(lambda: self._running == 0)

    def _listen(self) -> None:
        pause = FIRST_POLL_SECONDS
        longest = self._options.max_polling_interval.total_seconds()
        while not self._stopping.is_set():
            with self._changed:
                self._changed.wait_for(
                    lambda: (
                        self._running <= self._options.new_batch_threshold
                        or self._stopping.is_set()
                    )
                )
            if self._take_batch():
                pause = FIRST_POLL_SECONDS
            else:
                self._stopping.wait(min(pause, longest))
                pause = min(pause * 2, longest)

    def _take_batch(self) -> int:
        if self._stopping.is_set():
            return 0
        try:
            batch = list(
                self._queue.receive_messages(
                    max_messages=self._options.batch_size,
                    visibility_timeout=self._lock_seconds,
                )
            )
        except ResourceNotFoundError:
            return 0
        except AzureError as error:
            log.warning("%s cannot be read: %s", self._queue.queue_name, type(error).__name__)
            return 0
        for message in batch:
            with self._changed:
                self._running += 1
            threading.Thread(target=self._settle, args=[message], name="message").start()
        return len(batch)

    @property
    def _lock_seconds(self) -> int:
        return ceil(self._options.lock.total_seconds())

    def _settle(self, message: Received) -> None:
        try:
            if self._stopping.is_set():
                self._release(message, seconds=0)
            elif self._poison and (message.dequeue_count or 0) > self._options.max_dequeue_count:
                # Every earlier delivery ended with its process.
                self._move_to_poison(message, self._spent)
            else:
                self._deliver(message)
        except ResourceNotFoundError:
            log.warning("%s: a message's lock was lost", self._queue.queue_name)
        except AzureError as error:
            log.warning(
                "%s: a message could not be settled: %s",
                self._queue.queue_name,
                type(error).__name__,
            )
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def _deliver(self, message: Received) -> None:
        body = self._decode(message.content)
        if body is None:
            self._move_to_poison(message, "Message is not base64.")
            return
        with self._kept_locked(message):
            succeeded = self._run(
                QueueMessage(  # type: ignore[no-untyped-call]
                    id=message.id,
                    body=body,
                    dequeue_count=message.dequeue_count,
                    expiration_time=message.expires_on,
                    insertion_time=message.inserted_on,
                    time_next_visible=message.next_visible_on,
                    pop_receipt=message.pop_receipt,
                )
            )
        if succeeded:
            self._queue.delete_message(message)
        elif self._poison is None:
            # Left locked, so that a message that always fails does not spin.
            log.warning("%s: a message failed and stays locked", self._queue.queue_name)
        elif (message.dequeue_count or 0) >= self._options.max_dequeue_count:
            self._move_to_poison(message, self._spent)
        else:
            self._release(message, ceil(self._options.visibility_timeout.total_seconds()))

    def _decode(self, text: str) -> bytes | None:
        if not self._options.base64:
            return text.encode()
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            return None

    @contextmanager
    def _kept_locked(self, message: Received) -> Iterator[None]:
        """Renew the lock at half-time for as long as the block runs."""
        done = threading.Event()

        def renew() -> None:
            while not done.wait(self._lock_seconds / 2):
                try:
                    renewed = self._queue.update_message(
                        message, visibility_timeout=self._lock_seconds
                    )
                except AzureError as error:
                    log.warning(
                        "%s: a lock was not renewed: %s",
                        self._queue.queue_name,
                        type(error).__name__,
                    )
                else:
                    message.pop_receipt = renewed.pop_receipt

        thread = threading.Thread(target=renew, name="renew-lock")
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _release(self, message: Received, seconds: int) -> None:
        self._queue.update_message(message, visibility_timeout=seconds)

    @property
    def _spent(self) -> str:
        return f"Message has reached MaxDequeueCount of {self._options.max_dequeue_count}."

    def _move_to_poison(self, message: Received, reason: str) -> None:
        if self._poison is None:
            log.warning("%s: %s It stays locked.", self._queue.queue_name, reason)
            return
        log.warning("%s Moving message to queue '%s'.", reason, self._poison.queue_name)
        try:
            self._poison.send_message(message.content)
        except ResourceNotFoundError:
            _create(self._poison)
            self._poison.send_message(message.content)
        self._queue.delete_message(message)


def _create(queue: QueueClient) -> None:
    with suppress(ResourceExistsError):  # another instance was faster
        queue.create_queue()
