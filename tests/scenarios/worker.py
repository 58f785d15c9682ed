"""One more instance of the app, in a process of its own, that does one thing when told to.

``python -m tests.scenarios.worker <task>`` reads its places as one line, says ``ready``, waits for
a second line, and answers with one line of JSON.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from shared.constant_contact.budget import Budget, Limits, Purpose
from shared.errors import ExportError
from shared.storage.secrets import Secrets
from shared.tokens import TokenSet
from tests.scenarios.desk import Desk, Places
from tests.scenarios.secrecy import everything_of

CONNECTION = "main"


def main() -> None:
    """Do the task named on the command line; with ``--log`` write down all that is logged."""
    if "--log" in sys.argv:
        handler = logging.StreamHandler()
        handler.format = everything_of  # type: ignore[method-assign]
        logging.basicConfig(level=logging.DEBUG, handlers=[handler])
    desk = Desk(Places.from_json(sys.stdin.readline()))
    token = desk.tokens.access_token(CONNECTION)
    say("ready")
    sys.stdin.readline()
    say(TASKS[sys.argv[1]](desk, token))


def call_from_eight_threads(desk: Desk, token: str) -> list[str]:
    """Look at the lists from eight threads at once; return what came of each."""
    return in_threads(8, 8, lambda: len(desk.client(CONNECTION).lists()))


def call_from_three_threads(desk: Desk, token: str) -> dict[str, list[str]]:
    """Look at the activities ten times, three calls in flight; return the slots, too."""
    slots = []

    class Remembering(Budget):
        def take(self, purpose: Purpose, *, unused: int = 0) -> datetime:
            slot = super().take(purpose, unused=unused)
            slots.append(slot.isoformat())
            return slot

    settings = desk.places.settings
    limits = Limits(settings.requests_per_second, settings.requests_per_day)
    desk.product.__dict__["budget"] = Remembering(desk.documents, settings.client_id, limits)
    client = desk.client(CONNECTION)
    return {"outcomes": in_threads(3, 10, client.activities), "slots": slots}


def stop_after_mark(desk: Desk, token: str) -> str:
    """Die between the mark and the token request."""
    die_at_write(desk, lambda tokens: tokens.refreshing_since is not None, written=True)
    return desk.tokens.rotate(CONNECTION, token)


def stop_before_store(desk: Desk, token: str) -> str:
    """Die when Constant Contact has rotated and nothing is stored yet."""
    die_at_write(desk, lambda tokens: tokens.access_token != token, written=False)
    return desk.tokens.rotate(CONNECTION, token)


def stop_after_store(desk: Desk, token: str) -> str:
    """Die when the new tokens are stored and nobody has used them yet."""
    die_at_write(desk, lambda tokens: tokens.access_token != token, written=True)
    return desk.tokens.rotate(CONNECTION, token)


def stop_in_consent(desk: Desk, token: str) -> object:
    """Die when Constant Contact has exchanged a person's code and nothing is stored yet."""
    exchange = desk.endpoint.exchange

    def die_after(*arguments: Any) -> None:
        exchange(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    desk.endpoint.exchange = die_after  # type: ignore[assignment,method-assign]
    return desk.connect(CONNECTION).id


TASKS: dict[str, Callable[[Desk, str], object]] = {
    task.__name__: task
    for task in (
        call_from_eight_threads,
        call_from_three_threads,
        stop_after_mark,
        stop_before_store,
        stop_after_store,
        stop_in_consent,
    )
}


def in_threads(threads: int, times: int, call: Callable[[], object]) -> list[str]:
    """Return what came of each call: ``ok``, or the code of its error."""

    def attempt(_: int) -> str:
        try:
            call()
        except ExportError as error:
            return error.code
        return "ok"

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(attempt, range(times)))


def die_at_write(desk: Desk, fatal: Callable[[TokenSet], bool], *, written: bool) -> None:
    """Have this process killed at the write of a set that is *fatal*, before or after it."""

    class Deadly(Secrets):
        def write(self, name: str, value: str) -> None:
            doomed = fatal(TokenSet.model_validate_json(value))
            if not doomed or written:
                desk.secrets.write(name, value)
            if doomed:
                os.kill(os.getpid(), signal.SIGKILL)

        def read(self, name: str) -> str:
            return desk.secrets.read(name)

    desk.tokens._secrets = Deadly.__new__(Deadly)


def say(what: object) -> None:
    """Answer with one line."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
