"""Narrowing: which rows of a batch Constant Contact refused, where it says only how many.

Parts of the batch are imported once more, each into the same lists. What is refused of a half
tells, with what was refused of the whole, how many there are in the other: so one import halves
a part, a half without refusals proves itself, and one of refusals only is found. A repeat changes
nothing for the contacts, which are matched on their address, and is counted nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from shared.constant_contact.client import Client
from shared.following import ask
from shared.ledger import Ledger, Turn, staged_name
from shared.refusals import named_lines
from shared.runs import Batch, BatchState, Probe, Run
from shared.sending import answered, begun, find_unanswered

MOST_REFUSED = 1_000
"""With more refused rows in a batch something else is wrong, and no list of rows helps."""


@dataclass(frozen=True)
class Part:
    """Some rows of a batch, counted from 0, and how many of them were refused."""

    start: int
    rows: int
    refused: int

    @property
    def is_open(self) -> bool:
        """Whether some of its rows were refused and some were not."""
        return 0 < self.refused < self.rows

    def split(self, probe: Probe) -> tuple[Part, ...]:
        """Return the two parts that *probe* makes of this one; just this if it tells nothing."""
        rest = Part(self.start + probe.rows, self.rows - probe.rows, self.refused - probe.refused)
        if not probe.told or not 0 <= rest.refused <= rest.rows:
            return (self,)
        return Part(self.start, probe.rows, probe.refused), rest


def parts_of(batch: Batch, probes: tuple[Probe, ...]) -> list[Part]:
    """Return the parts into which the probes have divided *batch*."""
    parts = {0: Part(0, batch.rows, batch.refused)}
    for probe in probes:
        if probe.number == batch.number and probe.start in parts:
            parts |= {part.start: part for part in parts[probe.start].split(probe)}
    return list(parts.values())


def found_lines(parts: list[Part]) -> tuple[int, ...]:
    """Return the lines of refused rows, as far as they are found; line 1 is the header."""
    return tuple(
        line
        for part in parts
        if part.refused == part.rows
        for line in range(part.start + 2, part.start + 2 + part.rows)
    )


def may_narrow(run: Run) -> bool:
    """Say whether there is anything to find, and the export allows calls for it."""
    return run.export.refusal_calls > 0 and any(_is_unclear(batch) for batch in run.batches)


def narrow(turn: Turn, client: Client, ledger: Ledger) -> bool:
    """Do what can be done now; return whether there is nothing to wait for.

    The export says how many calls may be spent on it in a run, those that ask how it goes
    included. Once they are spent, what has been found has to do.
    """
    spent_before = turn.run.probe_calls - client.calls

    def left() -> int:
        return turn.run.export.refusal_calls - spent_before - client.calls

    def note(*probes: Probe, calls: int = 0) -> None:
        spent = spent_before + client.calls + calls
        turn.note(lambda run: run.with_imports(*probes).having(probe_calls=spent))

    if left() > 0:
        find_unanswered(turn, client, turn.run.probes)
    if left() > 0 and (judged := ask(turn.run.probes, turn, client)):
        note(*judged)
        if left() > 0 and not all(probe.ended for probe in judged):
            return False
    wanted = list(_next_probes(turn.run))[: max(0, left() - 1)]  # one is kept to ask about them
    for each in wanted:
        probe = begun(each, turn.now())
        note(probe, calls=1)
        content = _content(turn.run, probe, ledger)
        activity = client.import_contacts(probe.file_name, content, probe.list_ids)
        note(answered(probe, activity, turn.now()))
    if not wanted:
        turn.note(_concluded)
    return not wanted


def _is_unclear(batch: Batch) -> bool:
    return (
        batch.state is BatchState.COMPLETED
        and batch.found is None
        and len(named_lines(batch)) < batch.refused <= MOST_REFUSED
    )


def _next_probes(run: Run) -> Iterator[Probe]:
    for batch in run.batches:
        if not _is_unclear(batch):
            continue
        for part in parts_of(batch, run.probes):
            rows = part.rows // 2
            name = batch.file_name.removesuffix(".csv") + f"-{part.start}-{rows}.csv"
            tried = any(probe.file_name == name and probe.ended for probe in run.probes)
            if part.is_open and not tried:
                yield Probe(
                    number=batch.number,
                    start=part.start,
                    rows=rows,
                    bytes=0,
                    list_ids=batch.list_ids,
                    file_name=name,
                )


def _content(run: Run, probe: Probe, ledger: Ledger) -> bytes:
    """Return the probe's rows as an import file."""
    header, *lines = ledger.staged(run.key, staged_name(probe.number)).splitlines(keepends=True)
    return header + b"".join(lines[probe.start : probe.start + probe.rows])


def _concluded(run: Run) -> Run:
    """Return *run* with what was found in the batches, and the probes gone."""
    batches = tuple(
        batch.having(found=found_lines(parts_of(batch, run.probes)))
        if _is_unclear(batch)
        else batch
        for batch in run.batches
    )
    return run.having(batches=batches, probes=())
