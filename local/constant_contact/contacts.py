"""The contacts of the account, held compactly: a million take some 300 MB.

A contact is a number here, given in order of arrival. Its values are one string, cut by
`SEPARATOR` and named by a layout that contacts of one import share.
"""

from __future__ import annotations

import uuid
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

SEPARATOR = "\x1f"
PERMISSIONS = (
    "implicit",
    "explicit",
    "not_set",
    "pending_confirmation",
    "temp_hold",
    "unsubscribed",
)
UNSUBSCRIBED = PERMISSIONS.index("unsubscribed")

Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]
Layout = tuple[str, ...]

_CONTACT_ID_TAIL = "-2c11-11f0-8a57-0242ac120002"


def contact_id(number: int) -> str:
    """Return the UUID, version 1 in form, that contact *number* is known by outside."""
    return f"{number + 1:08x}{_CONTACT_ID_TAIL}"


def contact_number(identifier: str) -> int | None:
    """Return the number behind *identifier*, or None if it cannot be a contact's."""
    if not identifier.endswith(_CONTACT_ID_TAIL) or len(identifier) != 36:
        return None
    try:
        return int(identifier[:8], 16) - 1
    except ValueError:
        return None


def is_uuid(text: str) -> bool:
    try:
        return len(text) == 36 and str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


@dataclass(frozen=True)
class OptOut:
    at: float  # Unix time
    source: str  # "Contact" or "Account"


@dataclass
class Contacts:
    """Addresses are lower-cased throughout; `spelled` keeps those that came otherwise."""

    numbers: dict[str, int] = field(default_factory=dict)
    addresses: list[str] = field(default_factory=list)
    spelled: dict[int, str] = field(default_factory=dict)
    created_at: array[float] = field(default_factory=lambda: array("d"))
    updated_at: array[float] = field(default_factory=lambda: array("d"))
    opted_in_at: dict[int, float] = field(default_factory=dict)  # where it is not created_at
    opt_in_sources: dict[int, str] = field(default_factory=dict)  # where it is not Account
    opt_outs: dict[int, OptOut] = field(default_factory=dict)
    deleted_at: dict[int, float] = field(default_factory=dict)
    _permissions: bytearray = field(default_factory=bytearray)
    _records: list[str] = field(default_factory=list)
    _layout_of: array[int] = field(default_factory=lambda: array("I"))
    _layouts: list[Layout] = field(default_factory=list)
    _layout_numbers: dict[Layout, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.addresses)

    def layout(self, names: Sequence[str]) -> int:
        """Return the number that stands for *names*, in this order."""
        key = tuple(names)
        if key not in self._layout_numbers:
            self._layout_numbers[key] = len(self._layouts)
            self._layouts.append(key)
        return self._layout_numbers[key]

    def add(self, address: str, layout: int, record: str, at: float) -> int:
        """Create the contact with *address*, which must be new, and return its number."""
        number = len(self.addresses)
        key = address.lower()
        self.numbers[key] = number
        self.addresses.append(key)
        if key != address:
            self.spelled[number] = address
        self._permissions.append(0)
        self._layout_of.append(layout)
        self._records.append(record)
        self.created_at.append(at)
        self.updated_at.append(at)
        return number

    def update(self, number: int, layout: int, record: str, at: float) -> None:
        """Change the values that *record* has; what is blank in it stays as it was."""
        if layout == self._layout_of[number] and not _has_blank(record):
            self._records[number] = record
        else:
            self.replace(number, self.values(number) | self._named(layout, record), at)
        self.updated_at[number] = at

    def replace(self, number: int, values: Mapping[str, str], at: float) -> None:
        """Make *values* all there is."""
        self._layout_of[number] = self.layout(tuple(values))
        self._records[number] = SEPARATOR.join(values.values())
        self.updated_at[number] = at

    def readdress(self, number: int, address: str) -> None:
        """Have the contact go by *address*, which must be its own or new."""
        del self.numbers[self.addresses[number]]
        key = address.lower()
        self.numbers[key] = number
        self.addresses[number] = key
        self.spelled.pop(number, None)
        if key != address:
            self.spelled[number] = address

    def values(self, number: int) -> dict[str, str]:
        """Return what is stored, named as import headings are; nothing is blank."""
        return self._named(self._layout_of[number], self._records[number])

    def _named(self, layout: int, record: str) -> dict[str, str]:
        names = self._layouts[layout]
        cells = record.split(SEPARATOR) if names else []
        return {name: cell for name, cell in zip(names, cells, strict=True) if cell}

    def permission(self, number: int) -> str:
        return PERMISSIONS[self._permissions[number]]

    def set_permission(self, number: int, permission: str) -> None:
        self._permissions[number] = PERMISSIONS.index(permission)

    def is_unsubscribed(self, number: int) -> bool:
        return self._permissions[number] == UNSUBSCRIBED

    def opt_out(self, number: int, at: float, source: str) -> None:
        self._permissions[number] = UNSUBSCRIBED
        self.opt_outs[number] = OptOut(at, source)

    def opt_in(self, number: int, permission: str, at: float, source: str) -> None:
        self.set_permission(number, permission)
        self.opt_outs.pop(number, None)
        self.opted_in_at[number] = at
        self.opt_in_sources[number] = source

    # As arrays, one element for each contact

    def opted_out_at(self) -> NDArray[np.float64]:
        """Return Unix times, NaN for those who did not opt out."""
        times = np.full(len(self), np.nan)
        for number, opt_out in self.opt_outs.items():
            times[number] = opt_out.at
        return times

    def with_permission(self, *permissions: str) -> Flags:
        codes = np.frombuffer(bytes(self._permissions), np.uint8)
        wanted = [PERMISSIONS.index(permission) for permission in permissions]
        return np.isin(codes, wanted)

    def kept(self) -> Flags:
        """Flag those not deleted."""
        flags = np.ones(len(self), np.bool_)
        flags[list(self.deleted_at)] = False
        return flags

    def active(self) -> Flags:
        """Flag those that may get mail: neither deleted nor unsubscribed."""
        return self.kept() & ~self.with_permission("unsubscribed")

    def chosen(self, numbers: Iterator[int] | Sequence[int]) -> Flags:
        flags = np.zeros(len(self), np.bool_)
        flags[list(numbers)] = True
        return flags


def _has_blank(record: str) -> bool:
    return (
        not record
        or record[0] == SEPARATOR
        or record[-1] == SEPARATOR
        or SEPARATOR + SEPARATOR in record
    )


@dataclass
class Members:
    """Which contacts are on a list: a flag for each, grown as contacts come."""

    _flags: Flags = field(default_factory=lambda: np.zeros(0, np.bool_))

    def flags(self, size: int) -> Flags:
        """Return the flags of the first *size* contacts; writing to them changes the list."""
        if len(self._flags) < size:
            grown = np.zeros(max(size, len(self._flags) * 2), np.bool_)
            grown[: len(self._flags)] = self._flags
            self._flags = grown
        return self._flags[:size]
