"""Files made to do harm: a clear error that names the file, in bounded memory.

Each is read in a process of its own, so that its peak memory can be told.
"""

from __future__ import annotations

import gzip
import io
import multiprocessing
import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.contacts.batches import BatchFile
from shared.contacts.preparation import Audience, Order, prepare
from shared.errors import SnapshotInvalid
from shared.segments.source import SourceFile
from tests.unit.containers import Container, snapshot_of


class Nowhere:
    """A sink that keeps nothing."""

    def batch(self, number: int, segment: int, list_ids: Sequence[str], file: BatchFile) -> None:
        """Forget it."""

    def rejects(self, csv: bytes) -> None:
        """Forget it."""


GB = 2**30
MB = 2**20


class Repeating(Container):
    """One file of any size: a beginning, then the same bytes over and over."""

    def __init__(self, beginning: bytes, repeated: bytes, size: int) -> None:
        super().__init__()
        self.beginning = beginning
        self.repeated = repeated * (4 * MB // len(repeated) + 2)
        self.period = len(repeated)
        self.listed["segment"] = SourceFile("segment", "etag", size, self.clock)

    def files(self, prefix: str = "") -> Iterator[SourceFile]:
        return iter(self.listed.values())

    def read(self, file: SourceFile, start: int, length: int) -> bytes:
        head = self.beginning[start : start + length]
        phase = (start + len(head) - len(self.beginning)) % self.period
        return head + self.repeated[phase : phase + length - len(head)]


def endless_line() -> Container:
    return Repeating(b"EMail,FirstName\na@example.com,", b"a", GB)


def endless_quote() -> Container:
    return Repeating(b'EMail,FirstName\na@example.com,"', b"a,b\n", GB)


def endless_header() -> Container:
    return Repeating(b"EMail,", b"FirstName", GB)


def endless_nul() -> Container:
    return Repeating(b"EMail,FirstName\n", b"\0", GB)


def endless_commas() -> Container:
    return Repeating(b"EMail,FirstName\n", b",", GB)


def wrong_rows() -> Container:
    return Repeating(b"EMail,FirstName\n", b"a@example.com\n", GB)


def million_columns() -> Container:
    return Container(
        {"segment": "EMail,FirstName," + ",".join(f"c{n}" for n in range(10**6)) + "\n"}
    )


def many_columns() -> Container:
    return Container({"segment": "EMail,FirstName" + "," * 20_000 + "\n"})


def gzip_bomb() -> Container:
    return Container({"segment": gzip.compress(bytes(64 * MB), 9) * 16})


def gzip_bomb_of_rows() -> Container:
    rows = b"EMail,FirstName\n" + b"a@example.com,A\n" * (4 * MB)
    return Container({"segment": gzip.compress(rows, 6) * 2})


def parquet_bomb_of_rows() -> Container:
    sink = io.BytesIO()
    same = pa.array(["a@example.com"]).dictionary_encode()
    group = pa.DictionaryArray.from_arrays(
        pa.repeat(pa.scalar(0, pa.int32()), 8 * MB),
        same.dictionary,
    )
    with pq.ParquetWriter(sink, pa.schema({"EMail": group.type, "FirstName": group.type})) as file:
        for _ in range(8):
            file.write_table(pa.table({"EMail": group, "FirstName": group}), row_group_size=8 * MB)
    return Container({"segment": sink.getvalue()})


def parquet_of_large_row_groups() -> Container:
    """No attack: one group of a million rows, to be read in stretches."""
    sink = io.BytesIO()
    emails = pa.array([f"person{n}@example.com" for n in range(10**6)])
    pq.write_table(pa.table({"EMail": emails, "FirstName": emails}), sink, row_group_size=10**6)
    return Container({"segment": sink.getvalue()})


def parquet_footer(length: int) -> Container:
    return Container({"segment": b"PAR1" + bytes(100) + length.to_bytes(4, "little") + b"PAR1"})


def parquet_huge_footer() -> Container:
    return parquet_footer(2**32 - 1)


def parquet_many_columns() -> Container:
    sink = io.BytesIO()
    one = pa.array(["a@example.com"])
    names = ["EMail", "FirstName", *(f"c{n}" for n in range(10_000))]
    pq.write_table(pa.table([one] * len(names), names), sink)
    return Container({"segment": sink.getvalue()})


ATTACKS: dict[Callable[[], Container], str] = {
    endless_line: "A record is longer than",
    endless_quote: "A record is longer than",
    endless_header: "The first record is longer than",
    endless_nul: "A record is longer than",
    endless_commas: "A record is longer than",
    wrong_rows: "more or fewer fields",
    million_columns: "The first record is longer than",
    many_columns: "The first record has 20002 columns",
    gzip_bomb: "The first record is longer than",
    gzip_bomb_of_rows: "expands to more than 200 times its size",
    parquet_bomb_of_rows: "says it has 67108864 rows",
    parquet_huge_footer: "footer of 4294967295 bytes is not read",
    parquet_many_columns: "more than 10000 columns",
    parquet_of_large_row_groups: "",
}


def read(make: Callable[[], Container]) -> tuple[str, str, int]:
    """Return the error, the file it names, and the bytes by which memory grew at its peak."""
    container = make()
    forget_peak()
    snapshot = snapshot_of(container)
    order = Order((Audience(snapshot, ("l",)),), {"email": "EMail", "first_name": "FirstName"})
    before = peak()
    return *outcome(container, order), peak() - before


def outcome(container: Container, order: Order) -> tuple[str, str]:
    """Return the error and the file it names; nothing if every row is accounted for."""
    try:
        counts = prepare(container, order, Nowhere())
    except SnapshotInvalid as error:
        return str(error), error.file
    assert counts.adds_up
    return "", ""


def forget_peak() -> None:
    """Let the peak begin anew, where that can be had: making a file took memory too."""
    references = Path("/proc/self/clear_refs")
    if references.exists():
        references.write_text("5")


def peak() -> int:
    """Return the most memory this process has had, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage tells on Linux begins with the parent's peak
        line = next(ln for ln in status.read_text().splitlines() if ln.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@pytest.mark.parametrize("make", ATTACKS, ids=lambda make: make.__name__)
def test_an_attack_is_an_error_in_bounded_memory(make: Callable[[], Container]) -> None:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as process:
        message, file, grown = process.submit(read, make).result(timeout=120)

    assert ATTACKS[make] in message
    assert bool(message) == bool(ATTACKS[make])
    assert file == ("segment" if message else "")
    assert grown < 150 * MB


def _parquet() -> bytes:
    sink = io.BytesIO()
    emails = [f"p{n}@example.com" for n in range(300)]
    pq.write_table(pa.table({"EMail": emails, "FirstName": emails}), sink, row_group_size=100)
    return sink.getvalue()


PARQUET = _parquet()
GZIP = gzip.compress(b"EMail,FirstName\n" + b"a@example.com,Ana\n" * 100)


@settings(deadline=None)
@given(st.sampled_from([PARQUET, GZIP]), st.data())
def test_damage_is_an_error_or_nothing(whole: bytes, data: st.DataObject) -> None:
    """Whichever byte is turned, no other error comes out and nothing is miscounted."""
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    container = Container({"segment": bytes(damaged)})
    order = Order(
        (Audience(snapshot_of(container), ("l",)),), {"email": "EMail", "first_name": "FirstName"}
    )

    message, file = outcome(container, order)

    assert file == ("segment" if message else "")


@given(st.binary(max_size=300))
def test_any_bytes_are_a_table_or_an_error(content: bytes) -> None:
    container = Container({"segment": b"EMail,FirstName\n" + content})
    order = Order(
        (Audience(snapshot_of(container), ("l",)),), {"email": "EMail", "first_name": "FirstName"}
    )

    message, file = outcome(container, order)

    assert file == ("segment" if message else "")
