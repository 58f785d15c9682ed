"""Chromium for the browser tests: the one on the PATH, else installed from Debian's packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")
"""Chromium refuses its sandbox to root, and tests load nothing but the app's own pages."""


class ChromiumMissing(Exception):
    """There is no Chromium and none can be installed; the sentence says what to do."""


def find() -> Path:
    """Return the program, or raise `ChromiumMissing`."""
    for name in NAMES:
        if found := shutil.which(name):
            return Path(found)
    raise ChromiumMissing(
        "The browser tests need Chromium, and there is none on the PATH. On Debian and Ubuntu:"
        " apt-get install chromium; elsewhere, any Chromium or Chrome will do."
    )


def install() -> Path:
    """Return the program; as root on a Debian system, install it first where it is missing."""
    try:
        return find()
    except ChromiumMissing:
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise
    print("Installing Chromium from Debian's packages, once.", file=sys.stderr)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "-qq", "update"],
        ["apt-get", "-qq", "install", "-y", "--no-install-recommends", "chromium"],
    ):
        # A mirror that cannot be reached is no reason to stop: find says what is missing.
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)
    return find()


def main() -> None:
    """Have Chromium, or end with a sentence that says how to."""
    try:
        install()
    except ChromiumMissing as missing:
        sys.exit(str(missing))


if __name__ == "__main__":
    main()
