"""A large export through everything that can go wrong with a call."""

from __future__ import annotations

import os

from local.constant_contact import ConstantContact
from local.constant_contact.faults import HTML, Fault
from local.segments import Segment
from shared.runs import Run, RunState
from tests.conftest import Figure
from tests.runs.app import App

ROWS = 1_000_000 if "EVERY_POINT" in os.environ else 200_000
IMPORT = "/v3/activities/contacts_file_import"
MAPPING = {"email": "EMailAddress1", "first_name": "FirstName", "last_name": "LastName"}


def trouble(constant_contact: ConstantContact) -> tuple[int, int]:
    """Have many calls go wrong; return how many, and of how many uploads the answer is lost."""
    faults = constant_contact.faults
    faults.throttle(IMPORT, nth=(1,))
    faults.drop(IMPORT, "before", nth=(2,))
    faults.drop(IMPORT, "after", nth=(4,))
    faults.add(Fault(path=IMPORT, status=500, body=[{"error_key": "internal"}], nth=(5,)))
    faults.add(Fault(path=IMPORT, status=503, nth=(7,)))
    faults.html(IMPORT, nth=(8,))
    faults.add(Fault(path=IMPORT, status=201, body=HTML, nth=(9,)))
    faults.fill_queue(IMPORT, nth=(10,))
    faults.exceed_quota(IMPORT, nth=(11,))
    faults.add(Fault(path=IMPORT, delay=1.0, nth=(12,)))
    faults.html("/v3/activities", method="GET", nth=(2,))
    faults.drop("/v3/activities", "before", method="GET", nth=(4,))
    faults.add(Fault(path="/v3/contact_lists/.*", status=503, nth=(1,)))
    faults.add(Fault(path=IMPORT, status=401, body={"error_key": "unauthorized"}, nth=(6,)))
    return 14, 6


def test_nothing_is_lost_and_few_calls_are_wasted(
    app: App, constant_contact: ConstantContact, figure: Figure
) -> None:
    """Each lost answer costs one look-up beside the repeat; no other call is made in vain."""
    segment = Segment(rows=ROWS)
    segment.upload(app.segments)
    faultless = export(app, segment, constant_contact.add_list("Faultless"))
    faults, lost = trouble(constant_contact)
    list_id = constant_contact.add_list("Spring")

    run = export(app, segment, list_id)

    assert run.state is RunState.COMPLETED, run.error
    assert run.reconciled is True
    assert run.counts == faultless.counts
    assert constant_contact.members(list_id) == segment.addresses()
    imports = [each.file_name for each in constant_contact.imports if list_id in each.list_ids]
    assert len(imports) == len(set(imports)) == len(run.batches)
    allowed = 1.1 * (faultless.calls + faults + lost)
    figure(
        f"faults: {ROWS:,} rows, {faults} calls gone wrong, {lost} answers lost: nothing lost,"
        f" {run.calls} calls (faultless {faultless.calls}, allowed {allowed:.0f})"
    )
    assert run.calls <= allowed
    assert constant_contact.faults.unmet() == []


def export(app: App, segment: Segment, list_id: str) -> Run:
    """Run an export of the segment to a list."""
    segments = [{"name": segment.name, "list_ids": [list_id]}]
    export_id = app.create_export(segment.name, list_id, segments=segments, mapping=MAPPING)
    return app.run(export_id)
