"""Addresses of files in metadata, turned into names within the one container that may be read.

No request is ever made to what an address says: it only picks a name.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from shared.errors import SnapshotInvalid

LONGEST_NAME = 1024  # https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata
_UNFIT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
# https://learn.microsoft.com/rest/api/storageservices/creating-a-snapshot-of-a-blob
_BLOB_SNAPSHOT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]{1,20}Z", re.ASCII)
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True)
class Location:
    """A file of the container, perhaps as one of its blob snapshots."""

    name: str
    snapshot: str | None = None


def parse_location(text: str, container_url: str, folder: str, metadata: str) -> Location:
    """Return the file that *text* points to.

    Args:
        text: A URI, or a path relative to *folder*.
        container_url: Of the configured container; ``blob`` and ``dfs`` hosts are the same.
        folder: Of the metadata file, ending in ``/`` unless it is the root.
        metadata: Its name, for errors.

    Raises:
        SnapshotInvalid: It points outside of the container, or is no plain path.
    """
    if "://" not in text:
        name = folder + unquote(text.removeprefix("/"))
        snapshot = None
    else:
        try:
            parts, ours = urlsplit(text), urlsplit(container_url)
            same = _host(parts.netloc, parts.scheme) == _host(ours.netloc, ours.scheme)
        except ValueError:
            raise _refused("is not an address", metadata) from None
        path = unquote(parts.path)
        root = unquote(ours.path).rstrip("/") + "/"
        if not same or not path.startswith(root):
            raise _refused("points outside of the configured container", metadata)
        name = path[len(root) :]
        snapshot = _blob_snapshot(parts.query, metadata)
    if (
        not name
        or len(name) > LONGEST_NAME
        or _UNFIT.search(name)
        or "\\" in name
        or posixpath.normpath(name) != name
        or name.startswith(("../", "/"))
    ):
        raise _refused("is not a plain path", metadata)
    return Location(name, snapshot)


def _blob_snapshot(query: str, metadata: str) -> str | None:
    """Return the time of a blob snapshot; it becomes a part of an address, so nothing else."""
    try:
        values = parse_qs(query, keep_blank_values=True).get("snapshot", [])
    except ValueError:
        raise _refused("is not an address", metadata) from None
    if not values:
        return None
    if len(values) > 1 or not _BLOB_SNAPSHOT.fullmatch(values[0]):
        raise _refused("names a blob snapshot that is not a time", metadata)
    return values[0]


def _host(netloc: str, scheme: str) -> str:
    if "@" in netloc:
        raise ValueError("credentials in an address")
    host, _, port = netloc.lower().partition(":")
    if port and int(port) == _PORTS.get(scheme.lower()):
        port = ""
    return f"{host.replace('.dfs.', '.blob.')}:{port}"


def _refused(why: str, metadata: str) -> SnapshotInvalid:
    # The location itself may carry a signature, so it is not repeated.
    return SnapshotInvalid(
        f"The location of a partition {why} and is not read",
        file=metadata,
        action="Have the metadata corrected: only the configured account and container are read.",
    )
