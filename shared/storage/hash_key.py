"""The key of all keyed hashes and signatures, made once for a deployment."""

from __future__ import annotations

import secrets as randomness
from datetime import timedelta

from shared.errors import NotFound, SettingInvalid
from shared.storage.leases import Leases
from shared.storage.secrets import Secrets

NAME = "memory-hash-key"

_LEAST_LENGTH = 32
_PATIENCE = timedelta(seconds=30)


class HashKey:
    """Reads the key from Key Vault; the first to need it makes it."""

    def __init__(self, secrets: Secrets, leases: Leases) -> None:
        self._secrets = secrets
        self._leases = leases
        self._known: str | None = None

    def read(self) -> str:
        """Return the key, or raise `SettingInvalid` if somebody put too short a one there."""
        if self._known is None:
            self._known = self._find() or self._make()
        if len(self._known) < _LEAST_LENGTH:
            raise SettingInvalid(f"The Key Vault secret {NAME} needs {_LEAST_LENGTH} characters.")
        return self._known

    def _find(self) -> str | None:
        try:
            return self._secrets.read(NAME)
        except NotFound:
            return None

    def _make(self) -> str:
        with self._leases.hold(NAME, _PATIENCE):
            found = self._find()
            if found is None:
                self._secrets.write(NAME, randomness.token_hex(32))
                found = self._secrets.read(NAME)
            return found
