"""Documents as the app keeps them, for tests that need one and not the story behind it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from shared.exports import Export, SegmentTarget
from shared.runs import Run

NOW = datetime(2026, 11, 23, 6, tzinfo=UTC)
LIST_ID = "7a1d5f04-2c0e-11f0-9d3a-0242ac120002"


def an_export(**changes: Any) -> Export:
    """Return an export that names as little as one may."""
    content = {
        "id": "spring",
        "display_name": "Spring",
        "connection_id": "main",
        "segments": (SegmentTarget(name="Spring", list_ids=(LIST_ID,)),),
        "mapping": {"email": "EMail"},
    }
    return Export.model_validate({**content, **changes})


def a_run(**changes: Any) -> Run:
    """Return a run that has just been queued."""
    export = changes.pop("export", an_export())
    at = changes.pop("created_at", NOW)
    content = {
        "id": "20261123T060000Z-7f3a9c",
        "export_id": export.id,
        "export": export,
        "connection_id": export.connection_id,
        "requested_by": "timer",
        "created_at": at,
        "entered_at": at,
        "updated_at": at,
    }
    return Run.model_validate({**content, **changes})
