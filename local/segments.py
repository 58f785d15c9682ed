"""Invented segments, written the way Customer Insights writes them to Blob Storage.

A model.json above one dated folder of CSV partitions, a row per unified profile, with the
faults that real address columns have. Every value is a function of seed, column and row
number, so the same numbers give the same people, and a later revision of a segment is the
same segment some refreshes on. All domains are reserved ones: nothing here reaches anybody.
"""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from azure.storage.blob import ContainerClient
from pyarrow import csv

INSTANCE = "CustomerInsights_6b0c6c1e-2f0a-4d0f-9d3a-0f8f5a9a7c11"
FOLDER = "BlobExport"
FIRST_REFRESH = datetime(2026, 3, 2, 5, 33, tzinfo=UTC)  # a refresh a day from then on

COLUMNS = {
    "CustomerId": "guid",
    "EMailAddress1": "string",
    "FirstName": "string",
    "LastName": "string",
    "Telephone": "string",
    "City": "string",
    "Country": "string",
    "BirthDate": "dateTime",
    "NewsletterConsent": "boolean",
    "LoyaltyTier": "string",
    "LifetimeValue": "decimal",
    "ModifiedOn": "dateTime",
}

# Shares of the rows.
BLANK, INVALID, DUPLICATE = 0.01, 0.01, 0.05
REMOVED, ADDED, CHANGED = 0.01, 0.01, 0.02  # with every refresh

# Text, data, faults: kinds of a row's address.
_FINE, _BLANK, _INVALID, _DUPLICATE = range(4)

_FIRST_NAMES = (
    *("Anna", "Liam", "Zoë", "José", "Łukasz", "Aoife", "Mary-Jane", "O'Neil", "雅子", "محمد"),
    *("Дмитрий", "Ελένη", "Nguyễn", "Sophia", "Lucas", "Grace", "Robert", "Patricia", "Björn"),
)
_LAST_NAMES = (
    *("Smith", "Garcia", "Müller", "Dvořák", "O'Brien", "D'Angelo", "Smith-Jones", "田中", "李"),
    *("Иванов", "Παπαδόπουλος", "Øverland", "Çelik", "Walker", "Young", "Núñez", "de la Cruz"),
)
_MAIL_WORDS = (
    "anna",
    "liam",
    "zoe",
    "jose",
    "lukas",
    "aoife",
    "o'neil",
    "sophia",
    "grace",
    "bjorn",
)
_MAIL_DOMAINS = (
    "example.com",
    "example.org",
    "example.net",
    "mail.example.com",
    "web-1.example.org",
)
_CITIES = ("Boston", "Montréal", "München", "São Paulo", "東京", "Winston-Salem", "Coeur d'Alene")
_COUNTRIES = ("United States", "Canada", "Deutschland", "Brasil", "日本", "")
_TIERS = ("Bronze", "Silver", "Gold", "Platinum", "")

Numbers = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Expected:
    """What becomes of the rows of a segment, exactly; `valid` are valid, distinct addresses."""

    read: int
    missing_email: int
    invalid: int
    duplicate: int

    @property
    def valid(self) -> int:
        return self.read - self.missing_email - self.invalid - self.duplicate


@dataclass(frozen=True)
class Segment:
    """A snapshot of *rows* profiles (about as many after some refreshes) in *partitions* files."""

    name: str = "Spring_Renewals"
    rows: int = 100_000
    partitions: int = 10
    seed: int = 1
    revision: int = 0

    @property
    def refreshed(self) -> datetime:
        """When Customer Insights wrote it, as its folder says."""
        return FIRST_REFRESH + timedelta(days=self.revision)

    @property
    def path(self) -> str:
        """The dated folder's path in the container."""
        return f"{INSTANCE}/{FOLDER}/{self.name}/{self.refreshed:%Y/%m/%d/%H%M}"

    @property
    def expected(self) -> Expected:
        """The exact counts, in the words of the run document."""
        kinds = np.bincount(self._kinds, minlength=4)
        return Expected(
            len(self._people), int(kinds[_BLANK]), int(kinds[_INVALID]), int(kinds[_DUPLICATE])
        )

    def addresses(self) -> set[str]:
        """Return the valid, distinct addresses in lower case."""
        return set(self._address(self._people[self._kinds == _FINE]).to_pylist())

    def upload(self, container: ContainerClient) -> None:
        """Write the partitions, and model.json when they are complete."""
        for name, content in self.files(container.url):
            container.upload_blob(name, content, overwrite=True)

    def files(self, container_url: str) -> Iterator[tuple[str, bytes]]:
        """Yield name and content of each blob, model.json last."""
        names = [f"{self.path}/{self.name}_{number + 1}.csv" for number in range(self.partitions)]
        parts = np.array_split(np.arange(len(self._people)), self.partitions)
        for name, part in zip(names, parts, strict=True):
            content = io.BytesIO()
            csv.write_csv(self._table(part), content)
            yield name, content.getvalue()
        model = self._model([f"{container_url}/{name}" for name in names])
        yield f"{INSTANCE}/{FOLDER}/model.json", json.dumps(model, indent=2).encode()

    # Who is in it

    @cached_property
    def _people(self) -> Numbers:
        """The numbers of the profiles that are in the segment at this revision."""
        added = max(1, round(self.rows * ADDED))
        people = np.arange(self.rows + added * self.revision, dtype=np.uint64)
        return people[self._present(people)]

    def _present(self, people: Numbers) -> npt.NDArray[np.bool_]:
        present = np.ones(len(people), np.bool_)
        for refresh in range(1, self.revision + 1):
            present &= ~self._share(f"removed {refresh}", people, REMOVED)
        return present

    @cached_property
    def _kinds(self) -> npt.NDArray[np.uint8]:
        drawn = self._drawn_kind(self._people)
        # A duplicate without somebody to be a duplicate of is a profile as any other.
        original = self._original(self._people)
        alone = (self._drawn_kind(original) != _FINE) | ~self._present(original)
        drawn[(drawn == _DUPLICATE) & (alone | (self._people == 0))] = _FINE
        return drawn

    def _drawn_kind(self, people: Numbers) -> npt.NDArray[np.uint8]:
        edges = np.cumsum([BLANK, INVALID, DUPLICATE])
        kinds = np.array([_BLANK, _INVALID, _DUPLICATE, _FINE], np.uint8)
        return kinds[np.searchsorted(edges, self._draw("kind", people), side="right")]

    def _original(self, people: Numbers) -> Numbers:
        """Return, for each, somebody before them whose address they have as a duplicate."""
        return (self._draw("original", people) * people).astype(np.uint64)

    # What is said of them

    def _table(self, part: npt.NDArray[np.int64]) -> pa.Table:
        people = self._people[part]
        columns = [
            self._guid(people),
            self._spelt(people, self._kinds[part]),
            self._first_name(people),
            self._last_name(people),
            _joined("+1", self._digits("telephone", people, 10)),
            self._pick("city", people, _CITIES),
            self._pick("country", people, _COUNTRIES),
            self._day("birth", people, datetime(1940, 1, 1, tzinfo=UTC), 25_000),
            self._pick("consent", people, ("True", "True", "True", "False", "")),
            self._pick("tier", people, _TIERS),
            _joined(self._digits("euros", people, 4), ".", self._digits("cents", people, 2)),
            self._day("modified", people, self.refreshed - timedelta(days=400), 400),
        ]
        return pa.table(dict(zip(COLUMNS, columns, strict=True)))

    def _guid(self, people: Numbers) -> pa.Array:
        parts = [self._hex(f"id {number}", people) for number in range(4)]
        digits = pc.binary_join_element_wise(*parts, "")
        cuts = ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))
        return pc.binary_join_element_wise(
            *(pc.utf8_slice_codeunits(digits, start, stop) for start, stop in cuts), "-"
        )

    def _address(self, people: Numbers) -> pa.Array:
        """Return everybody's own address; the number keeps it apart from all others."""
        return _joined(
            self._pick("word", people, _MAIL_WORDS),
            self._pick("separator", people, (".", "_", "-", "+", "")),
            pc.cast(pa.array(people), pa.string()),
            "@",
            self._pick("domain", people, _MAIL_DOMAINS),
        )

    def _spelt(self, people: Numbers, kinds: npt.NDArray[np.uint8]) -> pa.Array:
        """Return the column of addresses with what is wrong with some of them."""
        duplicate = kinds == _DUPLICATE
        address = self._address(np.where(duplicate, self._original(people), people))
        style = self._draw("style", people)
        # Most duplicates are spelt another way, and a few of the others too.
        reach = np.where(duplicate, 0.25, 0.01)
        address = pc.if_else(style < reach, pc.ascii_upper(address), address)
        address = pc.if_else(
            (style >= reach) & (style < 2 * reach), pc.ascii_capitalize(address), address
        )
        address = pc.if_else(style > 1 - reach, _joined(" ", address, "  "), address)
        blank = self._pick("blank", people, ("", "   "))
        address = pc.if_else(kinds == _BLANK, blank, address)
        return pc.if_else(kinds == _INVALID, self._invalid(people), address)

    def _invalid(self, people: Numbers) -> pa.Array:
        address = self._address(people)
        kinds = (
            pc.replace_substring(address, "@", ".at."),
            _joined(address, "@example.com"),
            _joined("space in ", address),
            pc.replace_substring_regex(address, "^[^@]*", ""),
            pc.replace_substring_regex(address, "@.*", "@"),
            pc.replace_substring_regex(address, "@.*", "@localhost"),
            pc.replace_substring(address, "@", "@."),
            pc.replace_substring(address, "example.", "example.."),
            _joined(address, ", ", address),
            _joined("Customer <", address, ">"),
            _joined("x" * 80, address),
            pc.if_else(pc.is_valid(address), "n/a", address),
        )
        chosen = (self._draw("invalid", people) * len(kinds)).astype(np.int64)
        return pc.choose(chosen, *kinds)

    def _first_name(self, people: Numbers) -> pa.Array:
        name = self._pick("first name", people, _FIRST_NAMES)
        name = pc.if_else(self._share("spaces", people, 0.02), _joined("  ", name, " "), name)
        name = pc.if_else(self._share("long", people, 0.001), pc.binary_repeat(name, 20), name)
        return pc.if_else(self._share("no first name", people, 0.03), "", name)

    def _last_name(self, people: Numbers) -> pa.Array:
        name = self._pick("last name", people, _LAST_NAMES)
        for refresh in range(1, self.revision + 1):
            changed = self._share(f"changed {refresh}", people, CHANGED)
            name = pc.if_else(changed, _joined(name, f" {refresh}"), name)
        for column, suffix in (
            ("quote", ' "Junior"'),
            ("comma", ", Dr."),
            ("break", "\nand family"),
        ):
            name = pc.if_else(self._share(column, people, 0.002), _joined(name, suffix), name)
        return name

    def _day(self, column: str, people: Numbers, first: datetime, days: int) -> pa.Array:
        offset = (self._draw(column, people) * days).astype("timedelta64[D]")
        moments = np.datetime64(first.date(), "D") + offset
        return _joined(pc.cast(pa.array(moments), pa.string()), "T00:00:00Z")

    def _digits(self, column: str, people: Numbers, count: int) -> pa.Array:
        number = self._draw(column, people) * 9 * 10 ** (count - 1)
        return pc.cast(pa.array(number.astype(np.int64) + 10 ** (count - 1)), pa.string())

    def _hex(self, column: str, people: Numbers) -> pa.Array:
        """Return eight hexadecimal digits for each."""
        count = len(people)
        text = (self._bits(column, people) >> np.uint64(32)).astype(">u4").tobytes().hex()
        offsets = pa.array(np.arange(count + 1, dtype=np.int32) * 8).buffers()[1]
        return pa.Array.from_buffers(
            pa.string(), count, [None, offsets, pa.py_buffer(text.encode())]
        )

    def _pick(self, column: str, people: Numbers, values: tuple[str, ...]) -> pa.Array:
        return pa.array(values).take((self._draw(column, people) * len(values)).astype(np.int64))

    def _share(self, column: str, people: Numbers, share: float) -> npt.NDArray[np.bool_]:
        return self._draw(column, people) < share

    def _draw(self, column: str, people: Numbers) -> npt.NDArray[np.float64]:
        """Return a number from 0 up to 1 for each."""
        return (self._bits(column, people) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def _bits(self, column: str, people: Numbers) -> Numbers:
        """Return 64 random bits for each: splitmix64, https://prng.di.unimi.it/splitmix64.c."""
        key = zlib.crc32(f"{self.seed} {self.name} {column}".encode()) << 32
        with np.errstate(over="ignore"):
            bits = people * np.uint64(0x9E3779B97F4A7C15) + np.uint64(key)
            bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return bits ^ (bits >> np.uint64(31))

    # What model.json says

    def _model(self, locations: list[str]) -> dict[str, Any]:
        refreshed = self.refreshed.isoformat()
        settings = {
            "$type": "CsvFormatSettings",
            "columnHeaders": True,
            "delimiter": ",",
            "quoteStyle": "QuoteStyle.Csv",
            "csvStyle": "CsvStyle.QuoteAlways",
        }
        entity = {
            "$type": "LocalEntity",
            "name": self.name,
            "attributes": [{"name": name, "dataType": kind} for name, kind in COLUMNS.items()],
            "annotations": [{"name": "c360:PrimaryKey", "value": "CustomerId"}],
            "partitions": [
                {
                    "name": location.rpartition("/")[2].removesuffix(".csv"),
                    "refreshTime": refreshed,
                    "location": location,
                    "fileFormatSettings": settings,
                }
                for location in locations
            ],
        }
        return {
            "name": FOLDER,
            "version": "1.0",
            "culture": "en-US",
            "modifiedTime": refreshed,
            "entities": [entity],
        }


def _joined(*parts: Any) -> pa.Array:
    return pc.binary_join_element_wise(*parts, "")
