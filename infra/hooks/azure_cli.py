"""The Azure CLI, signed in as whoever deploys."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

Az = Callable[..., Any]


class AzFailed(Exception):
    """The Azure CLI refused; the text is what it said."""


def az(*arguments: str) -> Any:
    """Run a command and return its JSON answer, None for none; raise `AzFailed` if it fails."""
    program = shutil.which("az")
    if program is None:
        raise AzFailed("The Azure CLI (az) was not found; https://aka.ms/azcli says how to get it.")
    done = subprocess.run(  # noqa: S603 - arguments are ours
        [program, *arguments, "--output", "json"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise AzFailed(done.stderr.strip())
    return json.loads(done.stdout) if done.stdout.strip() else None


def say(sentence: str) -> None:
    """Tell the person who deploys."""
    print(sentence, flush=True)  # noqa: T201 - hooks speak to a terminal
