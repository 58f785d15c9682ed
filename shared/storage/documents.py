"""Documents in the export container: written only under the ETag that was read."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from azure.core import MatchConditions
from azure.core.exceptions import (
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.storage.blob import BlobBlock, BlobClient, BlobPrefix, ContainerClient
from pydantic import BaseModel, ValidationError

from shared.errors import DocumentChanged, DocumentUnreadable, NotFound
from shared.storage.trouble import translated

log = logging.getLogger(__name__)

Model = TypeVar("Model", bound=BaseModel)

_BLOCK_BYTES = 1024 * 1024
_PIECE_BYTES = 4 * 1024 * 1024
_NAME_LENGTH = 15  # block names of one blob must all be of one length


@dataclass(frozen=True)
class Stored:
    """A document's content and the ETag it was read under."""

    content: bytes
    etag: str


class Documents:
    """Blobs of one container, by path."""

    def __init__(self, container: ContainerClient) -> None:
        self._container = container

    def exist(self) -> bool:
        """Say whether their container is there."""
        with translated():
            return self._container.exists()

    def read(self, path: str) -> Stored:
        """Return the document, or raise `NotFound`."""
        try:
            with translated():
                blob = self._container.download_blob(path)
                return Stored(blob.readall(), blob.properties.etag)
        except ResourceNotFoundError:
            raise NotFound("There is no such document.") from None

    def create(self, path: str, content: bytes) -> str:
        """Write a document that must not exist yet; return its ETag or raise `DocumentChanged`."""
        try:
            with translated():
                return self._upload(path, content, overwrite=False)
        except ResourceExistsError:
            return self._own_write(path, content)

    def replace(self, path: str, content: bytes, etag: str) -> str:
        """Write over the document read under *etag*; return the new ETag.

        Raises:
            DocumentChanged: It is no longer the document that was read.
        """
        try:
            with translated():
                return self._upload(
                    path,
                    content,
                    overwrite=True,
                    etag=etag,
                    match_condition=MatchConditions.IfNotModified,
                )
        except (ResourceModifiedError, ResourceNotFoundError):
            return self._own_write(path, content)

    def put(self, path: str, content: bytes, *, tag: tuple[str, str] | None = None) -> None:
        """Write a blob whose content is decided by its path, whatever was there before."""
        with translated():
            self._upload(path, content, overwrite=True, tags=dict([tag]) if tag else None)

    def tagged(self, tag: tuple[str, str]) -> Iterator[str]:
        """Yield the paths of blobs that carry *tag*; ones just written may not be among them."""
        with translated():
            name, value = tag
            for blob in self._container.find_blobs_by_tags(f"\"{name}\"='{value}'"):
                yield str(blob.name)

    def blocks(self, path: str) -> BlockFile:
        """Return a new file at *path* that is written in pieces."""
        return BlockFile(self._container.get_blob_client(path))

    def append_block(self, path: str, content: bytes) -> None:
        """Put *content* behind the file; a piece that is there already is not put twice.

        Written only over the file that was seen: of several writers none undoes another's.
        """
        blob = self._container.get_blob_client(path)
        name = hashlib.sha256(content).hexdigest()[:_NAME_LENGTH]
        with translated():
            while True:
                unchanged, committed = _blocks(blob)
                if name in committed:
                    return
                blob.stage_block(name, content)
                try:
                    blob.commit_block_list(
                        [BlobBlock(old) for old in [*committed, name]], **unchanged
                    )
                except (ResourceExistsError, ResourceModifiedError):
                    continue  # another writer was faster, or our own answer got lost
                return

    def stream(self, path: str) -> Iterator[bytes]:
        """Yield the file in pieces of some megabytes.

        Raises:
            NotFound: It is not there, or not any more.
            DocumentChanged: It was written anew meanwhile.
        """
        blob = self._container.get_blob_client(path)
        try:
            with translated():
                found = blob.get_blob_properties()
                for start in range(0, found.size, _PIECE_BYTES):  # the SDK's first is of 32 MiB
                    yield blob.download_blob(
                        start,
                        _PIECE_BYTES,
                        etag=found.etag,
                        match_condition=MatchConditions.IfNotModified,
                    ).readall()
        except ResourceNotFoundError:
            raise NotFound("There is no such document.") from None
        except ResourceModifiedError:
            raise DocumentChanged("The document was changed meanwhile.") from None

    def delete(self, path: str, etag: str | None = None) -> None:
        """Remove the document; that it is gone already is no fault.

        Raises:
            DocumentChanged: It is not the document that was read under *etag*.
        """
        only: dict[str, Any] = {}
        if etag:
            only = {"etag": etag, "match_condition": MatchConditions.IfNotModified}
        try:
            with translated():
                self._container.delete_blob(path, **only)
        except ResourceNotFoundError:
            pass
        except ResourceModifiedError:
            raise DocumentChanged("The document was changed meanwhile.") from None

    def paths(self, prefix: str) -> Iterator[str]:
        """Yield the paths that begin with *prefix*, in the order of their text."""
        with translated():
            yield from self._container.list_blob_names(name_starts_with=prefix)

    def folders(self, prefix: str) -> Iterator[str]:
        """Yield the names of the folders directly below *prefix*, which ends in a slash."""
        with translated():
            for item in self._container.walk_blobs(name_starts_with=prefix):
                if isinstance(item, BlobPrefix):
                    yield item.name.removeprefix(prefix).rstrip("/")

    def _upload(self, path: str, content: bytes, **conditions: Any) -> str:
        blob = self._container.get_blob_client(path)
        return str(blob.upload_blob(content, **conditions)["etag"])

    def _own_write(self, path: str, content: bytes) -> str:
        """Return the ETag if *content* is there already: the answer to our own write was lost.

        The SDK repeats a write whose answer did not come; the repeat then meets the first.
        """
        try:
            stored = self.read(path)
        except NotFound:
            raise DocumentChanged("The document was removed meanwhile.") from None
        if stored.content != content:
            raise DocumentChanged("The document was changed meanwhile.")
        return stored.etag


def _blocks(blob: BlobClient) -> tuple[dict[str, Any], list[str]]:
    """Return the condition that the file is still as it is now, and its blocks; none if absent."""
    try:
        etag = blob.get_blob_properties().etag
        committed = [block.id for block in blob.get_block_list("committed")[0]]
    except ResourceNotFoundError:
        return {"match_condition": MatchConditions.IfMissing}, []
    return {"etag": etag, "match_condition": MatchConditions.IfNotModified}, committed


class BlockFile:
    """A file written in pieces; nobody sees it before `commit`."""

    def __init__(self, blob: BlobClient) -> None:
        self._blob = blob
        self._names: list[str] = []
        self._waiting: list[bytes] = []
        self._size = 0

    def write(self, content: bytes) -> None:
        """Add *content*; small pieces are sent together.

        Raises:
            NotFound: There is no such container.
        """
        self._waiting.append(content)
        self._size += len(content)
        if self._size >= _BLOCK_BYTES:
            self._send()

    def commit(self) -> None:
        """Make the file what was written, in place of what was there."""
        self._send()
        with translated(), _container_needed():
            self._blob.commit_block_list([BlobBlock(name) for name in self._names])

    def _send(self) -> None:
        if not self._waiting:
            return
        name = f"{len(self._names):0{_NAME_LENGTH}d}"
        with translated(), _container_needed():
            self._blob.stage_block(name, b"".join(self._waiting))
        self._names.append(name)
        self._waiting, self._size = [], 0


@contextmanager
def _container_needed() -> Iterator[None]:
    try:
        yield
    except ResourceNotFoundError:
        raise NotFound("There is no such container.") from None


class Records(Generic[Model]):
    """Documents of one kind, read and written as models.

    Args:
        pattern: Path of a record, ``{}`` standing for its key: ``exports/{}.json``.
    """

    def __init__(self, documents: Documents, model: type[Model], pattern: str) -> None:
        self._documents = documents
        self._model = model
        self._before, self._after = pattern.split("{}")

    def _path(self, key: str) -> str:
        return f"{self._before}{key}{self._after}"

    def keys(self) -> Iterator[str]:
        """Yield the keys of all records, in the order of their text."""
        for path in self._documents.paths(self._before):
            if path.endswith(self._after):
                yield path.removeprefix(self._before).removesuffix(self._after)

    def all(self) -> Iterator[Model]:
        """Yield all records that can be read, in the order of their keys."""
        for key in self.keys():
            record = self.find_readable(key)
            if record is not None:
                yield record

    def read(self, key: str) -> tuple[Model, str]:
        """Return the record and its ETag, or raise `NotFound` or `DocumentUnreadable`."""
        path = self._path(key)
        stored = self._documents.read(path)
        try:
            return self._model.model_validate_json(stored.content), stored.etag
        except ValidationError:
            raise DocumentUnreadable(path) from None  # pydantic's own error repeats the content

    def find(self, key: str) -> Model | None:
        """Return the record, or None if there is none."""
        try:
            return self.read(key)[0]
        except NotFound:
            return None

    def find_readable(self, key: str) -> Model | None:
        """Return the record for a list, which one that cannot be read does not keep from others.

        None if there is none, or if it cannot be read, which is logged.
        """
        try:
            return self.find(key)
        except DocumentUnreadable as error:
            log.error("left out of a list: %s", error)  # noqa: TRY400
            return None

    def create(self, key: str, record: Model) -> str:
        """Write a new record and return its ETag; `DocumentChanged` if the key is taken."""
        return self._documents.create(self._path(key), _json(record))

    def replace(self, key: str, record: Model, etag: str) -> str:
        """Write *record* over the one read under *etag*; `DocumentChanged` if that has gone."""
        return self._documents.replace(self._path(key), _json(record), etag)

    def update(self, key: str, change: Callable[[Model], Model]) -> Model:
        """Apply *change* to the record as it is now, again if another writer was faster."""
        while True:
            record, etag = self.read(key)
            changed = change(record)
            if changed == record:
                return record
            try:
                self.replace(key, changed, etag)
            except DocumentChanged:
                continue
            return changed

    def delete(self, key: str, etag: str | None = None) -> None:
        """Remove the record, if *etag* is given only the version read under it."""
        self._documents.delete(self._path(key), etag)


def _json(record: BaseModel) -> bytes:
    return record.model_dump_json(indent=2).encode()
