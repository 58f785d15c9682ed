"""The queue of steps, with the waits that the queue does for us."""

from __future__ import annotations

from datetime import timedelta

from azure.storage.queue import QueueClient

from shared.steps import Step, write_step
from shared.storage.trouble import translated

LONGEST_DELAY = timedelta(days=7)
"""A message can be hidden for at most seven days."""


class StepQueue:
    """Sends steps; the Functions host receives them."""

    def __init__(self, queue: QueueClient) -> None:
        self._queue = queue

    def send(self, step: Step, delay: timedelta = timedelta(0)) -> None:
        """Queue *step*, to be delivered after *delay* and kept until it is."""
        hidden = min(max(delay, timedelta(0)), LONGEST_DELAY)
        with translated("queue"):
            self._queue.send_message(
                write_step(step),
                visibility_timeout=round(hidden.total_seconds()),
                time_to_live=-1,
            )
