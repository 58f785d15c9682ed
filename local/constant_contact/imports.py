"""What an import reads, which rows it refuses, and what it does to the account.

https://developer.constantcontact.com/api_guide/import_contacts.html. Anything past the
limits is dropped without a word, as documented.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np

from .account import Account, ContactList, CustomField
from .answers import invalid
from .contacts import SEPARATOR
from .options import Options

EMAIL = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+"
)
EMAIL_LENGTH = 80
CUSTOM_LENGTH = 255
_ADDRESS = {"street": 255, "street2": 255, "city": 50, "state": 50, "zip": 50, "country": 50}
CSV_COLUMNS = {
    "first_name": 50,
    "last_name": 50,
    "job_title": 50,
    "company_name": 50,
    "phone": 25,
    "birthday_month": 2,
    "birthday_day": 2,
    "anniversary": 10,
    "sms_number": 16,
    "sms_consent_date": 16,
    **_ADDRESS,
}
JSON_COLUMNS = CSV_COLUMNS | {
    **dict.fromkeys(("phone", "home_phone", "work_phone", "mobile_phone", "other_phone"), 50),
    **{f"{kind}_{name}": n for kind in ("home", "work", "other") for name, n in _ADDRESS.items()},
}
CHUNK = 2_000  # rows between two moments at which other requests get their turn

Row = Sequence[str]


@dataclass
class Tally:
    """What became of the rows; the names are those of an import's ``status``."""

    items_total_count: int = 0  # with the header row
    person_count: int = 0
    error_count: int = 0
    correctable_count: int = 0
    cannot_add_to_list_count: int = 0


@dataclass
class Outcome:
    """What an import has done so far."""

    tally: Tally = field(default_factory=Tally)
    errors: list[str] = field(default_factory=list)


class ListGone(Exception):
    """A list was deleted before the import could put anybody on it."""


# Reading


def cut(data: bytes, *, max_lines: int, max_bytes: int, keep_cut_row: bool) -> bytes:
    """Return what of *data* is imported: a line feed ends a line, inside quotes as well."""
    kept = data[:max_bytes]
    if kept.count(b"\n") >= max_lines:
        position = -1
        for _ in range(max_lines):
            position = kept.index(b"\n", position + 1)
        kept = kept[: position + 1]
    return kept if len(kept) == len(data) or keep_cut_row else _whole_rows(kept)


def _whole_rows(data: bytes) -> bytes:
    """Return *data* up to the last line feed outside quotes."""
    quotes = data.count(b'"')
    end = len(data)
    while (start := data.rfind(b"\n", 0, end)) >= 0:
        quotes -= data.count(b'"', start, end)
        if quotes % 2 == 0:
            return data[: start + 1]
        end = start
    return b""


def count_rows(data: bytes) -> int:
    """Return how many rows come after the header, blank lines apart."""
    if b'"' not in data:
        return sum(1 for line in data.splitlines() if line) - 1
    return sum(1 for row in _reader(data) if row) - 1


def read_csv(data: bytes) -> tuple[list[str], Iterator[Row]]:
    """Return the header and the rows; a blank line is none."""
    reader = _reader(data)
    header = next(reader, [])
    return header, (row for row in reader if row)


def _reader(data: bytes) -> Iterator[list[str]]:
    text = data.decode("utf-8", errors="replace").replace(SEPARATOR, " ")
    # A cell of more than 131,072 characters is an error: nothing after it can be read.
    with contextlib.suppress(csv.Error):
        yield from csv.reader(io.StringIO(text, newline=""))


def check_header(header: Sequence[str], sms_permission: str | None) -> None:
    """Refuse what the contract rules out before anything is queued."""
    if "email" not in header and "sms_number" not in header:
        raise invalid("The file must include either email or sms_number as a column heading.")
    if "sms_number" in header and sms_permission not in ("explicit", "not_set"):
        raise invalid("sms_permission_to_send must be explicit or not_set")
    if sms_permission == "explicit" and "sms_consent_date" not in header:
        raise invalid("sms_consent_date is required with explicit permission")


def read_json(body: bytes, max_bytes: int) -> tuple[list[str], list[Row]]:
    """Turn ``import_data`` into a table; contacts past *max_bytes* of the body are dropped."""
    data = json.loads(body)["import_data"]
    if not isinstance(data, list) or not data:
        raise invalid("import_data is required")
    if not all(isinstance(contact, dict) for contact in data):
        raise invalid("import_data must be an array of objects")
    if any(isinstance(value, (dict, list)) for contact in data for value in contact.values()):
        raise invalid("import_data has properties of an unexpected type")
    if len(body) > max_bytes:
        data = data[: _whole_contacts(body[:max_bytes])]
    header = list(dict.fromkeys(key for contact in data for key in contact))
    return header, [[_cell(contact.get(key)) for key in header] for contact in data]


def _whole_contacts(body: bytes) -> int:
    """Return how many elements of ``import_data`` are complete in the beginning of a body."""
    text = body.decode("utf-8", errors="ignore")
    if '"import_data"' not in text:
        return 0
    position = text.index("[", text.index('"import_data"')) + 1
    found = 0
    decode = json.JSONDecoder().raw_decode
    while True:
        start = re.compile(r"[\s,]*").match(text, position)
        try:
            _, position = decode(text, start.end() if start else position)
        except ValueError:
            return found
        found += 1


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case _:
            return str(value).replace(SEPARATOR, " ")


# Judging

DATE_FORMS = (
    (re.compile(r"(?P<m>\d{1,2})/(?P<d>\d{1,2})/(?P<y>\d{4})")),
    (re.compile(r"(?P<y>\d{4})/(?P<m>\d{1,2})/(?P<d>\d{1,2})")),
    (re.compile(r"(?P<y>\d{4})-(?P<m>\d{1,2})-(?P<d>\d{1,2})")),
    (re.compile(r"(?P<m>\d)-(?P<d>\d{1,2})-(?P<y>\d{4})")),
)


@lru_cache(maxsize=50_000)
def is_date(text: str) -> bool:
    """Say whether *text* is a day in one of the eight documented forms."""
    for form in DATE_FORMS:
        if found := form.fullmatch(text):
            try:
                day = date(int(found["y"]), int(found["m"]), int(found["d"]))
            except ValueError:
                return False
            return day.year > 1900
    return False


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?", text) is not None


def _is_sms_number(text: str) -> bool:
    return re.fullmatch(r"\d{3}-?\d{3}-?\d{4}", text) is not None


def _judge_of(custom: CustomField) -> Callable[[str], bool] | None:
    match custom.type:
        case "date":
            return is_date
        case "datetime":
            return lambda text: is_date(text[:10])
        case "number" | "currency":
            return _is_number
        case "boolean":
            return lambda text: text.lower() in ("true", "false")
        case "single_select":
            return lambda text: text in custom.choices
        case _:
            return None


@dataclass(frozen=True)
class CellFault:
    """What is wrong with a row; what is correctable could be mended in the web UI."""

    reason: str
    correctable: bool = False


class Columns:
    """Where in a row the values are, and what is wrong with them.

    Unknown headings are left out; whether an invalid value costs the cell or the row is not
    documented, and it is the row here.
    """

    def __init__(
        self,
        header: Sequence[str],
        known: Mapping[str, int],
        custom: Mapping[str, CustomField],
        options: Options,
    ) -> None:
        places = {name: place for place, name in enumerate(header)}
        self.width = len(header)
        self.email = places.get("email")
        self._street2 = places.get("street2") if "street" in places else None
        self._street = places.get("street", 0)
        self._month = places.get("birthday_month")
        self._day = places.get("birthday_day")
        self.names: list[str] = []
        self._places: list[int] = []
        self._limits: list[tuple[int, int, str]] = []
        self._judges: list[tuple[int, Callable[[str], bool], str]] = []
        self._custom: dict[str, int] = {}
        for name, place in places.items():
            field_name = name.removeprefix("cf:")
            if name.startswith("cf:") and field_name in custom:
                limit = CUSTOM_LENGTH
                self._custom[name] = place
                if judge := _judge_of(custom[field_name]):
                    self._judges.append((place, judge, name))
            elif name in known:
                limit = known[name]
            else:
                continue
            if name == "anniversary":
                self._judges.append((place, is_date, name))
            if name == "sms_number":
                self._judges.append((place, _is_sms_number, name))
            if place != self._street2:
                self.names.append(name)
                self._places.append(place)
            self._limits.append((place, limit, name))
        self._dated = "birthday_month" in places or "birthday_day" in places
        self.crowded = len(custom) > options.fields_per_contact

    def fault(self, row: Row) -> CellFault | None:
        """Return the first thing wrong with the values in *row*."""
        for place, limit, name in self._limits:
            if len(row[place]) > limit:
                return CellFault(f"{name} is longer than {limit} characters")
        for place, judge, name in self._judges:
            if row[place] and not judge(row[place]):
                return CellFault(f"Invalid {name}", correctable=name == "anniversary")
        if self._dated and not self._is_birthday(row):
            return CellFault("Invalid birthday", correctable=True)
        return None

    def filled_fields(self, row: Row) -> set[str]:
        return {name for name, place in self._custom.items() if row[place]}

    def _is_birthday(self, row: Row) -> bool:
        month = row[self._month] if self._month is not None else ""
        day = row[self._day] if self._day is not None else ""
        if not month and not day:
            return True
        return _is_within(month, 12) and _is_within(day, 31)

    def record(self, row: Row) -> str:
        if self._street2 is not None and row[self._street2]:
            row = list(row)
            row[self._street] = f"{row[self._street]} {row[self._street2]}".strip()
        return SEPARATOR.join([row[place] for place in self._places])


def _is_within(text: str, highest: int) -> bool:
    return text.isascii() and text.isdigit() and 1 <= int(text) <= highest


# Carrying out


@dataclass(frozen=True)
class Import:
    """An accepted import, before anything has come of it."""

    header: Sequence[str]
    rows: Iterable[Row]
    list_ids: tuple[str, ...]
    known: Mapping[str, int]

    def carry_out(
        self, account: Account, outcome: Outcome, stop_after: int | None = None
    ) -> Iterator[None]:
        """Take over the rows, or the first *stop_after*, pausing between chunks.

        Raises:
            ListGone: One of the lists is not there any more.
        """
        columns = Columns(self.header, self.known, account.fields, account.options)
        intake = Intake(account, columns, outcome)
        outcome.tally.items_total_count = 1
        rows = islice(enumerate(self.rows, 2), stop_after)
        while chunk := list(islice(rows, CHUNK)):
            if not all(list_id in account.lists for list_id in self.list_ids):
                raise ListGone
            intake.take(chunk, [account.lists[list_id] for list_id in self.list_ids])
            yield


class Intake:
    """Takes rows into the account and keeps the tally."""

    def __init__(self, account: Account, columns: Columns, outcome: Outcome) -> None:
        self._account = account
        self._columns = columns
        self._layout = account.contacts.layout(columns.names)
        self._tally = outcome.tally
        self._errors = outcome.errors
        self._now = account.now

    def take(self, chunk: Sequence[tuple[int, Row]], lists: Sequence[ContactList]) -> None:
        contacts = self._account.contacts
        self._now = self._account.now
        self._tally.items_total_count += len(chunk)
        self._tally.person_count += len(chunk)
        joining: list[int] = []
        lines: list[int] = []
        for line, row in chunk:
            number = self._store(line, row)
            if number is None:
                continue
            if contacts.is_unsubscribed(number):
                self._tally.cannot_add_to_list_count += 1
            else:
                joining.append(number)
                lines.append(line)
        numbers = np.array(joining, np.int64)
        room = self._account.with_room(numbers, lists)
        self._account.join(numbers[room], lists)
        for place in np.flatnonzero(~room):
            address = contacts.addresses[joining[place]]
            self._refuse(lines[place], "Contact is on too many lists", address)

    def _store(self, line: int, row: Row) -> int | None:
        """Create or change the contact in *row* and return its number; None if refused."""
        columns = self._columns
        contacts = self._account.contacts
        if len(row) < columns.width:
            row = [*row, *[""] * (columns.width - len(row))]
        address = row[columns.email].strip() if columns.email is not None else ""
        if not self._is_acceptable(address):
            reason = "Invalid email address" if address else "Missing email address"
            self._refuse(line, reason, address, correctable=True)
            return None
        number = contacts.numbers.get(address.lower())
        if fault := columns.fault(row):
            self._refuse(line, fault.reason, address, correctable=fault.correctable)
            return None
        if columns.crowded and self._has_too_many_fields(row, number):
            self._refuse(line, "Too many custom fields", address)
            return None
        if number is None:
            return contacts.add(address, self._layout, columns.record(row), self._now)
        if number in contacts.deleted_at:
            if not self._account.options.revive_deleted:
                self._refuse(line, "Contact was deleted", address)
                return None
            del contacts.deleted_at[number]
        contacts.update(number, self._layout, columns.record(row), self._now)
        return number

    def _is_acceptable(self, address: str) -> bool:
        return (
            EMAIL.fullmatch(address) is not None
            and len(address) <= EMAIL_LENGTH
            and address.lower() not in self._account.refused
        )

    def _has_too_many_fields(self, row: Row, number: int | None) -> bool:
        filled = self._columns.filled_fields(row)
        if number is not None:
            stored = self._account.contacts.values(number)
            filled |= {name for name in stored if name.startswith("cf:")}
        return len(filled) > self._account.options.fields_per_contact

    def _refuse(self, line: int, reason: str, address: str, *, correctable: bool = False) -> None:
        if correctable:
            self._tally.correctable_count += 1
        else:
            self._tally.error_count += 1
        options = self._account.options
        place = f"Line {line}: " if options.errors_name_lines else ""
        who = f" ({address})" if options.errors_name_address and address else ""
        self._errors.append(f"{place}{reason}{who}")
