"""Run the stand-in as a process until it is stopped."""

from __future__ import annotations

import argparse
import json
import signal
import threading
from typing import Any

from .stand_in import ConstantContact


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.constant_contact", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="a free one unless named")
    parser.add_argument(
        "--redirect-uri", action="append", default=[], help="registered; may be repeated"
    )
    parser.add_argument("--list", action="append", default=[], help="name of a list to begin with")
    parser.add_argument(
        "--options", type=json.loads, default={}, help='JSON, as in {"activity_seconds": 2}'
    )
    given = parser.parse_args()
    options: dict[str, Any] = {"keep_files": False, "redirect_uris": given.redirect_uri}
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with ConstantContact(port=given.port, **options | given.options) as cc:
        lists = {name: cc.add_list(name) for name in given.list}
        ready = {"api_url": cc.api_url, "auth_url": cc.auth_url, "lists": lists}
        print(json.dumps(ready), flush=True)
        stopped.wait()


if __name__ == "__main__":
    main()
