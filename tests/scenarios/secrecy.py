"""Where tokens must not be: looked for in everything that the app writes or says."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable

from local.key_vault import KeyVault
from tests.scenarios.desk import Desk


def tokens_in(key_vault: KeyVault, name: str = "connection-main") -> set[str]:
    """Return every token that a connection ever had in the vault."""
    found = set()
    for version in key_vault.versions(name):
        try:
            stored = json.loads(version)
        except ValueError:
            continue  # a test has spoilt it
        found |= {stored["access_token"], stored["refresh_token"]}
    return found


def everything_of(record: logging.LogRecord) -> str:
    """Return what a record says, its attributes included: they go to Application Insights."""
    return f"{record.getMessage()} {vars(record)}"


def let_out(secrets: Iterable[str], texts: Iterable[str]) -> list[str]:
    """Return the beginnings of the texts that give away a secret, or the beginning of one."""
    telling = {secret[:32] for secret in secrets}
    return [text[:80] for text in texts if any(each in text for each in telling)]


def documents_of(desk: Desk) -> list[str]:
    """Return all that the app has written down; what only carries a lease is empty."""
    paths = [path for path in desk.documents.paths("") if not path.startswith("leases/")]
    return [desk.documents.read(path).content.decode("utf-8", "replace") for path in paths]


def search(
    desk: Desk, key_vault: KeyVault, logs: Iterable[logging.LogRecord], further: str = ""
) -> str:
    """Look for tokens in documents and logs, and in *further* text; return what was searched."""
    tokens, documents = tokens_in(key_vault), documents_of(desk)
    said = [everything_of(record) for record in logs] + further.splitlines()
    assert len(tokens) >= 2
    assert documents
    assert said
    assert let_out(tokens, [*documents, *said]) == []
    return f"{len(tokens)} tokens in {len(said)} log lines and {len(documents)} documents: none"
