"""The container of segments, over a storage that behaves as Azure's does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from azure.storage.blob import ContainerClient

from shared.contacts.preparation import Audience, Order, prepare
from shared.errors import SettingInvalid, SnapshotChanged
from shared.segments.source import SourceFile
from shared.storage.segments import SegmentContainer
from tests.unit.containers import newest_snapshot
from tests.unit.preparing import Shelf


@pytest.fixture
def blobs(storage_account: str) -> Iterator[ContainerClient]:
    with ContainerClient.from_connection_string(storage_account, "segments") as client:
        client.create_container()
        yield client


@pytest.fixture
def container(blobs: ContainerClient) -> SegmentContainer:
    return SegmentContainer(blobs)


def only_file(container: SegmentContainer) -> SourceFile:
    [file] = container.files()
    return file


def test_files_below_a_prefix_are_listed_with_what_pins_them(
    blobs: ContainerClient, container: SegmentContainer
) -> None:
    blobs.upload_blob("in/a.csv", b"12345")
    blobs.upload_blob("out/b.csv", b"")

    [file] = container.files("in/")

    assert (file.name, file.size, file.tier, file.snapshot) == ("in/a.csv", 5, "Hot", None)
    assert f'"{file.etag}"' == blobs.get_blob_client("in/a.csv").get_blob_properties().etag
    assert abs(file.modified - container.now()) < timedelta(minutes=1)


def test_folder_placeholders_are_no_files(
    blobs: ContainerClient, container: SegmentContainer
) -> None:
    blobs.upload_blob("in", b"", metadata={"hdi_isfolder": "true"})

    assert list(container.files()) == []


def test_a_range_is_read(blobs: ContainerClient, container: SegmentContainer) -> None:
    blobs.upload_blob("a.csv", b"0123456789")

    assert container.read(only_file(container), 3, 4) == b"3456"


def test_a_file_that_was_written_since_is_not_read(
    blobs: ContainerClient, container: SegmentContainer
) -> None:
    blobs.upload_blob("a.csv", b"before")
    file = only_file(container)
    blobs.upload_blob("a.csv", b"behind", overwrite=True)

    with pytest.raises(SnapshotChanged, match=r"a\.csv"):
        container.read(file, 0, 6)


def test_a_file_that_is_gone_is_told(blobs: ContainerClient, container: SegmentContainer) -> None:
    blobs.upload_blob("a.csv", b"before")
    file = only_file(container)
    blobs.delete_blob("a.csv")

    with pytest.raises(SnapshotChanged, match=r"a\.csv"):
        container.read(file, 0, 6)


def test_a_blob_snapshot_is_read_as_it_was(
    blobs: ContainerClient, container: SegmentContainer
) -> None:
    blobs.upload_blob("a.csv", b"before")
    taken = str(blobs.get_blob_client("a.csv").create_snapshot()["snapshot"])
    blobs.upload_blob("a.csv", b"behind", overwrite=True)

    file = container.file_at("a.csv", taken)

    assert file is not None
    assert container.read(file, 0, 6) == b"before"
    assert container.file_at("a.csv", "2020-01-01T00:00:00.0000000Z") is None
    assert container.file_at("a.csv", "2020-99-99T99:99:99.0000000Z") is None, "no trouble of all"


def test_the_time_is_the_storages_own(container: SegmentContainer) -> None:
    assert container.now().utcoffset() == timedelta(0)
    assert abs(container.now() - datetime.now(UTC)) < timedelta(minutes=5)


def test_a_container_that_does_not_exist_is_a_wrong_setting(storage_account: str) -> None:
    with ContainerClient.from_connection_string(storage_account, "nowhere") as client:
        container = SegmentContainer(client)

        with pytest.raises(SettingInvalid, match="SEGMENT_CONTAINER"):
            list(container.files())
        with pytest.raises(SettingInvalid, match="SEGMENT_CONTAINER"):
            container.now()


def test_the_address_carries_no_signature(storage_account: str) -> None:
    with ContainerClient.from_connection_string(storage_account, "segments") as client:
        signed = ContainerClient.from_container_url(f"{client.url}?sv=2024&sig=secret")
        with signed:
            assert SegmentContainer(signed).url == client.url


def test_a_segment_goes_from_blobs_to_batches(
    blobs: ContainerClient, container: SegmentContainer
) -> None:
    blobs.upload_blob("in/Leads/1.csv", b"EMail,FirstName\nana@example.com,Ana\n")
    blobs.upload_blob("in/Leads/2.csv", b"EMail,FirstName\nbo@example.com,Bo\nbad,Cy\n")
    snapshot = newest_snapshot(container, "Leads", prefix="in/", quiet=timedelta(0))
    assert snapshot is not None
    shelf = Shelf()
    order = Order((Audience(snapshot, ("l",)),), {"email": "EMail", "first_name": "FirstName"})

    counts = prepare(container, order, shelf)

    assert shelf.emails == ["ana@example.com", "bo@example.com"]
    assert (counts.read, counts.staged, counts.invalid) == (3, 2, 1)
