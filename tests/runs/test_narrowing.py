"""Refused rows that Constant Contact does not name are found by importing halves again."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.constant_contact import ConstantContact
from shared.narrowing import Part, found_lines, parts_of
from shared.runs import Batch, BatchState, Probe, Run, RunState
from tests.runs.app import App

PEOPLE = [(f"person{n}@example.com", f"First{n}", "Boston") for n in range(200)]
REFUSED = [17, 18, 140]
IMPORT = "/v3/activities/contacts_file_import"


@pytest.fixture
def list_id(constant_contact: ConstantContact) -> str:
    constant_contact.options.change(errors_name_lines=False)
    for number in REFUSED:
        constant_contact.refuse(PEOPLE[number][0])
    return constant_contact.add_list("Spring")


def found(app: App, run: Run) -> list[int]:
    """Return the rows in the rejects that name their row, counted as in the segment from 0."""
    text = b"".join(app.product.ledger.rejects(run.key)).decode()
    lines = csv.DictReader(io.StringIO(text, newline=""))
    reason = "refused_by_constant_contact"
    return sorted(int(ln["row"]) - 2 for ln in lines if ln["reason"] == reason and ln["row"])


def test_each_refused_row_is_found_and_counted_once(
    app: App, constant_contact: ConstantContact, list_id: str
) -> None:
    app.put_segment("Spring", PEOPLE)
    export_id = app.create_export("Spring", list_id, refusal_calls=100)

    run = app.run(export_id)

    assert run.state is RunState.COMPLETED
    assert (run.counts.accepted, run.counts.refused) == (197, 3)
    assert run.reconciled is True
    assert found(app, run) == REFUSED
    assert len(constant_contact.members(list_id)) == 197
    assert not app.product.ledger.has_staged(run.key)

    again = app.run(export_id)
    assert (again.counts.unchanged, again.counts.staged) == (197, 3)


@pytest.mark.parametrize("budget", [0, 1, 2, 7, 20])
def test_no_more_calls_are_spent_than_the_export_allows(
    app: App, constant_contact: ConstantContact, list_id: str, budget: int
) -> None:
    app.put_segment("Spring", PEOPLE)
    plain = app.run(app.create_export("Spring", list_id, id="plain"))

    run = app.run(app.create_export("Spring", list_id, id="narrowing", refusal_calls=budget))

    assert run.state is RunState.COMPLETED
    assert run.calls <= plain.calls + budget
    assert set(found(app, run)) <= set(REFUSED)
    assert run.counts == plain.counts


def test_asking_how_it_goes_is_within_the_calls_that_the_export_allows(
    app: App, constant_contact: ConstantContact, list_id: str
) -> None:
    """Each import takes half an hour, so that it is asked about many times."""
    constant_contact.options.change(activity_seconds=1800.0)
    app.put_segment("Spring", PEOPLE)
    plain = app.run(app.create_export("Spring", list_id, id="plain"))

    run = app.run(app.create_export("Spring", list_id, id="narrowing", refusal_calls=5))

    assert run.state is RunState.COMPLETED
    assert run.probe_calls <= 5
    assert run.calls <= plain.calls + 5


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_probe_whose_answer_is_lost_is_looked_up(
    app: App, constant_contact: ConstantContact, list_id: str, when: str
) -> None:
    constant_contact.faults.drop(IMPORT, when, nth=(2, 5))  # type: ignore[arg-type]
    app.put_segment("Spring", PEOPLE)

    run = app.run(app.create_export("Spring", list_id, refusal_calls=100))

    assert found(app, run) == REFUSED
    names = [each.file_name for each in constant_contact.imports]
    assert len(names) == len(set(names))


def test_a_probe_that_fails_leaves_its_part_unnamed(
    app: App, constant_contact: ConstantContact, list_id: str
) -> None:
    constant_contact.faults.end("contacts_file_import", nth=(3,), state="failed")
    app.put_segment("Spring", PEOPLE)

    run = app.run(app.create_export("Spring", list_id, refusal_calls=100))

    assert run.state is RunState.COMPLETED
    assert run.reconciled is True
    assert set(found(app, run)) < set(REFUSED)


@given(st.data(), st.integers(2, 300))
def test_halving_finds_exactly_the_refused_rows(data: st.DataObject, rows: int) -> None:
    """Whatever the rows: every part's number of refused rows is right, and all are found."""
    refused = data.draw(st.sets(st.integers(0, rows - 1), min_size=1))
    batch = Batch(number=0, rows=rows, bytes=0, list_ids=(), file_name="0", refused=len(refused))
    probes: tuple[Probe, ...] = ()

    while still_open := [part for part in parts_of(batch, probes) if part.is_open]:
        probes += tuple(answered(part, refused) for part in still_open)

    assert [line - 2 for line in sorted(found_lines(parts_of(batch, probes)))] == sorted(refused)
    assert sum(part.rows for part in parts_of(batch, probes)) == rows


def answered(part: Part, refused: set[int]) -> Probe:
    """Return a probe of the part's first half, as Constant Contact would have answered it."""
    rows = part.rows // 2
    return Probe(
        number=0,
        start=part.start,
        rows=rows,
        bytes=0,
        list_ids=(),
        file_name=f"{part.start}-{rows}",
        state=BatchState.COMPLETED,
        verdict="completed",
        refused=len(refused & set(range(part.start, part.start + rows))),
    )
