"""Puts the Constant Contact client secret into the vault, unless one is there.

``python -m infra.hooks.client_secret``, with ``AZURE_KEY_VAULT_NAME`` set. Asks at a terminal, or
takes ``CONSTANT_CONTACT_CLIENT_SECRET`` from the environment.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from getpass import getpass
from pathlib import Path

from infra.hooks.azure_cli import Az, AzFailed, az, say

NAME = "constant-contact-client-secret"
PAUSE = 20.0
"""Seconds between tries while the deployer's new role on the vault takes effect."""
TRIES = 15
OUTSIDE = ("ForbiddenByConnection", "ForbiddenByFirewall")
"""What Key Vault answers where a private endpoint or its firewall keeps us out: no wait helps."""


def provide(
    vault: str, ask: Callable[[], str], run: Az = az, pause: Callable[[float], None] = time.sleep
) -> bool:
    """Make sure the vault has the secret and return whether it has; never overwrites one."""
    if _patiently(lambda: _is_there(vault, run), pause):
        say(f"The vault has {NAME} already; it is left alone.")
        return True
    value = ask().strip()
    if not value:
        say(
            f"The vault has no {NAME} yet. Put it there before connecting an account:\n"
            f"  az keyvault secret set --vault-name {vault} --name {NAME} --file <file>"
        )
        return False
    _put(vault, value, run)
    say(f"Stored {NAME} in the vault.")
    return True


def _is_there(vault: str, run: Az) -> bool:
    try:
        run("keyvault", "secret", "show", "--vault-name", vault, "--name", NAME, "--query", "id")
    except AzFailed as refusal:
        if "SecretNotFound" in str(refusal):
            return False
        raise
    return True


def _patiently(look: Callable[[], bool], pause: Callable[[float], None]) -> bool:
    for _ in range(TRIES - 1):
        try:
            return look()
        except AzFailed as refusal:
            if any(code in str(refusal) for code in OUTSIDE):
                advice = "The vault is closed to this machine: run this from inside the network."
                raise AzFailed(f"{refusal}\n{advice}") from None
            if "Forbidden" not in str(refusal):
                raise
            say("The vault does not let us in yet; new roles take some minutes. Waiting.")
            pause(PAUSE)
    return look()


def _put(vault: str, value: str, run: Az) -> None:
    # By way of a file only its owner may read: arguments show up in the list of processes.
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "secret"
        file.touch(mode=0o600)
        file.write_text(value, encoding="utf-8")
        run(
            "keyvault", "secret", "set", "--vault-name", vault, "--name", NAME,
            "--file", str(file), "--encoding", "utf-8", "--query", "id",
        )  # fmt: skip


def _ask() -> str:
    given = os.environ.get("CONSTANT_CONTACT_CLIENT_SECRET", "")
    if given or not sys.stdin.isatty():
        return given
    return getpass("Client secret of the Constant Contact application (Enter for later): ")


if __name__ == "__main__":
    try:
        provide(os.environ["AZURE_KEY_VAULT_NAME"], _ask)
    except AzFailed as refusal:
        sys.exit(f"{refusal}\n{NAME} was not looked at; docs/deployment.md says how to set it.")
