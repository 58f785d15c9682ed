"""The export: a standing order saying which segments go to which lists, and how."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from shared import schedules
from shared.errors import Fault
from shared.ids import CONTAINER, SLUG, UUID, DisplayName, require_printable

MAX_LISTS = 50
"""Constant Contact takes at most 50 list ids in one import."""

MAX_MIRRORED_LISTS = MAX_LISTS // 2
"""A mirror imports to a temporary list beside each of them."""

STANDARD_FIELDS = (
    "email",
    "first_name",
    "last_name",
    "job_title",
    "company_name",
    "phone",
    "street",
    "city",
    "state",
    "zip",
    "country",
    "birthday",
    "anniversary",
)

_CUSTOM = re.compile(r"cf:[^\s,\"]{1,50}")
_NUMBERED = re.compile(r"Column\d+")


SegmentName = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(require_printable)]
Column = Annotated[str, Field(min_length=1, max_length=256)]
Percent = Annotated[float, Field(ge=0, le=100)]


class Mode(StrEnum):
    """What happens to list members who are not in the segment."""

    ADD_AND_UPDATE = "add_and_update"
    MIRROR = "mirror"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def having(self, **changes: Any) -> Self:
        """Return a copy with *changes*."""
        return self.model_copy(update=changes)


class FileFormat(_Part):
    """How a plain file is written, where nothing else says it."""

    header: bool = True
    # What a `Dialect` takes: one ASCII character, no quote, no line break.
    delimiter: Annotated[str, Field(pattern=r"^[\x01-\x09\x0b\x0c\x0e-!#-\x7f]$")] = ","


class SegmentTarget(_Part):
    """One segment and the lists its members go to."""

    name: SegmentName
    list_ids: Annotated[
        tuple[Annotated[str, Field(pattern=f"^{UUID}$")], ...],
        Field(min_length=1, max_length=MAX_LISTS),
    ]
    format: FileFormat | None = None


class ConsentRule(_Part):
    """Only rows whose *column* holds one of *values* are sent; unknown means no."""

    column: Column
    values: Annotated[tuple[str, ...], Field(min_length=1)]


class Guard(_Part):
    """How far a segment may shrink, grow or remove before a person must approve, in percent."""

    max_shrink_percent: Percent = 30
    max_growth_percent: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 50
    max_removed_percent: Percent = 20


class OptOutFile(_Part):
    """Where a run writes who has opted out at Constant Contact, and how it shows addresses.

    Attributes:
        container: Of the account that holds the app's documents; made by the operator.
        addresses: ``hashed``: SHA-256 of the lower-cased address; ``plain`` needs an
            administrator.
    """

    container: Annotated[str, Field(pattern=f"^{CONTAINER}$")]
    addresses: Literal["hashed", "plain"] = "hashed"


class Export(_Part):
    """The standing order, kept in ``exports/<id>.json``; changed only under its ETag."""

    id: Annotated[str, Field(pattern=f"^{SLUG}$")]
    display_name: DisplayName
    enabled: bool = True
    connection_id: Annotated[str, Field(pattern=f"^{SLUG}$")]
    segments: Annotated[tuple[SegmentTarget, ...], Field(min_length=1, max_length=100)]
    exclude_segments: Annotated[tuple[SegmentName, ...], Field(max_length=100)] = ()
    mapping: dict[str, Column]
    consent: ConsentRule | None = None
    newest_by: Column | None = None
    identity: Column | None = None
    previous_identity: Column | None = None
    mode: Mode = Mode.ADD_AND_UPDATE
    only_changes: bool = True
    schedule: str = "refresh"
    time_zone: str = "UTC"
    guard: Guard = Guard()
    two_people: bool = False
    opt_outs: OptOutFile | None = None
    refusal_calls: Annotated[int, Field(ge=0, le=200)] = 0
    disabled_reason: Literal["connection_removed"] | None = None
    updated_at: AwareDatetime | None = None
    updated_by: str | None = None

    @field_validator("mapping")
    @classmethod
    def _known_fields(cls, mapping: dict[str, str]) -> dict[str, str]:
        if "email" not in mapping:
            raise ValueError("email is required")
        unknown = [
            key for key in mapping if key not in STANDARD_FIELDS and not _CUSTOM.fullmatch(key)
        ]
        if unknown:
            raise ValueError("unknown field: " + ", ".join(sorted(unknown)))
        if sum(key.startswith("cf:") for key in mapping) > 25:
            raise ValueError("a contact has at most 25 custom fields")
        return mapping

    @field_validator("schedule")
    @classmethod
    def _known_schedule(cls, schedule: str) -> str:
        if schedule not in {"refresh", "manual"}:
            schedules.parse_cron(schedule)
        return schedule

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        schedules.parse_time_zone(name)
        return name

    @field_validator("segments")
    @classmethod
    def _each_segment_once(cls, segments: tuple[SegmentTarget, ...]) -> tuple[SegmentTarget, ...]:
        if len({target.name.casefold() for target in segments}) < len(segments):
            raise ValueError("a segment is named twice; give it several lists instead")
        return segments

    @field_validator("exclude_segments")
    @classmethod
    def _not_sent_too(cls, excluded: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        sent = {target.name.casefold() for target in info.data.get("segments", ())}
        both = {name for name in excluded if name.casefold() in sent}
        if both:
            raise ValueError("a segment is both sent and excluded: " + ", ".join(sorted(both)))
        return excluded

    @property
    def list_ids(self) -> tuple[str, ...]:
        """Every list the export writes to, once, in order."""
        return tuple(dict.fromkeys(i for target in self.segments for i in target.list_ids))

    @property
    def segment_names(self) -> tuple[str, ...]:
        """Every segment the export reads: those it sends, then those it leaves out."""
        return (*(target.name for target in self.segments), *self.exclude_segments)

    @property
    def custom_fields(self) -> frozenset[str]:
        """Names of the custom fields that the export maps, without ``cf:``."""
        return frozenset(k.removeprefix("cf:") for k in self.mapping if k.startswith("cf:"))

    @property
    def columns(self) -> Mapping[str, str]:
        """Every column the export reads → the field of the export that names it."""
        named = {column: f"mapping.{field}" for field, column in self.mapping.items()}
        if self.consent:
            named.setdefault(self.consent.column, "consent.column")
        if self.newest_by:
            named.setdefault(self.newest_by, "newest_by")
        if self.identity:
            named.setdefault(self.identity, "identity")
        if self.previous_identity:
            named.setdefault(self.previous_identity, "previous_identity")
        return named


def mirrored_elsewhere(export: Export, exports: Iterable[Export]) -> set[str]:
    """Return the lists that others of *exports* mirror; none if this one mirrors nothing."""
    if export.mode is not Mode.MIRROR:
        return set()
    others = (other for other in exports if other.id != export.id and other.mode is Mode.MIRROR)
    return {list_id for other in others for list_id in other.list_ids} & set(export.list_ids)


def find_faults(
    export: Export,
    *,
    connected: bool,
    list_ids: Collection[str],
    custom_fields: Collection[str],
    columns: Mapping[str, Collection[str] | None],
    mirrored_elsewhere: Collection[str] = (),
) -> list[Fault]:
    """Return everything an export names that is not there.

    Args:
        connected: Whether the connection exists and is connected.
        list_ids: Ids of the account's lists.
        custom_fields: Names of the account's custom fields, without ``cf:``.
        columns: Segment name → its columns; None for a segment that was not found.
        mirrored_elsewhere: Lists that another export mirrors.
    """
    faults = list(_missing_segments(export, columns))
    if not connected:
        return [
            Fault("connection_id", "not_connected", "There is no connected connection of this id."),
            *faults,
        ]
    for number, target in enumerate(export.segments):
        faults += [
            Fault(f"segments.{number}.list_ids", "unknown_list", f"There is no list {list_id}.")
            for list_id in target.list_ids
            if list_id not in list_ids
        ]
        if export.mode is Mode.MIRROR:
            if len(target.list_ids) > MAX_MIRRORED_LISTS:
                faults.append(
                    Fault(
                        f"segments.{number}.list_ids",
                        "too_many_mirrored",
                        f"A mirror takes at most {MAX_MIRRORED_LISTS} lists for a segment.",
                    )
                )
            faults += [
                Fault(
                    f"segments.{number}.list_ids",
                    "mirrored_twice",
                    f"Another export mirrors the list {list_id}; two would undo each other.",
                )
                for list_id in target.list_ids
                if list_id in mirrored_elsewhere
            ]
    faults += [
        Fault(f"mapping.{key}", "unknown_custom_field", f"There is no custom field {key[3:]}.")
        for key in export.mapping
        if key.startswith("cf:") and key[3:] not in custom_fields
    ]
    return faults


def _missing_segments(
    export: Export, columns: Mapping[str, Collection[str] | None]
) -> Iterator[Fault]:
    for number, target in enumerate(export.segments):
        present = columns.get(target.name)
        if present is None:
            yield Fault(
                f"segments.{number}.name",
                "unknown_segment",
                f"No complete segment {target.name} was found.",
            )
            continue
        for column, where in export.columns.items():
            if column not in present:
                lacking = f"The segment {target.name} has no column {column}."
                if _NUMBERED.fullmatch(column):
                    lacking += ' For a file without a header, say so: "format": {"header": false}.'
                yield Fault(where, "unknown_column", lacking)
    email = export.mapping["email"]
    for number, name in enumerate(export.exclude_segments):
        present = columns.get(name)
        if present is None:
            yield Fault(
                f"exclude_segments.{number}",
                "unknown_segment",
                f"No complete segment {name} was found.",
            )
        elif email not in present:
            yield Fault(
                f"exclude_segments.{number}",
                "unknown_column",
                f"The segment {name} has no column {email}, by which people are left out: its"
                " files need a header with the name that email is mapped from.",
            )
