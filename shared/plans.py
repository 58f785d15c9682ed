"""The plan of a run: what it would do, before it does it."""

from __future__ import annotations

from shared.contacts.memory import Memory
from shared.exports import Export
from shared.mirroring import segments_of
from shared.runs import Mirror, Plan, Route, Run

POLLS = 4
"""Looks at the activities of a usual run."""

MIRROR_CALLS = 12
"""Of the route by lists: two lists made, four operations and their confirmation, counts."""

CALLS_PER_MINUTE = 230


def plan(run: Run, known: Plan, calls_per_day: int) -> Plan:
    """Return what *run*, which has staged everything, would do, people and calls."""
    calls = _calls(run)
    return known.having(
        calls=calls,
        minutes=round(calls / CALLS_PER_MINUTE, 2),
        quota_percent=round(100 * calls / calls_per_day, 2),
    )


def known_changes(run: Run, memory: Memory, mirror: Mirror | None) -> Plan:
    """Return what the memory tells of the people of *run*."""
    segments = range(len(run.export.segments))
    return Plan(
        new=memory.new,
        changed=memory.changed,
        unchanged=sum(len(memory.kept(segment)) for segment in segments),
        moved=sum(memory.moved(segment) for segment in segments),
        leaving=_leaving(run.export, memory, mirror),
    )


def _leaving(export: Export, memory: Memory, mirror: Mirror | None) -> int | None:
    """Return how many would be removed, but for those who only have another address now."""
    if mirror is None or any(mirrored.leaving is None for mirrored in mirror.lists):
        return None
    leaving = 0
    for mirrored in mirror.lists:
        moved = sum(memory.moved(segment) for segment in segments_of(export, mirrored.list_id))
        leaving += max(0, (mirrored.leaving or 0) - moved)
    return leaving


def _calls(run: Run) -> int:
    calls = len(run.batches) + 2 * len(run.lists) + (POLLS if run.batches else 0)
    if run.mirror and run.mirror.route is Route.LISTS:
        calls += MIRROR_CALLS * len(run.mirror.lists)
    if run.mirror and run.mirror.route is Route.MEMBERS:
        members = sum(check.before or 0 for check in run.lists)
        leaving = sum(mirrored.leaving or 0 for mirrored in run.mirror.lists)
        calls += 2 + members // 500 + leaving // 500
    return calls
