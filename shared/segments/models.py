"""What a ``model.json`` says: https://learn.microsoft.com/common-data-model/model-json

Every optional member may be missing. Members that nothing here needs are ignored.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from shared.errors import SnapshotInvalid
from shared.segments.snapshots import Column, Dialect

MODEL_NAME = "model.json"
LARGEST_BYTES = 32 * 2**20

CSV_TRAIT = "is.partition.format.csv"
CULTURE_TRAIT = "is.partition.culture"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
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
    """A table as metadata describes it.

    Attributes:
        partitions: None where the metadata does not list any, not even none.
        contradicts_itself: Traits say otherwise than the format settings beside them, and win.
        trouble: Why the description cannot be relied on; None if it can.
    """

    name: str
    columns: tuple[Column, ...] = ()
    partitions: tuple[Partition, ...] | None = None
    patterns: tuple[Pattern, ...] = ()
    date_patterns: tuple[str, ...] = ()
    culture: str | None = None
    contradicts_itself: bool = False
    trouble: SnapshotInvalid | None = None


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
    declared, culture = _date_patterns(document), parse_culture(document)
    return Model(
        file,
        parse_entities(
            document,
            "entities" if "entities" in document else "tables",
            "name",
            lambda entity, name: _entity(entity, name, declared, culture, file),
            file,
        ),
        parse_time(document.get("modifiedTime")),
    )


def parse_entities(
    document: Mapping[str, Any],
    member: str,
    name_member: str,
    parse: Callable[[Mapping[str, Any], str], Entity],
    file: str,
) -> tuple[Entity, ...]:
    """Return the tables that have a name; trouble with one is its own alone.

    Raises:
        SnapshotInvalid: There is no array of tables.
    """
    listed = document.get(member, [])
    if not isinstance(listed, list):
        raise SnapshotInvalid(f'"{member}" is not an array', file=file)
    named = [
        (name, entity)
        for entity in items(listed)
        if entity.get("$type") != "ReferenceEntity"
        and (name := text(entity.get(name_member)))
        and not _CONTROL.search(name)
    ]
    times = Counter(name.casefold() for name, _ in named)

    def parsed(name: str, entity: Mapping[str, Any]) -> Entity:
        if times[name.casefold()] > 1:
            twice = SnapshotInvalid("The metadata has two tables of this name", file=file)
            return Entity(name, trouble=twice)
        try:
            return parse(entity, name)
        except SnapshotInvalid as error:
            return Entity(name, trouble=error)

    return tuple(parsed(name, entity) for name, entity in named)


def parse_json(content: bytes, file: str) -> dict[str, Any]:
    """Return a JSON object, or raise `SnapshotInvalid`."""
    try:
        document = json.loads(content.decode("utf-8-sig"))
    except (UnicodeDecodeError, ValueError, RecursionError):
        raise SnapshotInvalid("The metadata is not JSON", file=file) from None
    if not isinstance(document, dict):
        raise SnapshotInvalid("The metadata is not a JSON object", file=file)
    return document


def text(value: object) -> str | None:
    """Return a JSON text without outer blanks; None if it is none, or none in Unicode."""
    return value.strip() if isinstance(value, str) and not _SURROGATE.search(value) else None


def items(value: object) -> list[dict[str, Any]]:
    """Return the objects of a JSON array; what is no object is passed over."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def objects(described: Mapping[str, Any], member: str, file: str) -> list[dict[str, Any]] | None:
    """Return an array of objects, None if the member is missing.

    Raises:
        SnapshotInvalid: It is something else: passing over it could leave out files or columns.
    """
    value = described.get(member)
    if value is None:
        return None
    found = items(value)
    if not isinstance(value, list) or len(found) < len(value):
        raise SnapshotInvalid(f'"{member}" is not an array of objects', file=file)
    return found


def parse_columns(attributes: Sequence[Mapping[str, Any]], file: str) -> tuple[Column, ...]:
    """Return the attributes as columns.

    Raises:
        SnapshotInvalid: One has no name, so there is no telling which column is which.
    """
    columns = []
    for attribute in attributes:
        name, kind = text(attribute.get("name")), text(attribute.get("dataType"))
        if not name:
            raise SnapshotInvalid("The metadata has a column without a name", file=file)
        columns.append(Column(name=name, type=(kind or "string").lower()))
    return tuple(columns)


def parse_dialect(settings: Sequence[Mapping[str, Any]], file: str) -> Dialect:
    """Return the dialect that *settings* declare, the later ones winning.

    Raises:
        SnapshotInvalid: A setting is not of its kind.
    """
    merged: dict[str, object] = {}
    for setting in settings:
        merged |= {name: value for name, value in setting.items() if value not in (None, "")}

    def word(name: str, default: str) -> str:
        value = merged.get(name, default)
        if not isinstance(value, str):
            raise SnapshotInvalid(f'The metadata\'s "{name}" is not a text', file=file)
        return value.strip().lower()

    if word("encoding", "utf-8") not in _UTF8 | _UTF16:
        raise SnapshotInvalid(
            "The metadata says that files are neither UTF-8 nor UTF-16",
            file=file,
            action="Have the segment written as UTF-8.",
        )
    delimiter = merged.get("delimiter")
    try:
        return Dialect.model_validate(
            {
                "header": _boolean(merged.get("columnHeaders"), file),
                "delimiter": "\t" if delimiter == r"\t" else delimiter,
                "line_breaks": not word("quoteStyle", "").endswith("none"),
            }
        )
    except ValidationError:
        raise SnapshotInvalid(
            "The metadata names a delimiter that is not one ASCII character", file=file
        ) from None


def parse_culture(settings: Mapping[str, Any]) -> str | None:
    """Return the declared culture; what cannot be read is some other culture than the usual."""
    culture = settings.get("culture")
    return None if culture in (None, "") else text(culture) or "unknown"


def parse_traits(traits: object, wanted: str = CSV_TRAIT) -> dict[str, Any]:
    """Return the arguments of a trait; those of CSV win over ``fileFormatSettings``."""
    arguments: dict[str, Any] = {}
    for trait in items(traits):
        if (text(trait.get("traitReference")) or "").lower() == wanted:
            for argument in items(trait.get("arguments")):
                if name := text(argument.get("name")):
                    arguments[name] = argument.get("value")
    return arguments


def parse_time(value: object) -> datetime | None:
    """Return an ISO 8601 time, None if it is none; without an offset it is UTC."""
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return time.replace(tzinfo=UTC) if time is not None and time.tzinfo is None else time


def _entity(
    entity: Mapping[str, Any],
    name: str,
    declared: tuple[str, ...],
    culture: str | None,
    file: str,
) -> Entity:
    listed = objects(entity, "partitions", file)
    located = ((partition, location(partition, file)) for partition in listed or ())
    return Entity(
        name,
        columns=parse_columns(objects(entity, "attributes", file) or (), file),
        partitions=None
        if listed is None
        else tuple(
            Partition(where, _dialect(partition, file)) for partition, where in located if where
        ),
        date_patterns=(*_date_patterns(entity), *declared),
        culture=culture,
        contradicts_itself=any(map(_contradicts_itself, listed or ())),
    )


def location(partition: Mapping[str, Any], file: str) -> str | None:
    """Return where a partition lies; None, as the format has it, for one that lies nowhere.

    Raises:
        SnapshotInvalid: The location is not a text.
    """
    where = partition.get("location")
    if where is not None and not isinstance(where, str):
        raise SnapshotInvalid("The location of a partition is not a text", file=file)
    return where


def _dialect(partition: Mapping[str, Any], file: str) -> Dialect:
    settings = partition.get("fileFormatSettings")
    if settings is not None and not isinstance(settings, dict):
        raise SnapshotInvalid('"fileFormatSettings" is not an object', file=file)
    return parse_dialect((settings or {}, parse_traits(partition.get("cdm:traits"))), file)


def _contradicts_itself(partition: Mapping[str, Any]) -> bool:
    settings = partition.get("fileFormatSettings")
    traits = parse_traits(partition.get("cdm:traits"))

    def said(value: object) -> str:
        return str(value).strip().lower()

    return isinstance(settings, dict) and any(
        said(settings[name]) != said(value)
        for name, value in traits.items()
        if value not in (None, "") and settings.get(name) not in (None, "")
    )


def _date_patterns(annotated: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(
        pattern
        for annotation in items(annotated.get("annotations"))
        if text(annotation.get("name")) in _DATE_ANNOTATIONS
        and (pattern := text(annotation.get("value")))
    )


def _boolean(value: object, file: str) -> bool | None:
    """Return a JSON boolean, or one written as text, as Microsoft's own files have it."""
    if value is None or isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else None
    if word not in ("true", "false"):
        raise SnapshotInvalid('The metadata\'s "columnHeaders" is not a boolean', file=file)
    return word == "true"
