"""``make start``: everything up, a segment to export, and the console's address.

``make parts`` starts the parts alone and writes local.settings.json, for ``func start``.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from local import parts
from local.azurite import AzuriteMissing
from local.parts import Parts
from local.segments import Segment

SETTINGS_FILE = parts.ROOT / "local.settings.json"


def main() -> None:
    """Keep everything running until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m local.start")
    parser.add_argument("--port", type=int, default=7071, help="of the app")
    parser.add_argument("--rows", type=int, default=10_000, help="of the segment to begin with")
    parser.add_argument(
        "--parts-only", action="store_true", help="without the app: for `func start`"
    )
    arguments = parser.parse_args()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    try:
        with parts.running(port=arguments.port, ask_for_consent=True) as running:
            fill(running, arguments.rows)
            app = settings_file(running) if arguments.parts_only else parts.host(running.settings)
            with app:
                introduce(running)
                stopped.wait()
    except (AzuriteMissing, parts.HostFailed, FileExistsError) as error:
        sys.exit(str(error))


def fill(running: Parts, rows: int) -> None:
    """Have something to export, and a list to export it to."""
    with running.segments as account:
        Segment(rows=rows).upload(account.get_container_client(parts.SEGMENTS))
    running.constant_contact.add_list("Newsletter")
    running.constant_contact.add_list("Spring renewals")
    running.constant_contact.add_custom_field("Loyalty tier")


@contextmanager
def settings_file(running: Parts) -> Iterator[None]:
    """Have a local.settings.json for Core Tools for as long as the block runs."""
    values = {
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "AzureWebJobsStorage": running.azurite.new_account(),
        **running.settings,
    }
    try:
        with SETTINGS_FILE.open("x", encoding="utf-8") as file:
            json.dump({"IsEncrypted": False, "Values": values}, file, indent=2)
    except FileExistsError:
        message = f"{SETTINGS_FILE.name} is there already; move it away first."
        raise FileExistsError(message) from None
    try:
        print(f"{SETTINGS_FILE.name} written; now run: func start", flush=True)
        yield
    finally:
        SETTINGS_FILE.unlink()


def introduce(running: Parts) -> None:
    """Say where everything is."""
    print(f"Console                  {running.url}/console/")
    print(f"API                      {running.url}/api/")
    print(f"Constant Contact         {running.constant_contact.url}/_stand_in/lists")
    print("Ctrl-C stops everything; nothing is kept.", flush=True)


if __name__ == "__main__":
    main()
