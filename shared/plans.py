"""The plan of a run: what it would do, before it does it."""

from __future__ import annotations

from datetime import timedelta

from shared.constant_contact.budget import Limits
from shared.contacts.memory import Memory
from shared.exports import Export
from shared.mirroring import segments_of
from shared.runs import Mirror, Plan, Route, Run


def plan(run: Run, known: Plan, limits: Limits) -> Plan:
    """Return what *run*, which has staged everything, would do, people and calls."""
    calls = _calls(run)
    return known.having(
        calls=calls,
        minutes=round(calls * limits.spacing / timedelta(minutes=1), 2),
        quota_percent=round(100 * calls / limits.per_day, 2),
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
    calls = 2 * len(run.lists)  # counted before and after
    calls += any(field.startswith("cf:") for field in run.export.mapping)
    if run.batches:
        calls += len(run.batches) + 1  # one look answers for all of them
    if run.mirror:
        calls += run.mirror.calls
        calls += run.mirror.route is Route.LISTS  # which lists there are
    calls += run.export.opt_outs is not None  # and one for every further 500 people
    return calls
