"""Instances of the app, processes of their own, that die at a chosen outgoing call.

``python -m tests.crashes.worker`` loads the app once. For each line it reads, an order as JSON,
it forks an instance that carries it out, and answers with lines of JSON: each message the
instance received, then how it ended. Blob, queue, vault, token and Constant Contact calls all
go through `requests.Session.send`, which is where they are counted.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import requests
from azure.storage.queue import QueueClient, QueueMessage

from shared.product import Product
from shared.roles import LOCAL
from shared.runs import ENDED
from shared.settings import Settings
from shared.steps import Step, parse_step
from shared.storage.accounts import QUEUE
from shared.storage.queue import StepQueue

Moment = Literal["before", "after"]


@dataclass(frozen=True)
class Order:
    """What an instance is to do.

    Attributes:
        settings: The app's settings.
        start: Id of an export to start a run of; *approve*: key of a held run.
        round: Whether the timer comes round.
        until_ended: Key of a run to wait for; without one it stops when the queue is empty.
        most_seconds: When it stops although nothing has ended: a rival may have died with the
            message and the lease.
        ahead: Seconds by which its clock is ahead: time that has passed since the test began.
        kill: Number of the outgoing call, counted from 1, that it dies before or after.
        deliveries: How often each message is delivered.
    """

    settings: dict[str, str]
    start: str | None = None
    approve: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    round: bool = False
    until_ended: str | None = None
    most_seconds: float = 600
    ahead: float = 0
    kill: tuple[int, Moment] | None = None
    deliveries: int = 1

    def to_json(self) -> str:
        """Return it as one line."""
        return json.dumps(asdict(self))


class HastyQueue(StepQueue):
    """The real queue, where waits take no time."""

    def send(self, step: Step, delay: timedelta = timedelta(0)) -> None:
        """Queue *step* to be delivered at once."""
        super().send(step)


class Outgoing:
    """Counts calls; kills this process just before or just after the one that is doomed.

    Attributes:
        count: Calls so far.
        listening: Whether calls are counted: what the host does by itself is not the app's.
    """

    def __init__(self, kill: tuple[int, Moment] | None) -> None:
        self._numbers = itertools.count(1)
        self._doomed, self._moment = kill or (0, "before")
        self.count = 0
        self.listening = True
        send = requests.Session.send

        def counted(*args: Any, **options: Any) -> requests.Response:
            if not self.listening:
                return send(*args, **options)
            self.count = number = next(self._numbers)
            if number == self._doomed and self._moment == "before":
                die()
            response = send(*args, **options)
            if number == self._doomed:
                die()
            return response

        setattr(requests.Session, "send", counted)  # noqa: B010 - to mypy a method is no attribute


def die() -> None:
    """End as a process does whose machine is switched off."""
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)  # other threads may run for another moment


def carry_out(order: Order) -> int:
    """Be one instance of the app; return how many calls it made."""
    product = Product(
        Settings.model_validate(order.settings),
        lambda: datetime.now(UTC) + timedelta(seconds=order.ahead),
    )
    queue = QueueClient.from_connection_string(order.settings["EXPORT_STORAGE"], QUEUE)
    product.__dict__["queue"] = HastyQueue(queue)
    outgoing = Outgoing(order.kill)
    if order.start:
        product.jobs.start(order.start, LOCAL, **order.options)
    if order.approve:
        product.jobs.approve(order.approve, LOCAL)
    if order.round:
        product.round.make()
    give_up = time.monotonic() + order.most_seconds
    while time.monotonic() < give_up:
        outgoing.listening = False
        message = queue.receive_message(visibility_timeout=600)
        if message is None and is_over(product, order):
            return outgoing.count
        outgoing.listening = True
        if message:
            say({name: message[name] for name in ("id", "pop_receipt", "content")})
            for delivery in range(order.deliveries):
                perform(product, message, redelivered=delivery > 0)
            queue.delete_message(message)
    return outgoing.count


def perform(product: Product, message: QueueMessage, *, redelivered: bool) -> None:
    """Do what the queue function does."""
    redelivered = redelivered or (message.dequeue_count or 1) > 1
    product.jobs.perform(parse_step(message.content.encode()), redelivered=redelivered)


def is_over(product: Product, order: Order) -> bool:
    """Say whether an empty queue means that nothing is left to do."""
    if order.until_ended is None:
        return True
    time.sleep(0.01)
    return product.ledger.runs.read(order.until_ended)[0].state in ENDED


def say(what: object) -> None:
    """Answer with one line, at once."""
    os.write(1, json.dumps(what).encode() + b"\n")


def main() -> None:
    """Fork an instance for every order."""
    for line in sys.stdin:
        order = Order(**json.loads(line))
        instance = os.fork()
        if instance == 0:
            say({"calls": carry_out(order)})
            sys.exit()
        _, status = os.waitpid(instance, 0)
        say({"ended": os.waitstatus_to_exitcode(status)})


if __name__ == "__main__":
    main()
