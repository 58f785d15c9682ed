"""A retry is killed anywhere, and what had failed is on the list once all the same."""

from __future__ import annotations

from local.constant_contact import ConstantContact
from shared.runs import RunState
from tests.conftest import Figure
from tests.crashes import test_export as export
from tests.crashes.enumeration import enumerate_points
from tests.crashes.instances import Instances
from tests.crashes.worker import Moment


def test_killed_at_any_call_a_retry_ends_as_if_nothing_had_happened(
    lane: Instances, constant_contact: ConstantContact, figure: Figure
) -> None:
    """Both batches had failed, one of them half way; afterwards everybody is remembered."""
    export.furnish(lane.app)

    def survive(lane: Instances, number: int, moment: Moment) -> bool:
        export_id, list_id = export.order(lane)
        constant_contact.faults.end("contacts_file_import", state="failed", share=0.5)
        lane.do(start=export_id)
        constant_contact.faults.clear()
        failed = lane.run_of(export_id)
        assert failed.state is RunState.FAILED
        options = {"retry_of": failed.id}
        met = lane.do_and_die(number, moment, start=export_id, options=options)
        run = lane.recover(export_id, failed, options)

        assert run.state is RunState.COMPLETED, run.error
        assert run.retry_of == failed.id
        assert run.reconciled is True
        assert run.counts.accepted == len(export.ON_THE_LIST)
        assert constant_contact.members(list_id) == export.ON_THE_LIST
        assert set(export.sent(constant_contact, list_id).values()) == {2}
        assert len(export.rejects(lane.app, run)) == 3  # header, refused, unsubscribed
        assert export.remembered(lane.app, export_id) == len(export.ON_THE_LIST) + 1
        assert not lane.staged(run)
        assert not lane.staged(failed)
        lane.forget(export_id, list_id)
        return met

    covered = enumerate_points([lane], 41, survive)

    figure(f"crashes: killed at {covered} points, a retry ended as if nothing had happened")
    assert covered
