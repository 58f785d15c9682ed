"""An export at a glance: how its newest run went and when the next one falls due."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from shared import schedules
from shared.exports import Export, Mode
from shared.runs import Counts, Problem, Run, RunState, Waiting


class LastRun(BaseModel):
    """The newest run of an export, as far as a list needs it."""

    model_config = ConfigDict(extra="ignore", from_attributes=True)

    id: str
    state: RunState
    trigger: str
    progress: int
    waiting: Waiting | None
    error: Problem | None
    counts: Counts
    reconciled: bool | None
    created_at: AwareDatetime
    finished_at: AwareDatetime | None


class Glance(BaseModel):
    """An export as a line of a list.

    ``next_run`` is null unless a clock decides: a refresh cannot be foreseen.
    """

    id: str
    display_name: str
    enabled: bool
    disabled_reason: Literal["connection_removed"] | None
    connection_id: str
    mode: Mode
    schedule: str
    time_zone: str
    segments: tuple[str, ...]
    next_run: AwareDatetime | None
    last_run: LastRun | None


def glance(export: Export, last: Run | None, now: datetime) -> Glance:
    """Return the export with its newest run and when it falls due next."""
    return Glance(
        id=export.id,
        display_name=export.display_name,
        enabled=export.enabled,
        disabled_reason=export.disabled_reason,
        connection_id=export.connection_id,
        mode=export.mode,
        schedule=export.schedule,
        time_zone=export.time_zone,
        segments=tuple(target.name for target in export.segments),
        next_run=next_run(export, now),
        last_run=LastRun.model_validate(last) if last else None,
    )


def next_run(export: Export, now: datetime) -> datetime | None:
    """Return when the export falls due by its clock, or None if no clock decides."""
    if not export.enabled or export.schedule in {"refresh", "manual"}:
        return None
    return schedules.due_next(export.schedule, export.time_zone, now)
