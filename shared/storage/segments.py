"""The container that holds the segments: listed and read in ranges, never written."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.storage.blob import BlobProperties, ContainerClient, StorageErrorCode

from shared.errors import ServiceUnavailable, SettingInvalid, SnapshotChanged, SnapshotInvalid
from shared.segments.source import SourceFile
from shared.storage.trouble import translated


class SegmentContainer:
    """A `SegmentSource` over one blob container; the client carries identity and retries."""

    def __init__(self, container: ContainerClient) -> None:
        self._container = container

    @property
    def url(self) -> str:
        """Address of the container without a signature."""
        return str(self._container.url).partition("?")[0]

    def files(self, prefix: str = "") -> Iterator[SourceFile]:
        """List files whose name begins with *prefix*; folder placeholders are no files."""
        try:
            with translated():
                listing = self._container.list_blobs(name_starts_with=prefix, include=["metadata"])
                for blob in listing:
                    if (blob.metadata or {}).get("hdi_isfolder") != "true":
                        yield _file(blob)
        except ResourceNotFoundError:
            raise SettingInvalid(
                "The container named by SEGMENT_CONTAINER does not exist.",
                action="Correct SEGMENT_CONTAINER, or create the container.",
            ) from None

    def file_at(self, name: str, snapshot: str) -> SourceFile | None:
        """Return a blob snapshot, None if there is none."""
        blob = self._container.get_blob_client(name, snapshot=snapshot)
        try:
            with translated():
                try:
                    return _file(blob.get_blob_properties())
                except HttpResponseError as error:
                    if error.status_code == 400:  # no time that a snapshot can have
                        return None
                    raise
        except ResourceNotFoundError:
            return None

    def read(self, file: SourceFile, start: int, length: int) -> bytes:
        """Return a range of the file as it was listed."""
        blob = self._container.get_blob_client(file.name, snapshot=file.snapshot)
        try:
            with translated():
                try:
                    return blob.download_blob(
                        offset=start,
                        length=length,
                        etag=f'"{file.etag}"',
                        match_condition=MatchConditions.IfNotModified,
                    ).readall()
                except HttpResponseError as error:
                    if getattr(error, "error_code", None) == StorageErrorCode.BLOB_ARCHIVED:
                        raise SnapshotInvalid(
                            "The file is in the archive tier, where it cannot be read",
                            file=file.name,
                        ) from None
                    raise
        except (ResourceModifiedError, ResourceNotFoundError):
            raise SnapshotChanged(f"{file.name} changed or went away.") from None

    def now(self) -> datetime:
        """Return the storage service's time, from the ``Date`` header of a listing."""
        dates: list[str] = []

        def note(response: Any) -> None:
            dates.append(response.http_response.headers.get("Date", ""))

        try:
            with translated():
                next(
                    self._container.list_blobs(
                        results_per_page=1, raw_response_hook=note
                    ).by_page(),
                    None,
                )
            return parsedate_to_datetime(dates[-1])
        except ResourceNotFoundError:
            raise SettingInvalid(
                "The container named by SEGMENT_CONTAINER does not exist."
            ) from None
        except (IndexError, ValueError):
            raise ServiceUnavailable("Azure's storage did not tell the time.") from None


def _file(blob: BlobProperties) -> SourceFile:
    return SourceFile(
        name=blob.name,
        etag=blob.etag.strip('"'),  # quoted in headers, bare in listings
        size=blob.size,
        modified=blob.last_modified,
        tier=blob.blob_tier,
        snapshot=blob.snapshot,
    )
