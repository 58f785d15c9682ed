"""Files made to do harm: a clear error that names the file, in bounded memory.

Each is read in a process of its own, so that its peak memory can be told.
"""

from __future__ import annotations

import gzip
import io
import multiprocessing
import random
import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.contacts.batches import BatchFile
from shared.contacts.preparation import Audience, Order, prepare
from shared.errors import SnapshotInvalid
from shared.segments.pages import Chunk, Unpacking
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


def gzip_of_empty_members() -> Container:
    """No attack on memory: two hundred thousand members, each to be begun anew."""
    rows = gzip.compress(b"EMail,FirstName\na@example.com,A\n")
    return Container({"segment": rows + gzip.compress(b"") * 200_000})


def gzip_of_tiny_members() -> Container:
    return Container(
        {"segment": b"".join(map(gzip.compress, [b"EMail,FirstName\n", *[b"\n"] * 99_999]))}
    )


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


def parquet_of(names: Any, **options: Any) -> bytes:
    sink = io.BytesIO()
    emails = [f"p{n}@example.com" for n in range(len(names))]
    table = pa.table({"EMail": emails, "FirstName": names})
    pq.write_table(table, sink, compression="zstd", write_statistics=False, **options)
    return sink.getvalue()


def parquet_of_one_long_value_for_many_rows(length: int) -> Container:
    """In the file it stands once; every row would get a copy of its own."""
    rows = pa.repeat(pa.scalar(0, pa.int32()), 20_000)
    names = pa.DictionaryArray.from_arrays(rows, pa.array(["x" * length]))
    return Container({"segment": parquet_of(names)})


def parquet_of_a_value_too_long_for_many_rows() -> Container:
    return parquet_of_one_long_value_for_many_rows(2 * MB)


def parquet_of_a_value_just_not_too_long() -> Container:
    """No attack, but 2.4 GB of text in a file of a few kilobytes."""
    return parquet_of_one_long_value_for_many_rows(120_000)


def parquet_of_one_page(megabytes: int) -> bytes:
    return parquet_of(
        pa.array(["x" * MB] * megabytes), use_dictionary=False, data_page_size=2**31 - 1
    )


def parquet_of_a_huge_page() -> Container:
    return Container({"segment": parquet_of_one_page(300)})


def parquet_of_a_huge_page_that_its_footer_denies() -> Container:
    data = parquet_of_one_page(300)
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    told = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(1).total_uncompressed_size
    denied = data[footer:].replace(zigzag(told), zigzag(10**6, len(zigzag(told))))
    return Container({"segment": data[:footer] + denied})


def zigzag(number: int, width: int = 0) -> bytes:
    """Return a number as Thrift writes it, in *width* bytes at least."""
    number <<= 1
    out: list[int] = []
    while number > 127 or len(out) < width - 1:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def parquet_of_wide_rows() -> Container:
    """No attack: small row groups of values that are wide all the same."""
    sink = io.BytesIO()
    rows = 100
    names = pa.array([random.Random(n).randbytes(60_000).hex() for n in range(rows)])
    emails = [f"p{n}@example.com" for n in range(rows)]
    table = pa.table({"EMail": emails, "FirstName": names})
    with pq.ParquetWriter(sink, table.schema, use_dictionary=False) as file:
        for _ in range(20):
            file.write_table(table)
    return Container({"segment": sink.getvalue()})


def parquet_of_repeated_beginnings() -> Container:
    names = pa.array(["x" * 60_000] * 20_000)
    encoding = {"FirstName": "DELTA_BYTE_ARRAY"}
    return Container({"segment": parquet_of(names, use_dictionary=False, column_encoding=encoding)})


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
    gzip_of_empty_members: "",
    gzip_of_tiny_members: "",
    parquet_bomb_of_rows: "says it has 67108864 rows",
    parquet_huge_footer: "footer of 4294967295 bytes is not read",
    parquet_many_columns: "more than 10000 columns",
    parquet_of_large_row_groups: "",
    parquet_of_a_value_too_long_for_many_rows: "a value is longer than 1048576 bytes",
    parquet_of_a_value_just_not_too_long: "",
    parquet_of_a_huge_page: "a column has 314574033 bytes",
    parquet_of_a_huge_page_that_its_footer_denies: "a column unpacks to more than 67108864 bytes",
    parquet_of_wide_rows: "",
    parquet_of_repeated_beginnings: "is encoded as DELTA_BYTE_ARRAY",
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


def column_of(data: bytes) -> bytes:
    """Return the pages of the second column of a file."""
    chunk = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(1)
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    return data[start : start + chunk.total_compressed_size]


PLAIN_PAGES = column_of(parquet_of(["A", "B"] * 500, use_dictionary=False, data_page_size=100))
CODED_PAGES = column_of(parquet_of(["A", "B"] * 500))


@given(st.sampled_from([PLAIN_PAGES, CODED_PAGES]), st.lists(st.integers(1, 200), min_size=1))
def test_pages_are_followed_however_their_bytes_come(pages: bytes, sizes: list[int]) -> None:
    """In pieces of any size, and in pieces that are read twice."""
    whole, parts = Chunk(100, 100 + len(pages)), Chunk(100, 100 + len(pages))
    whole.follow(0, bytes(100) + pages, MB)
    start = 0
    for size in (*sizes, len(pages)):
        parts.follow(100 + start, pages[start : start + size], MB)
        parts.follow(100 + start, pages[start : start + size], MB)
        start += size

    assert whole.at == parts.at == 100 + len(pages)
    assert whole.unpacked == parts.unpacked


@pytest.mark.parametrize(
    ("pages", "start"),
    [(PLAIN_PAGES + CODED_PAGES, 0), (PLAIN_PAGES, 1), (b"\x99" * 100, 0), (b"\x15\x00\x00", 0)],
    ids=["a late dictionary", "a page passed over", "no header", "no sizes"],
)
def test_pages_that_cannot_be_followed_are_refused(pages: bytes, start: int) -> None:
    """A glance at the first page would not show what comes with a later dictionary."""
    with pytest.raises(Unpacking):
        Chunk(0, len(pages)).follow(start, pages, MB)


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
