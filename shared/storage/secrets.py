"""Secrets in Key Vault. There is no conditional write: writers hold a lease."""

from __future__ import annotations

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.keyvault.secrets import SecretClient

from shared.errors import NotFound
from shared.storage.trouble import translated

_SERVICE = "Key Vault"


class Secrets:
    """Secrets by name, always the newest version."""

    def __init__(self, client: SecretClient) -> None:
        self._client = client

    def read(self, name: str) -> str:
        """Return the secret's value, or raise `NotFound`."""
        try:
            with translated(_SERVICE):
                value = self._client.get_secret(name).value
        except ResourceNotFoundError:
            raise NotFound(f"There is no secret {name} in Key Vault.") from None
        if not value:
            raise NotFound(f"The secret {name} in Key Vault is empty.")
        return value

    def write(self, name: str, value: str) -> None:
        """Set the secret, also one that was deleted and can still be recovered."""
        try:
            with translated(_SERVICE):
                self._client.set_secret(name, value, content_type="application/json")
        except ResourceExistsError:
            with translated(_SERVICE):
                self._client.begin_recover_deleted_secret(name).wait()
                self._client.set_secret(name, value, content_type="application/json")

    def delete(self, name: str) -> None:
        """Delete the secret; that it is gone already is no fault."""
        try:
            with translated(_SERVICE):
                self._client.begin_delete_secret(name).wait()
        except ResourceNotFoundError:
            pass
