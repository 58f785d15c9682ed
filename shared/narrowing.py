"""Narrowing: which rows of a batch Constant Contact refused, where it says only how many.

Parts of the batch are imported once more, each into the same lists. What is refused of a half
tells, with what was refused of the whole, how many there are in the other: so one import halves
a part, a half without refusals proves itself, and one of refusals only is found. A repeat changes
nothing for the contacts, which are matched on their address, and is counted nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from shared.constant_contact.answers import Activity
from shared.constant_contact.client import Client
from shared.ledger import Ledger, Turn
from shared.refusals import named_lines
from shared.runs import Batch, BatchState, Probe, Run
from shared.sending import staged_name
from shared.verdicts import judge

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


def narrow(turn: Turn, client: Client, ledger: Ledger, budget: int) -> bool:
    """Do what can be done now; return whether there is nothing to wait for.

    Args:
        budget: Calls that may be spent on it in this run.
    """
    if not any(_is_unclear(batch) for batch in turn.run.batches) or budget == 0:
        return True
    _find_unanswered(turn, client)
    if not _judge_probes(turn, client):
        return False
    left = budget - turn.run.probe_calls - 1  # one is kept to ask how they went
    wanted = list(_next_probes(turn.run))[: max(0, left)]
    for probe in wanted:
        _note(turn, probe.having(state=BatchState.SENDING), calls=1)
        activity = client.import_contacts(
            probe.file_name, _content(turn.run, probe, ledger), probe.list_ids
        )
        _note(turn, _sent(probe, activity, turn))
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


def _sent(probe: Probe, activity: Activity, turn: Turn) -> Probe:
    return probe.having(state=BatchState.SENT, activity_id=activity.id, sent_at=turn.now())


def _note(turn: Turn, *probes: Probe, calls: int = 0) -> None:
    def change(run: Run) -> Run:
        for probe in probes:
            run = run.with_probe(probe)
        return run.having(probe_calls=run.probe_calls + calls)

    turn.note(change)


def _find_unanswered(turn: Turn, client: Client) -> None:
    """Settle the probes whose intent is written down but not their activity."""
    for probe in turn.run.probes:
        if probe.state is BatchState.SENDING:
            activity = client.find_import(probe.file_name)
            settled = (
                _sent(probe, activity, turn) if activity else probe.having(state=BatchState.STAGED)
            )
            _note(turn, settled, calls=1)


def _judge_probes(turn: Turn, client: Client) -> bool:
    """Ask once about all probes under way; return whether each has ended."""
    outstanding = [probe for probe in turn.run.probes if probe.state is BatchState.SENT]
    if not outstanding:
        return True
    newest = {activity.id: activity for activity in client.activities()}
    judged = [
        judge(probe, newest.get(probe.activity_id or ""), turn.now()) for probe in outstanding
    ]
    _note(turn, *judged, calls=1)
    return all(probe.ended for probe in judged)


def _concluded(run: Run) -> Run:
    """Return *run* with what was found in the batches, and the probes gone."""
    batches = tuple(
        batch.having(found=found_lines(parts_of(batch, run.probes)))
        if _is_unclear(batch)
        else batch
        for batch in run.batches
    )
    return run.having(batches=batches, probes=())
