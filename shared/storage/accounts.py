"""Clients of Azure's services, made from settings; nothing is called before they are used."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from azure.core.credentials import TokenCredential
from azure.identity import DefaultAzureCredential
from azure.keyvault.secrets import SecretClient
from azure.storage.blob import BlobServiceClient, ContainerClient
from azure.storage.queue import QueueClient, QueueServiceClient

from shared.settings import Settings, StorageAccount

QUEUE = "export-jobs"

_TIMEOUTS: Any = {"connection_timeout": 10, "read_timeout": 60}
"""Seconds, for every call to Azure."""


class Accounts:
    """The app's own account, the segments' account and the vault, as settings name them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def _identity(self) -> TokenCredential:
        """The app's own identity: the managed one on Azure."""
        return DefaultAzureCredential()

    @cached_property
    def documents(self) -> ContainerClient:
        """The container of the app's documents."""
        return self._container(self._settings.exports, self._settings.export_container)

    def beside_documents(self, name: str) -> ContainerClient:
        """Another container of the account that holds the documents."""
        return self._container(self._settings.exports, name)

    @cached_property
    def segments(self) -> ContainerClient:
        """The container that Customer Insights writes to; it is only read."""
        return self._container(self._settings.segments, self._settings.segment_container)

    @cached_property
    def queue(self) -> QueueClient:
        """The queue of steps."""
        account = self._settings.exports
        if account.connection_string:
            service = QueueServiceClient.from_connection_string(
                account.connection_string, **_TIMEOUTS
            )
        else:
            service = QueueServiceClient(
                str(account.queue_service_uri), self._identity, **_TIMEOUTS
            )
        return service.get_queue_client(QUEUE)

    @cached_property
    def vault(self) -> SecretClient:
        """The secrets of the key vault."""
        return SecretClient(self._settings.key_vault_url, self._identity, **_TIMEOUTS)

    def _container(self, account: StorageAccount, name: str) -> ContainerClient:
        if account.connection_string:
            service = BlobServiceClient.from_connection_string(
                account.connection_string, **_TIMEOUTS
            )
        else:
            service = BlobServiceClient(str(account.blob_service_uri), self._identity, **_TIMEOUTS)
        return service.get_container_client(name)
