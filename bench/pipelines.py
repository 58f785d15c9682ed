"""What is compared: the product, a bare scan by pyarrow, and the loop people usually write."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv as arrow_csv

from shared.contacts.batches import MAX_IMPORT_BYTES, MAX_IMPORT_LINES, BatchFile
from shared.contacts.encoding import EMAIL, TEXT_LIMITS
from shared.contacts.preparation import Audience, Counts, Order, prepare
from shared.segments.snapshots import Dialect, Layout, Snapshot
from shared.segments.source import SegmentSource, SourceFile

MAPPING = {
    EMAIL: "EMail",
    "first_name": "FirstName",
    "last_name": "LastName",
    "phone": "Telephone",
    "street": "StreetAddress",
    "city": "City",
    "state": "StateOrProvince",
    "zip": "PostalCode",
    "country": "Country",
    "cf:birth_date": "BirthDate",
}
LIMITS = {**TEXT_LIMITS, "phone": 25, "cf:birth_date": 255}


class Folder:
    """A `SegmentSource` over a folder of this machine, as slow to read as it is told."""

    url = "https://localhost/segments"

    def __init__(self, folder: Path, *, seconds_a_range: float = 0.0) -> None:
        self._folder = folder
        self._pause = seconds_a_range

    def files(self, prefix: str = "") -> Iterator[SourceFile]:
        for path in sorted(self._folder.iterdir()):
            if path.name.startswith(prefix):
                seen = path.stat()
                modified = datetime.fromtimestamp(seen.st_mtime, UTC)
                yield SourceFile(path.name, str(seen.st_mtime_ns), seen.st_size, modified)

    def file_at(self, name: str, snapshot: str) -> SourceFile | None:
        return None

    def read(self, file: SourceFile, start: int, length: int) -> bytes:
        if self._pause:
            time.sleep(self._pause)
        with (self._folder / file.name).open("rb") as opened:
            opened.seek(start)
            return opened.read(length)

    def now(self) -> datetime:
        return datetime.now(UTC)


class Contacts:
    """A sink that counts what it is given and, if asked to, digests every contact."""

    def __init__(self, *, digesting: bool = False) -> None:
        self.files = self.bytes = self.rows = 0
        self._digest = blake2b() if digesting else None

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()[:16] if self._digest else ""

    def batch(self, number: int, segment: int, list_ids: Sequence[str], file: BatchFile) -> None:
        self.files += 1
        self.bytes += len(file.csv)
        self.rows += file.rows
        if self._digest:
            reader = csv.reader(io.StringIO(file.csv.decode(), newline=""), strict=True)
            next(reader)
            for row in reader:
                self.note(row)

    def rejects(self, csv: bytes) -> None:
        self.bytes += len(csv)

    def note(self, row: Sequence[str]) -> None:
        """Add one contact to the digest."""
        if self._digest:
            self._digest.update("\x1f".join(row).encode() + b"\n")


def snapshot_of(source: SegmentSource) -> Snapshot:
    """Pin every file of *source*."""
    files = tuple(sorted(source.files(), key=lambda file: (len(file.name), file.name)))
    return Snapshot(
        segment="Segment",
        path="",
        layout=Layout.FILES,
        files=files,
        dialects=tuple(Dialect(header=True, delimiter=",") for _ in files),
        complete_since=max(file.modified for file in files),
    )


def product(source: SegmentSource, sink: Contacts) -> Counts:
    """Prepare an export of the whole segment."""
    audience = Audience(snapshot_of(source), ("7a1d5f04-2c0e-11f0-9d3a-0242ac120002",))
    return prepare(source, Order((audience,), MAPPING), sink, seed=1)


def scan(folder: Path) -> int:
    """Read the mapped columns with pyarrow as text and do nothing with them; return the rows."""
    columns = list(MAPPING.values())
    rows = 0
    for path in sorted(folder.iterdir()):
        if path.suffix == ".parquet":
            batches = pq.ParquetFile(path).iter_batches(columns=columns, use_threads=False)
            rows += sum(batch.num_rows for batch in batches)
            continue
        with pa.input_stream(str(path), compression="detect") as content:
            reader = arrow_csv.open_csv(
                content,
                read_options=arrow_csv.ReadOptions(use_threads=False),
                parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
                convert_options=arrow_csv.ConvertOptions(
                    include_columns=columns,
                    column_types=dict.fromkeys(columns, pa.string()),
                    strings_can_be_null=False,
                ),
            )
            rows += sum(batch.num_rows for batch in reader)
    return rows


_PLAIN = re.compile(
    r"[a-z0-9_+&'-]+(\.[a-z0-9_+&'-]+)*@([a-z0-9]+(-+[a-z0-9]+)*\.)+[a-z]{2,}", re.IGNORECASE
)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]+")


def loop(folder: Path, sink: Contacts) -> int:
    """Do the same work with the ``csv`` and ``json`` modules, row by row; return the requests."""
    seen: set[str] = set()
    batch: list[str] = []
    size = requests = 0
    for path in sorted(folder.iterdir(), key=lambda path: (len(path.name), path.name)):
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8-sig", newline="") as content:
            for row in csv.DictReader(content, strict=True):
                contact = _cleaned(row)
                if contact is None or contact[EMAIL].lower() in seen:
                    continue
                seen.add(contact[EMAIL].lower())
                sink.note(list(contact.values()))
                line = json.dumps({name: value for name, value in contact.items() if value})
                if len(batch) == MAX_IMPORT_LINES - 1 or size + len(line) > MAX_IMPORT_BYTES:
                    requests += bool(",".join(batch).encode())
                    batch, size = [], 0
                batch.append(line)
                size += len(line) + 1
    return requests + bool(",".join(batch).encode())


def _cleaned(row: dict[str, str]) -> dict[str, str] | None:
    email = row[MAPPING[EMAIL]].strip()
    if len(email) > 80 or not _PLAIN.fullmatch(email):
        return None
    contact = {EMAIL: email}
    for name, column in MAPPING.items():
        if name != EMAIL:
            value = _CONTROLS.sub(" ", row[column]).strip()
            contact[name] = "" if value in ("NULL", "null") else value[: LIMITS[name]]
    return contact
