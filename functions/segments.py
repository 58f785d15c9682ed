"""Routes of segments: what there is to send."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import azure.functions as func
from pydantic import AwareDatetime, BaseModel, ConfigDict

from functions.exchange import Page, answer, page
from functions.operations import operation
from shared.bootstrap import product
from shared.roles import Principal, Role
from shared.segments.snapshots import Layout

if TYPE_CHECKING:
    from shared.segments.discovery import Segment

bp = func.Blueprint()


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FileAnswer(_Answer):
    """A file of a snapshot; *size* is in bytes."""

    name: str
    size: int


class SegmentAnswer(_Answer):
    """A segment with its newest snapshot.

    Attributes:
        layout: How it lies in the container.
        path: Folder or file it was found at.
        complete: Whether a run could read it now; *trouble* says why not.
        complete_since: Last write to any of its files.
        notes: What to know of how it was judged complete.
    """

    name: str
    layout: Layout
    path: str
    complete: bool
    trouble: str | None
    complete_since: AwareDatetime | None
    notes: tuple[str, ...]
    files: tuple[FileAnswer, ...]


class ColumnAnswer(_Answer):
    """A column with up to five of its first values, masked."""

    name: str
    type: str
    samples: tuple[str, ...]


class FormatAnswer(_Answer):
    """How a text file is written; null where nothing says."""

    header: bool | None
    delimiter: str | None


class SegmentDescription(SegmentAnswer):
    """The same with its columns; none while no snapshot is complete.

    Attributes:
        format: How its first file is read; proposed where nothing says.
        mapping: Proposed: field to column.
    """

    columns: tuple[ColumnAnswer, ...] = ()
    format: FormatAnswer | None = None
    mapping: dict[str, str] = {}


@operation(bp, "GET", "api/segments", Role.CONTRIBUTOR, answer=Page[SegmentAnswer])
def list_segments(req: func.HttpRequest, who: Principal) -> func.HttpResponse:
    """List the segments found: each with its newest snapshot and whether that is complete."""
    return page([SegmentAnswer(**_shown(segment)) for segment in product().catalogue.segments()])


# The host tries routes in the order of function names: this one would take the list's as well.
@operation(
    bp,
    "GET",
    "api/segments/{*name}",
    Role.CONTRIBUTOR,
    answer=SegmentDescription,
    errors=(409,),
)
def read_segment(req: func.HttpRequest, who: Principal) -> func.HttpResponse:
    """Return a segment's columns with masked samples, and the mapping they suggest."""
    segment, description = product().catalogue.describe(req.route_params.get("name") or "")
    shown = description.shown() if description else {}
    return answer(SegmentDescription(**_shown(segment), **shown))


def _shown(segment: Segment) -> dict[str, Any]:
    snapshot = segment.snapshot
    return {
        "name": segment.name,
        "layout": segment.layout,
        "path": segment.path,
        "complete": snapshot is not None,
        "trouble": str(segment.trouble) if segment.trouble else None,
        "complete_since": snapshot.complete_since if snapshot else None,
        "notes": snapshot.notes if snapshot else (),
        "files": tuple(FileAnswer(name=file.name, size=file.size) for file in segment.files),
    }
