"""Chromium for the browser tests: the one on the PATH, else Debian's or Playwright's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

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
    with sync_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
    if own.exists():
        return own
    raise ChromiumMissing(
        "The browser tests need Chromium, and it could not be installed. On Debian and Ubuntu:"
        " apt-get install chromium; elsewhere, any Chromium or Chrome on the PATH will do."
    )


def install() -> Path:
    """Return the program, installed first where it is missing.

    Root on a Debian system gets the distribution's; everybody else Playwright's own.
    """
    try:
        return find()
    except ChromiumMissing:
        print("Installing Chromium, once.", file=sys.stderr)
    playwright = [sys.executable, "-m", "playwright", "install", "chromium"]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    is_debian = os.geteuid() == 0 and shutil.which("apt-get") is not None
    for command in (
        (
            ["apt-get", "-qq", "update"],
            ["apt-get", "-qq", "install", "-y", "--no-install-recommends", "chromium"],
        )
        if is_debian
        else (playwright,)
    ):
        # What cannot be reached is no reason to stop here: find says what is missing.
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
