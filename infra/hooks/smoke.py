"""Looks at a deployed app from outside: ``python -m infra.hooks.smoke``.

Needs ``CONSOLE_URL``, ``AZURE_RESOURCE_GROUP`` and ``AZURE_FUNCTION_NAME`` in the environment.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from email.message import Message
from typing import IO
from urllib.parse import urlsplit

from infra.hooks.azure_cli import Az, AzFailed, az, say

FUNCTIONS = frozenset({"schedule_exports", "start_run", "perform_step", "abandon_step", "health"})
REFUSALS = frozenset({302, 401, 403})
FORGED = base64.b64encode(
    json.dumps({"claims": [{"typ": "roles", "val": "Administrator"}]}).encode()
).decode()
PAUSE = 10.0
"""Seconds between looks at an app that is still starting."""
TRIES = 18


def faults(
    console_url: str,
    group: str,
    app: str,
    run: Az = az,
    pause: Callable[[float], None] = time.sleep,
) -> Iterator[str]:
    """Yield a sentence for everything that is not as it should be.

    Strangers have to be refused with and without a forged sign-in header.
    """
    base = "{0.scheme}://{0.netloc}".format(urlsplit(console_url))
    status, body = _when_started(f"{base}/api/health", pause)
    if (status, body.replace(" ", "").strip()) != (200, '{"status":"ok"}'):
        yield f"Health answers {status} instead of 200 and ok."
    for path in ("/api/exports", "/api/connections", "/console/"):
        for headers in ({}, {"X-MS-CLIENT-PRINCIPAL": FORGED}):
            status, _ = _get(base + path, headers)
            if status not in REFUSALS:
                forged = " with a forged header" if headers else ""
                yield f"{path} answers {status} to a stranger{forged}: sign-in is not enforced."
    listed = run("functionapp", "function", "list", "--resource-group", group, "--name", app)
    names = {str(function["name"]).rpartition("/")[2] for function in listed or []}
    if missing := FUNCTIONS - names:
        yield f"The portal does not list {', '.join(sorted(missing))}."


def _when_started(url: str, pause: Callable[[float], None]) -> tuple[int, str]:
    for _ in range(TRIES - 1):
        status, body = _get(url, {})
        if status == 200:
            return status, body
        pause(PAUSE)
    return _get(url, {})


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Message,
        newurl: str,
    ) -> None:
        return None


def _get(url: str, headers: Mapping[str, str]) -> tuple[int, str]:
    """Return status and body; 0 if nobody answers."""
    opener = urllib.request.build_opener(_NoRedirect)
    request = urllib.request.Request(url, headers=dict(headers))  # noqa: S310 - the app's own
    try:
        with opener.open(request, timeout=60) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, ""
    except OSError:
        return 0, ""


def main() -> int:
    """Say what is wrong and return how much it is."""
    names = ("CONSOLE_URL", "AZURE_RESOURCE_GROUP", "AZURE_FUNCTION_NAME")
    console_url, group, app = (os.environ[name] for name in names)
    try:
        found = list(faults(console_url, group, app))
    except AzFailed as refusal:
        found = [f"The functions could not be listed: {refusal}"]
    for fault in found:
        say(fault)
    if not found:
        say("The app is healthy, refuses strangers, and its functions are listed.")
    return len(found)


if __name__ == "__main__":
    sys.exit(main() > 0)
