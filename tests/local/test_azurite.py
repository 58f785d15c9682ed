"""Azurite as tests and the demo use it."""

from __future__ import annotations

from pathlib import Path

from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from local.azurite import Azurite


def test_an_account_has_blobs_and_queues(azurite: Azurite) -> None:
    connection = azurite.new_account()
    with BlobServiceClient.from_connection_string(connection) as blobs:
        blobs.create_container("segments").upload_blob("a.csv", b"a")
    with QueueServiceClient.from_connection_string(connection) as queues:
        queues.create_queue("export-jobs").send_message("{}")

        assert [queue.name for queue in queues.list_queues()] == ["export-jobs"]


def test_accounts_do_not_see_each_other(azurite: Azurite) -> None:
    first, second = (
        BlobServiceClient.from_connection_string(azurite.new_account()) for _ in range(2)
    )
    with first, second:
        first.create_container("segments")

        assert list(second.list_containers()) == []


def test_a_folder_keeps_the_first_accounts_contents_over_a_restart(tmp_path: Path) -> None:
    with (
        Azurite(tmp_path) as azurite,
        BlobServiceClient.from_connection_string(azurite.new_account()) as blobs,
    ):
        blobs.create_container("exports").upload_blob("run.json", b"{}")

    with (
        Azurite(tmp_path) as azurite,
        BlobServiceClient.from_connection_string(azurite.new_account()) as blobs,
    ):
        assert blobs.get_blob_client("exports", "run.json").download_blob().readall() == b"{}"
