"""A segment of invented profiles, the same each time, with the faults of real address columns.

One row in a hundred has no address and one in a hundred a bad one; one in twenty repeats an
earlier address in another spelling. Every domain is a reserved one.
"""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shared.contacts import texts

Rows = npt.NDArray[np.uint64]

COLUMNS = (
    *("CustomerId", "EMail", "FirstName", "LastName", "Telephone", "StreetAddress", "City"),
    *("StateOrProvince", "PostalCode", "Country", "BirthDate", "LifetimeValue"),
)
PARTITIONS = 10
_AT_ONCE = 20_000

_FIRST = (
    *("Anna", "Liam", "Olivia", "Noah", "Emma", "James", "Lucas", "Grace"),
    *("René", "Chloé", "José", "Łukasz", "Aoife", "O'Neil", "雅子", "Дмитрий"),
)
_LAST = (
    *("Smith", "Johnson", "Garcia", "Walker", "Young", "Miller", "Lopez", "Clark"),
    *("Müller", "Dvořák", "O'Brien", "Иванов", "田中", 'Weiß "Junior"'),
)
_WORDS = ("anna", "liam", "olivia", "noah", "emma", "james", "rene", "jose", "smith", "garcia")
_DOMAINS = ("example.com", "example.org", "mail.example.net", "web-mail.example.org")
_STREETS = (
    *("Main St", "Oak Avenue", "Maple Lane", "Church Road", "Park Avenue", "Sunset Blvd"),
    *("Rue de l'Église", "Hauptstraße", "Calle Mayor", "Lake View Drive, Apt 7", "Elm\nStreet"),
)
_CITIES = ("Boston", "Montréal", "München", "São Paulo", "東京", "Winston-Salem", "Seattle")
_STATES = ("NY", "CA", "IL", "TX", "AZ", "MA", "ON", "England", "Bayern", "SP")
_COUNTRIES = ("United States", "Canada", "United Kingdom", "Deutschland", "日本")
_BAD = ("n/a", "nobody.example.com", "a@b@example.com", "a b@example.com", "@example.com", "a@b")


def write(folder: Path, rows: int, *, columns: int = 12, kind: str = "csv") -> None:
    """Write *rows* profiles in ten partitions as ``csv``, ``csv.gz`` or ``parquet``."""
    folder.mkdir(parents=True)
    further = _further_cells(columns - len(COLUMNS))
    header = ",".join(names(columns)) + "\n"
    for number in range(PARTITIONS):
        start, stop = rows * number // PARTITIONS, rows * (number + 1) // PARTITIONS
        path = folder / f"Segment_{number + 1}.{kind}"
        blocks = (
            _profiles(np.arange(first, min(first + _AT_ONCE, stop), dtype=np.uint64))
            for first in range(start, stop, _AT_ONCE)
        )
        if kind == "parquet":
            _write_parquet(path, blocks)
        else:
            _write_text(path, header, blocks, further)


def names(columns: int) -> list[str]:
    """Return the names of that many columns."""
    return [*COLUMNS, *(f"Source_Attribute_{n}" for n in range(columns - len(COLUMNS)))]


def _write_parquet(path: Path, blocks: Iterator[Any]) -> None:
    writer = None
    for block in blocks:
        writer = writer or pq.ParquetWriter(path, block.schema)
        writer.write_batch(block)
    if writer:
        writer.close()


def _write_text(path: Path, header: str, blocks: Iterator[Any], further: Any) -> None:
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    with plain.open("wb") as file:
        file.write(header.encode())
        for block in blocks:
            cells = [texts.quoted(pc.fill_null(column, "")) for column in block.columns]
            if further is not None:
                cells.append(further.slice(0, block.num_rows))
            cells[-1] = pc.binary_join_element_wise(cells[-1], "\n", "")
            file.write(texts.data(pc.binary_join_element_wise(*cells, ",")))
    if plain is not path:
        with plain.open("rb") as read, gzip.open(path, "wb", 6) as packed:
            shutil.copyfileobj(read, packed, 2**20)
        plain.unlink()


def _further_cells(count: int) -> Any:
    """Return *count* more columns of a block as one column of joined cells, None for none."""
    if count <= 0:
        return None
    rows = np.arange(_AT_ONCE, dtype=np.uint64)
    kinds: list[Callable[[Rows], Any]] = [
        _guid,
        lambda dice: pa.array((dice % 1_000_000).astype(np.float64) / 100).cast(pa.string()),
        lambda dice: pa.array(dice % 1000).cast(pa.string()),
        _day,
        lambda dice: _one_of(("Bronze", "Silver", "Gold", "Prospect", "Lapsed"), dice),
        lambda dice: _one_of(("True", "False"), dice),
    ]
    cells = [kinds[n % len(kinds)](_dice(f"further {n}", rows)) for n in range(count)]
    return pc.binary_join_element_wise(*cells, ",")


def _profiles(rows: Rows) -> Any:
    """Return the first twelve columns of these rows."""

    def drawn(name: str, values: Any, missing: int) -> Any:
        dice = _dice(name, rows)
        column = _one_of(values, dice)
        return pc.if_else(pa.array(dice >> np.uint64(40) < missing * 2**24 // 100), None, column)

    dice = _dice("numbers", rows)
    number = pa.array(dice % 9_000_000 + 1_000_000).cast(pa.string())
    columns = {
        "CustomerId": _guid(_dice("id", rows)),
        "EMail": _addresses(rows),
        "FirstName": drawn("first", _FIRST, 3),
        "LastName": drawn("last", _LAST, 2),
        "Telephone": pc.binary_join_element_wise("+1617", number, ""),
        "StreetAddress": pc.binary_join_element_wise(
            pc.utf8_slice_codeunits(number, 0, 3), drawn("street", _STREETS, 10), " "
        ),
        "City": drawn("city", _CITIES, 8),
        "StateOrProvince": drawn("state", _STATES, 10),
        "PostalCode": pc.utf8_slice_codeunits(number, 1, 6),
        "Country": drawn("country", _COUNTRIES, 5),
        "BirthDate": _day(dice),
        "LifetimeValue": pa.array((dice % 500_000).astype(np.float64) / 100).cast(pa.string()),
    }
    return pa.RecordBatch.from_pydict(columns)


def _addresses(rows: Rows) -> Any:
    fault = _dice("fault", rows) % 100
    repeats = (fault >= 2) & (fault < 7) & (rows > 0)
    own = np.where(repeats, _dice("earlier", rows) % np.maximum(rows, 1), rows)
    dice = _dice("address", own)
    local = pc.binary_join_element_wise(_one_of(_WORDS, dice), pa.array(own).cast(pa.string()), ".")
    address = pc.binary_join_element_wise(local, _one_of(_DOMAINS, dice >> np.uint64(8)), "@")
    address = pc.if_else(pa.array(repeats), pc.ascii_capitalize(address), address)
    address = pc.if_else(pa.array(fault == 0), _one_of(("", "  "), dice), address)
    return pc.if_else(pa.array(fault == 1), _one_of(_BAD, dice), address)


def _dice(name: str, rows: Rows) -> Rows:
    """Return 64 bits for each row, the same for the same name (splitmix64)."""
    key = np.uint64(int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little"))
    bits = rows * np.uint64(0x9E3779B97F4A7C15) + key
    bits = (bits ^ bits >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ bits >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    drawn: Rows = bits ^ bits >> np.uint64(31)
    return drawn


def _one_of(values: Sequence[str], dice: Rows) -> Any:
    return pa.array(values).take(pa.array(dice % np.uint64(len(values))))


def _day(dice: Rows) -> Any:
    days = (dice % 20_000).astype(np.int32)
    return pa.array(days).cast(pa.date32()).cast(pa.string())


def _guid(dice: Rows) -> Any:
    digits = pa.array([f"{value:016x}" for value in dice.tolist()])
    return pc.binary_join_element_wise(digits, digits, "-")
