"""What a segment's columns are, with a few masked values, for whoever maps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.masking import masked
from shared.segments.snapshots import Dialect, Snapshot
from shared.segments.source import SegmentSource
from shared.segments.tables import proposed_dialect, read_columns, read_names

SAMPLES = 5

# Names of columns that a field is usually mapped from, as `_plain` spells them, best first.
_USUAL_NAMES: Mapping[str, Sequence[str]] = {
    "email": ("email", "emailaddress", "emailaddress1", "primaryemail", "emailid"),
    "first_name": ("firstname", "givenname"),
    "last_name": ("lastname", "surname", "familyname"),
    "job_title": ("jobtitle",),
    "company_name": ("companyname", "company"),
    "phone": ("phone", "telephone", "telephone1", "phonenumber", "mobilephone"),
    "street": ("street", "streetaddress", "address1line1"),
    "city": ("city", "address1city"),
    "state": ("state", "stateorprovince", "address1stateorprovince"),
    "zip": ("zip", "zipcode", "postalcode", "address1postalcode"),
    "country": ("country", "address1country"),
    "birthday": ("birthday", "birthdate", "dateofbirth"),
    "anniversary": ("anniversary",),
}


@dataclass(frozen=True)
class DescribedColumn:
    """A column with some of its first values, masked."""

    name: str
    type: str
    samples: tuple[str, ...]


@dataclass(frozen=True)
class Description:
    """A segment's columns.

    Attributes:
        dialect: How the first file is read; proposed where nothing says.
        mapping: Proposed: field to column, for columns whose names say what they hold.
    """

    columns: tuple[DescribedColumn, ...]
    dialect: Dialect
    mapping: Mapping[str, str]

    def shown(self) -> dict[str, Any]:
        """Return this as JSON."""
        return {
            "columns": [
                {"name": column.name, "type": column.type, "samples": list(column.samples)}
                for column in self.columns
            ],
            "format": {"header": self.dialect.header, "delimiter": self.dialect.delimiter},
            "mapping": dict(self.mapping),
        }


def describe(source: SegmentSource, snapshot: Snapshot) -> Description:
    """Look into the first file of *snapshot*.

    Raises:
        SegmentError: It cannot be read.
        ServiceUnavailable: The store cannot be reached just now.
    """
    known = {column.name: column.type for column in snapshot.columns}
    if not snapshot.files:
        columns = tuple(DescribedColumn(name, kind, ()) for name, kind in known.items())
        return Description(columns, Dialect(), proposed_mapping(list(known)))
    first = snapshot.model_copy(
        update={"files": snapshot.files[:1], "dialects": snapshot.dialects[:1]}
    )
    dialect = proposed_dialect(source, first, lambda cell: _plain(cell) in _USUAL_NAMES["email"])
    first = first.model_copy(update={"dialects": (dialect,)})
    types = read_names(source, first)
    names = list(types)
    rows = next(read_columns(source, first, names), None) if names else None
    columns = tuple(
        DescribedColumn(
            name,
            known.get(name, types[name]),
            _samples(rows.columns.column(position)) if rows is not None else (),
        )
        for position, name in enumerate(names)
    )
    return Description(columns, dialect, proposed_mapping(names))


def columns(source: SegmentSource, snapshot: Snapshot, wanted: Sequence[str]) -> list[str]:
    """Return the names that a run which reads the *wanted* columns would find.

    Where nothing says whether there is a header, the first record must be one for a run to
    succeed; that is never guessed.

    Raises:
        SegmentError: It cannot be read.
        ServiceUnavailable: The store cannot be reached just now.
    """
    if not snapshot.files:
        return [column.name for column in snapshot.columns]
    dialect = snapshot.dialects[0]
    if dialect.header is None and not snapshot.columns:
        dialect = dialect.model_copy(update={"header": True})
    first = snapshot.model_copy(update={"files": snapshot.files[:1], "dialects": (dialect,)})
    return list(read_names(source, first, wanted))


def proposed_mapping(names: Sequence[str]) -> dict[str, str]:
    """Return which fields the *names* of columns suggest."""
    by_name = {_plain(name): name for name in reversed(names)}
    mapping = {}
    for field, usual in _USUAL_NAMES.items():
        found = next((by_name[name] for name in usual if name in by_name), None)
        if found is not None:
            mapping[field] = found
    return mapping


def _plain(name: str) -> str:
    return "".join(mark for mark in name.casefold() if mark not in " _-")


def _samples(column: Any) -> tuple[str, ...]:
    values = (value.as_py().strip() for value in column.slice(0, 1000))
    different = dict.fromkeys(masked(value) for value in values if value)
    return tuple(different)[:SAMPLES]
