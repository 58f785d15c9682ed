"""What a ``model.json`` says: https://learn.microsoft.com/common-data-model/model-json

Every optional member may be missing. Members that nothing here needs are ignored.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from shared.errors import SnapshotInvalid
from shared.segments.snapshots import Column, Dialect

MODEL_NAME = "model.json"
LARGEST_BYTES = 32 * 2**20

_CSV_TRAIT = "is.partition.format.csv"
_DATE_ANNOTATIONS = frozenset({"ci:CustomTimestampFormat", "ci:CustomDateFormat"})
_UTF8 = frozenset({"utf-8", "utf8", "65001"})
_UTF16 = frozenset({"utf-16", "utf16", "utf-16le", "utf-16be", "unicode", "1200", "1201"})


@dataclass(frozen=True)
class Partition:
    """One file of a table."""

    location: str
    dialect: Dialect


@dataclass(frozen=True)
class Pattern:
    """Files of a table by a pattern below *root*: a glob or an RE2 expression."""

    root: str
    expression: str
    is_glob: bool
    dialect: Dialect


@dataclass(frozen=True)
class Entity:
    """A table; *partitions* is None where the metadata does not list any, not even none."""

    name: str
    columns: tuple[Column, ...]
    partitions: tuple[Partition, ...] | None
    patterns: tuple[Pattern, ...] = ()
    date_patterns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Model:
    """A metadata file: its tables, and when it says it was changed."""

    file: str
    entities: tuple[Entity, ...]
    modified: datetime | None = None


def parse_model(content: bytes, file: str) -> Model:
    """Return what ``model.json`` says.

    Raises:
        SnapshotInvalid: It is not JSON, or says something that cannot be read.
    """
    document = parse_json(content, file)
    entities = items(document.get("entities", document.get("tables")))
    declared = _date_patterns(document)
    return Model(
        file,
        tuple(
            _entity(entity, declared, file)
            for entity in entities
            if entity.get("$type") != "ReferenceEntity" and isinstance(entity.get("name"), str)
        ),
        parse_time(document.get("modifiedTime")),
    )


def parse_json(content: bytes, file: str) -> dict[str, Any]:
    """Return a JSON object, or raise `SnapshotInvalid`."""
    try:
        document = json.loads(content.decode("utf-8-sig"))
    except (UnicodeDecodeError, ValueError, RecursionError):
        raise SnapshotInvalid("The metadata is not JSON", file=file) from None
    if not isinstance(document, dict):
        raise SnapshotInvalid("The metadata is not a JSON object", file=file)
    return document


def items(value: object) -> list[dict[str, Any]]:
    """Return the objects of a JSON array; what is no object is passed over."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def parse_columns(attributes: Iterable[Mapping[str, Any]]) -> tuple[Column, ...]:
    """Return the attributes that have a name."""
    return tuple(
        Column(name=attribute["name"], type=str(attribute.get("dataType", "string")).lower())
        for attribute in attributes
        if isinstance(attribute.get("name"), str)
    )


def parse_dialect(settings: Iterable[Mapping[str, Any]], file: str) -> Dialect:
    """Return the dialect that *settings* declare, the later ones winning."""
    merged: dict[str, Any] = {}
    for setting in settings:
        merged |= {str(name): value for name, value in setting.items() if value is not None}
    encoding = str(merged.get("encoding", "utf-8")).strip().lower()
    if encoding not in _UTF8 | _UTF16:
        raise SnapshotInvalid(
            "The metadata says that files are neither UTF-8 nor UTF-16",
            file=file,
            action="Have the segment written as UTF-8.",
        )
    delimiter = merged.get("delimiter")
    try:
        return Dialect(
            header=_boolean(merged.get("columnHeaders")),
            delimiter="\t" if delimiter == r"\t" else delimiter or None,
            line_breaks=not str(merged.get("quoteStyle", "")).lower().endswith("none"),
        )
    except ValidationError:
        raise SnapshotInvalid(
            "The metadata names a delimiter that is not one ASCII character", file=file
        ) from None


def parse_traits(traits: object) -> dict[str, Any]:
    """Return the arguments of the CSV trait, which win over ``fileFormatSettings``."""
    arguments: dict[str, Any] = {}
    for trait in items(traits):
        if str(trait.get("traitReference", "")).lower() == _CSV_TRAIT:
            for argument in items(trait.get("arguments")):
                arguments[str(argument.get("name"))] = argument.get("value")
    return arguments


def parse_time(value: object) -> datetime | None:
    """Return an ISO 8601 time, None if it is none; without an offset it is UTC."""
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return time.replace(tzinfo=UTC) if time is not None and time.tzinfo is None else time


def _entity(entity: Mapping[str, Any], declared: tuple[str, ...], file: str) -> Entity:
    listed = entity.get("partitions")
    partitions = tuple(
        Partition(
            partition["location"],
            parse_dialect(
                (
                    partition.get("fileFormatSettings") or {},
                    parse_traits(partition.get("cdm:traits")),
                ),
                file,
            ),
        )
        for partition in items(listed)
        if isinstance(partition.get("location"), str)
    )
    return Entity(
        name=entity["name"].strip(),
        columns=parse_columns(items(entity.get("attributes"))),
        partitions=partitions if isinstance(listed, list) else None,
        date_patterns=(*_date_patterns(entity), *declared),
    )


def _date_patterns(annotated: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(
        annotation["value"]
        for annotation in items(annotated.get("annotations"))
        if annotation.get("name") in _DATE_ANNOTATIONS and isinstance(annotation.get("value"), str)
    )


def _boolean(value: object) -> bool | None:
    """Return a JSON boolean, or one written as text, as Microsoft's own files have it."""
    if isinstance(value, bool):
        return value
    words = {"true": True, "false": False}
    return words.get(value.strip().lower()) if isinstance(value, str) else None
