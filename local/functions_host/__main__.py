"""``python -m local.functions_host``, in the folder of host.json and function_app.py."""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import os
import signal
import sys
import threading
from datetime import timedelta
from pathlib import Path
from types import FrameType

from . import Host, HostRefused


def main() -> None:
    """Run the app of the current folder until SIGTERM or Ctrl-C; a second one ends at once."""
    arguments = _parser().parse_args()
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s"
    )
    stopped = threading.Event()

    asked = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            os._exit(1)  # functions are still running; their messages come back
        asked = True  # not what `stopped` says: the end of standard input sets that too
        stopped.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    if arguments.until_stdin_ends:
        threading.Thread(target=_wait_for_stdin, args=[stopped], daemon=True).start()
    try:
        host = Host(
            importlib.import_module("function_app").app,
            os.environ,
            json.loads(Path("host.json").read_text(encoding="utf-8")),
            port=arguments.port,
            lock=timedelta(seconds=arguments.lock_seconds),
            longest_poll=_seconds(arguments.poll_seconds),
            retry_after=_seconds(arguments.retry_seconds),
            timers=arguments.timers == "on",
        )
        with host:
            print(f"Functions host on {host.url}", flush=True)
            stopped.wait()
    except HostRefused as refusal:
        sys.exit(str(refusal))


def _wait_for_stdin(stopped: threading.Event) -> None:
    while os.read(0, 4096):
        pass
    stopped.set()


def _seconds(value: float | None) -> timedelta | None:
    return None if value is None else timedelta(seconds=value)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local.functions_host")
    parser.add_argument("--port", type=int, default=7071, help="0: a free one, which it prints")
    parser.add_argument(
        "--lock-seconds", type=float, default=600, help="how long a message is taken for"
    )
    parser.add_argument("--poll-seconds", type=float, help="longest pause between two polls")
    parser.add_argument("--retry-seconds", type=float, help="pause after a failure")
    parser.add_argument("--timers", choices=["on", "off"], default="on")
    parser.add_argument(
        "--until-stdin-ends",
        action="store_true",
        help="stop when standard input ends, so as not to outlive whoever holds it",
    )
    return parser


if __name__ == "__main__":
    main()
