"""Which exports are due. Pure: the timer looks things up and asks here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from shared import schedules
from shared.connections import Connection
from shared.exports import Export
from shared.runs import PinnedSnapshot, Run


def is_due_by_clock(export: Export, last: Run | None, now: datetime) -> bool:
    """Say whether the export's cron fell due since it last ran, or since it was saved."""
    if export.schedule in {"refresh", "manual"}:
        return False
    since = last.created_at if last else export.updated_at
    return since is not None and schedules.due_since(export.schedule, export.time_zone, now) > since


def is_due_by_refresh(
    export: Export,
    snapshots: Sequence[PinnedSnapshot],
    last: Run | None,
    connection: Connection,
    quiet: timedelta,
) -> bool:
    """Say whether *snapshots*, all complete, hold something that no run has taken up.

    A run that ended for want of a connection is taken up again once that is connected; any other
    end is final for its snapshots. Saving does not run: a first run needs a snapshot that became
    complete afterwards. Snapshots are never exported backwards.

    Args:
        last: The newest run that pinned snapshots.
    """
    if export.schedule != "refresh":
        return False
    if last is None:
        newest = max(snapshot.complete_since for snapshot in snapshots)
        return export.updated_at is None or newest + quiet > export.updated_at
    pinned = {snapshot.segment: snapshot for snapshot in last.snapshots}
    if any(_is_older(new, pinned.get(new.segment)) for new in snapshots):
        return False
    if any(_is_new(new, pinned.get(new.segment)) for new in snapshots):
        return True
    return bool(
        last.error
        and last.error.code == "reconnect_required"
        and last.finished_at
        and connection.connected_at
        and connection.connected_at > last.finished_at
    )


def _is_new(new: PinnedSnapshot, old: PinnedSnapshot | None) -> bool:
    return old is None or new.fingerprint != old.fingerprint


def _is_older(new: PinnedSnapshot, old: PinnedSnapshot | None) -> bool:
    return old is not None and new.complete_since < old.complete_since
