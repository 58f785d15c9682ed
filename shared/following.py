"""Follow: ask about all of a run's activities at once, until each has ended."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from shared.constant_contact.client import Client
from shared.ledger import Turn
from shared.runs import BatchState, Run, counted
from shared.verdicts import Imported, judge

MINUTE = timedelta(minutes=1)
LONGEST_POLL = timedelta(minutes=15)


def follow(turn: Turn, client: Client) -> bool:
    """Write down what Constant Contact says; return whether every batch has ended."""
    judged = ask(turn.run.batches, turn, client)
    if judged:

        def change(run: Run) -> Run:
            run = run.with_imports(*judged)
            return run.having(counts=counted(run.counts, run.batches))

        turn.note(change)
    return all(batch.ended for batch in turn.run.batches)


def ask(imports: Iterable[Imported], turn: Turn, client: Client) -> list[Imported]:
    """Return those of *imports* that are under way, each as its activity says it goes.

    All are asked for together; `Client.find_activities` says what that costs.
    """
    outstanding = [each for each in imports if each.state is BatchState.SENT]
    if not outstanding:
        return []
    found = client.find_activities({each.activity_id or "" for each in outstanding})
    return [judge(each, found.get(each.activity_id or ""), turn.now()) for each in outstanding]


def follow_again_in(waited: timedelta, first: timedelta) -> timedelta:
    """Return how long to wait before asking again, after having *waited* so long.

    Half as long again, up to a minute; from ten minutes on a tenth, up to a quarter of an hour:
    some 120 calls for an activity that takes a day, the longest that is waited for.
    """
    return max(first, min(waited / 2, MINUTE), min(waited / 10, LONGEST_POLL))
