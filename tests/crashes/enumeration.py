"""Every point at which an instance can die: just before and just after each outgoing call."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from tests.crashes.instances import Instances
from tests.crashes.worker import Moment

Point = tuple[int, Moment]

EVERY_POINT = "EVERY_POINT" in os.environ
"""Set by ``make crashes``; ``make test`` takes a sample that is always the same."""


def points(stride: int) -> Iterator[Point]:
    """Yield the points to die at, endlessly: all of them, or every *stride*-th.

    An odd *stride* comes to both moments in turn.
    """
    moments: tuple[Moment, ...] = ("before", "after")
    every = ((number, moment) for number in itertools.count(1) for moment in moments)
    return itertools.islice(every, 0, None, 1 if EVERY_POINT else stride)


def enumerate_points(
    lanes: list[Instances], stride: int, survive: Callable[[Instances, int, Moment], bool]
) -> int:
    """Die at every point, and see what *survive* makes of it, until it says that none was met.

    Returns:
        How many points were covered.
    """
    turn = threading.Lock()
    ahead = points(stride)
    covered: list[Point] = []
    over = threading.Event()

    def walk(lane: Instances) -> None:
        while not over.is_set():
            with turn:
                number, moment = next(ahead)
            try:
                met = survive(lane, number, moment)
            except BaseException as error:
                over.set()
                error.add_note(f"killed {moment} call {number}")
                raise
            if not met:
                over.set()
            else:
                covered.append((number, moment))

    with ThreadPoolExecutor(len(lanes)) as pool:
        for walked in [pool.submit(walk, lane) for lane in lanes]:
            walked.result()
    return len(covered)
