"""The guard: when the numbers look wrong, a run waits for a person before anything is sent.

An empty file must not pass for an empty segment, nor a shifted column for new addresses. Pure:
numbers in, concerns out.
"""

from __future__ import annotations

from collections.abc import Iterator

from shared.exports import Guard, Mode
from shared.runs import Counts, PinnedSnapshot, Problem, Run

LEAST_USABLE = 0.5
"""Below this share of rows with a usable address, the column is probably not what it was."""

FEW_VALUES = 0.05
"""A field that a smaller share of people had may well run empty."""

LARGEST_FALL = 0.2
"""So far the share may fall from one run to the next."""

FEW_EXCLUDED = 0.01
"""A smaller share of the rows may cease to be excluded without a question."""

MOST_PEOPLE = 1_000_000
"""More than the built-in connector takes: probably not what somebody wants to be billed for."""

_ACTION = "Look at the segment. If the numbers are right, approve the run; otherwise cancel it."


def find_concerns(run: Run, before: Run | None) -> list[Problem]:
    """Return what speaks against sending *run* without asking, most serious first.

    Args:
        before: The export's last completed run; None for a first run.
    """
    found = [*_exclusions(run, before), *_quality(run.counts, before), *_columns(run, before)]
    found += [*_size(run, before), *_age(run, before)]
    return [Problem(code=code, message=message, action=_ACTION) for code, message in found]


def find_removal_concern(guard: Guard, leaving: int, members: int) -> Problem | None:
    """Return what speaks against removing *leaving* of a list's *members* without asking."""
    limit = guard.max_removed_percent
    if 100 * leaving <= limit * members:
        return None
    return Problem(
        code="removals_large",
        message=f"{leaving} of {members} people would leave the list, more than {limit:g} %.",
        action=_ACTION,
    )


def _size(run: Run, before: Run | None) -> Iterator[tuple[str, str]]:
    """Each segment by itself: that one is empty must not be lost in the others' numbers."""
    guard = run.export.guard
    for name, new in run.sendable.items():
        old = before.sendable.get(name) if before else None
        if not new and old is None and run.export.mode is Mode.MIRROR:
            yield (
                "segment_empty",
                f"A segment is empty, and mirroring it would empty its list: {name}.",
            )
        elif not new and old:
            yield "segment_empty", f"A segment is empty; last time it had {old} people: {name}."
        elif old and 100 * (old - new) > guard.max_shrink_percent * old:
            yield "segment_shrank", f"A segment shrank from {old} people to {new}: {name}."
        elif old and 100 * (new - old) > guard.max_growth_percent * old:
            yield "segment_grew", f"A segment grew from {old} people to {new}: {name}."
    last = people(before.counts) if before else 0
    if people(run.counts) > MOST_PEOPLE >= last:
        yield (
            "segment_large",
            f"{people(run.counts)} people would be sent, more than {MOST_PEOPLE}.",
        )


def _quality(now: Counts, before: Run | None) -> Iterator[tuple[str, str]]:
    least = LEAST_USABLE
    if before and before.counts.read:
        least = max(least, usable(before.counts) - LARGEST_FALL)
    if now.read and usable(now) < least:
        yield (
            "addresses_unusable",
            f"Only {usable(now):.0%} of the rows have a usable address: is the email column right?",
        )


def _columns(run: Run, before: Run | None) -> Iterator[tuple[str, str]]:
    """A field that many had and nobody has now: its column was probably renamed or refilled."""
    had = before.filled if before else {}
    for name, count in had.items():
        many = before is not None and count >= FEW_VALUES * max(1, people(before.counts))
        if many and people(run.counts) and run.filled.get(name) == 0:
            yield "column_empty", f"Nobody has a value for {name} any more; {count} people had one."


def _exclusions(run: Run, before: Run | None) -> Iterator[tuple[str, str]]:
    """Whom an excluded segment no longer names, or not so that it can be read, would be sent."""
    limit = run.export.guard.max_shrink_percent
    known = {old.segment: old for old in before.exclusions} if before else {}
    for now in run.exclusions:
        old = known.get(now.segment)
        name = f"The excluded segment {now.segment}"
        if not now.addresses and (old is None or old.addresses):
            yield "exclusion_empty", f"{name} holds nobody."
        elif old and 100 * (old.addresses - now.addresses) > limit * old.addresses:
            people = f"from {old.addresses} addresses to {now.addresses}"
            yield "exclusion_shrank", f"{name} shrank {people}."
        if now.unusable > (old.unusable if old else 0):
            yield "exclusion_unusable", f"{name} has {now.unusable} rows that keep nobody out."
    if run.exclusions and before and run.export.exclude_segments == before.export.exclude_segments:
        now_out, once_out = run.counts.excluded, before.counts.excluded
        fewer = once_out - now_out
        if 100 * fewer > limit * once_out and fewer > FEW_EXCLUDED * run.counts.read:
            yield "excluded_fell", f"{now_out} people are kept out, last time {once_out}."


def _age(run: Run, before: Run | None) -> Iterator[tuple[str, str]]:
    if before and any(_is_older(new, before) for new in run.snapshots):
        yield "snapshot_older", "The snapshot is older than the one of the last run."


def usable(counts: Counts) -> float:
    """Return the share of rows that have a usable address."""
    return 1 - (counts.missing_email + counts.invalid) / counts.read if counts.read else 0.0


def people(counts: Counts) -> int:
    """Return how many people are to be on the lists."""
    return counts.staged + counts.unchanged


def _is_older(new: PinnedSnapshot, before: Run) -> bool:
    return any(
        new.segment == old.segment and new.complete_since < old.complete_since
        for old in before.snapshots
    )
