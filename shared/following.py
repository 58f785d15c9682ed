"""Follow: ask about all of a run's activities at once, until each has ended."""

from __future__ import annotations

from datetime import timedelta

from shared.constant_contact.client import Client
from shared.ledger import Turn
from shared.runs import BatchState, Run, counted
from shared.verdicts import judge

LONGEST_POLL = timedelta(seconds=60)


def follow(turn: Turn, client: Client) -> bool:
    """Write down what Constant Contact says; return whether every batch has ended.

    One call answers for all activities of the run; one that is not among the account's newest
    is asked for by its id.
    """
    outstanding = [batch for batch in turn.run.batches if batch.state is BatchState.SENT]
    if outstanding:
        newest = {activity.id: activity for activity in client.activities()}
        judged = {}
        for batch in outstanding:
            activity_id = batch.activity_id or ""
            activity = newest.get(activity_id) or client.activity(activity_id)
            judged[batch.number] = judge(batch, activity, turn.now())

        def change(run: Run) -> Run:
            batches = tuple(judged.get(batch.number, batch) for batch in run.batches)
            return run.having(
                batches=batches, counts=counted(run.counts, batches), polls=run.polls + 1
            )

        turn.note(change)
    return all(batch.ended for batch in turn.run.batches)


def follow_again_in(polls: int, first: timedelta) -> timedelta:
    """Return how long to wait before asking again: *first*, growing to a minute."""
    return min(first * 1.5 ** min(polls, 20), max(first, LONGEST_POLL))
