"""What Azure and Constant Contact provide, on one machine, and the settings that lead there.

The app has no local mode: demo, `make start` and the tests give it these settings.
"""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from local.azurite import Azurite
from local.constant_contact import ConstantContact
from local.key_vault import KeyVault

ROOT = Path(__file__).parent.parent
SEGMENTS = "segments"
EXPORTS = "exports"
QUEUES = ("export-jobs", "export-jobs-poison")


class HostFailed(Exception):
    """The Functions host did not start; the sentence is its own."""


@dataclass(frozen=True)
class Parts:
    """The parts, running; *settings* are the app's whole configuration."""

    azurite: Azurite
    key_vault: KeyVault
    constant_contact: ConstantContact
    settings: Mapping[str, str]

    @property
    def url(self) -> str:
        """Where the app is to be served."""
        return self.settings["PUBLIC_URL"]

    @property
    def segments(self) -> BlobServiceClient:
        """The account that Customer Insights would write to."""
        return BlobServiceClient.from_connection_string(self.settings["SEGMENT_STORAGE"])


@contextmanager
def running(*, port: int = 0, ask_for_consent: bool = False) -> Iterator[Parts]:
    """Run the parts for an app at *port*, or at a free one, for as long as the block does."""
    url = f"http://127.0.0.1:{port or free_port()}"
    with (
        Azurite() as azurite,
        KeyVault() as vault,
        ConstantContact(keep_files=False, ask=ask_for_consent) as constant_contact,
    ):
        settings = furnish(azurite, vault, constant_contact, url)
        yield Parts(azurite, vault, constant_contact, settings)


def furnish(
    azurite: Azurite, vault: KeyVault, constant_contact: ConstantContact, url: str
) -> dict[str, str]:
    """Put what the app expects into fresh accounts and the vault; return the app's settings.

    The infrastructure templates do the same on Azure: two accounts, two containers, two
    queues, two secrets. *url* is where the app is to be served.
    """
    segment_storage, export_storage = azurite.new_account(), azurite.new_account()
    with BlobServiceClient.from_connection_string(segment_storage) as blobs:
        blobs.create_container(SEGMENTS)
    with BlobServiceClient.from_connection_string(export_storage) as blobs:
        blobs.create_container(EXPORTS)
    with QueueServiceClient.from_connection_string(export_storage) as queues:
        for name in QUEUES:
            queues.create_queue(name)
    vault.set("constant-contact-client-secret", constant_contact.options.client_secret or "")
    vault.set("memory-hash-key", secrets.token_hex(32))
    constant_contact.options.change(redirect_uris=(f"{url}/api/oauth/callback",))
    return {
        "SEGMENT_STORAGE": segment_storage,
        "SEGMENT_CONTAINER": SEGMENTS,
        "SEGMENT_PREFIX": "",
        "EXPORT_STORAGE": export_storage,
        "EXPORT_CONTAINER": EXPORTS,
        "EXPORT_SCHEDULE": "*/20 * * * * *",
        "KEY_VAULT_URL": vault.url,
        "CONSTANT_CONTACT_CLIENT_ID": constant_contact.options.client_id,
        "CONSTANT_CONTACT_API_URL": constant_contact.api_url,
        "CONSTANT_CONTACT_AUTH_URL": constant_contact.auth_url,
        "CONSTANT_CONTACT_REQUESTS_PER_SECOND": "4",
        "CONSTANT_CONTACT_REQUESTS_PER_DAY": "10000",
        "PUBLIC_URL": url,
        "SIGN_IN": "off",
        "SNAPSHOT_QUIET_SECONDS": "1",
        "ACTIVITY_POLL_SECONDS": "0.5",
        "NO_PROXY": "127.0.0.1",
        **vault.environment,
    }


def free_port() -> int:
    """Return a port that is given to nobody else while this process lives."""
    probe = socket.socket()
    # Bound and not listening: whoever asks for this port by its number gets it all the same.
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    probe.bind(("127.0.0.1", 0))
    port: int = probe.getsockname()[1]
    probe.detach()  # stays open for as long as the process does
    return port


@contextmanager
def host(
    settings: Mapping[str, str], *options: str, log: IO[str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run the Functions host as a process at `PUBLIC_URL`; it ends with this one, if not before.

    Args:
        settings: All the app is to know; other `AZURE_…` of this machine are kept from it.
        options: Of ``python -m local.functions_host``, besides the port.
        log: Where its log goes; else to this process's standard error.
    """
    port = settings["PUBLIC_URL"].rpartition(":")[2]
    machine = {name: value for name, value in os.environ.items() if not name.startswith("AZURE_")}
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "local.functions_host"),
            *("--port", port, "--until-stdin-ends", *options),
        ],
        cwd=ROOT,
        env={**machine, **settings},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        start_new_session=True,  # Ctrl-C is for us; the host is stopped first of all parts
    ) as process:
        try:
            if not (process.stdout and process.stdout.readline()):
                raise HostFailed("The Functions host did not start; its log says why.")
            yield process
        finally:
            process.terminate()
