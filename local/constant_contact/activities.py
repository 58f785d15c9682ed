"""The account's bulk jobs: queued, then carried out when their time has come.

When an activity begins and ends is settled at its creation; what it does happens once its
end has come, and only then does it read as finished.
https://developer.constantcontact.com/api_guide/bulk_activities.html
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from .account import Account, new_id
from .answers import queue_full, timestamp
from .faults import Ending
from .imports import ListGone

Work = Callable[["Activity"], Iterator[None]]
FINISHED = ("completed", "cancelled", "failed", "timed_out", "time_out")  # the contract has both
WAITING_SHARE = 0.25  # of an activity's seconds, spent as "initialized"


@dataclass
class Activity:
    """One job. `status` is what the answer's ``status`` says; times are aware, in UTC."""

    activity_id: str
    kind: str
    created_at: datetime
    starts_at: datetime
    ends_at: datetime
    ending: Ending
    work: Work | None  # None once it is done
    status: Callable[[], dict[str, int]]
    source_file_name: str | None = None
    errors: list[str] = field(default_factory=list)
    failed: bool = False

    def state(self, now: datetime) -> str:
        if self.ending.stuck:
            return "initialized"
        if self.work is None:
            return "failed" if self.failed else self.ending.state
        return "initialized" if now < self.starts_at else "processing"

    def is_queued(self, now: datetime) -> bool:
        return self.state(now) in ("initialized", "processing")

    def as_json(self, now: datetime | None = None) -> dict[str, Any]:
        """Return the API's view at *now*, or as it was queued."""
        state = "initialized" if now is None else self.state(now)
        begun = state != "initialized"
        ended = state in FINISHED
        changed = self.ends_at if ended else self.starts_at if begun else self.created_at
        body: dict[str, Any] = {
            "activity_id": self.activity_id,
            "state": state,
            "created_at": timestamp(self.created_at),
            "updated_at": timestamp(changed),
        }
        if begun:
            body["started_at"] = timestamp(self.starts_at)
        if ended:
            body["completed_at"] = timestamp(self.ends_at)
        if self.source_file_name is not None:
            body["source_file_name"] = self.source_file_name
        errors: list[Any] = list(self.errors) if ended else []
        if self.ending.error_objects:
            errors = [{"message": error} for error in errors]
        return body | {
            "percent_done": 100 if ended else self._percent(now) if now and begun else 0,
            "activity_errors": errors,
            "status": self.status() if ended else dict.fromkeys(self.status(), 0),
            "_links": {"self": {"href": f"/v3/activities/{self.activity_id}"}},
        }

    def _percent(self, now: datetime) -> int:
        whole = (self.ends_at - self.starts_at) / timedelta(seconds=1)
        passed = (now - self.starts_at) / timedelta(seconds=1)
        return min(99, int(100 * passed / whole)) if whole else 0


class Activities:
    """Thread-safe; `settle` does whatever is due and may be called from anywhere."""

    def __init__(self, account: Account, clock: Callable[[], datetime]) -> None:
        self._account = account
        self._clock = clock
        self._settling = threading.Lock()
        self._all: dict[str, Activity] = {}
        self._pending: list[Activity] = []
        self._free_at: datetime | None = None
        self.added = threading.Event()

    def post(
        self,
        kind: str,
        work: Work,
        status: Callable[[], dict[str, int]],
        *,
        ending: Ending,
        source_file_name: str | None = None,
    ) -> Activity:
        """Queue a job, or raise the 429 of a full queue."""
        with self._account.lock:
            self.check_room()
            options = self._account.options
            now = self._clock()
            length = timedelta(
                seconds=options.activity_seconds if ending.seconds is None else ending.seconds
            )
            waits = now + WAITING_SHARE * length
            busy = self._free_at if options.serial_activities else None
            starts_at = waits if busy is None else max(waits, busy)
            ends_at = starts_at + (1 - WAITING_SHARE) * length
            if not ending.stuck:
                self._free_at = ends_at
            activity = Activity(
                new_id(), kind, now, starts_at, ends_at, ending, work, status, source_file_name
            )
            self._all[activity.activity_id] = activity
            self._pending.append(activity)
        self.added.set()
        return activity

    def check_room(self) -> None:
        now = self._clock()
        with self._account.lock:
            queued = sum(1 for each in self._pending if each.is_queued(now))
            if queued >= self._account.options.queued_activities:
                raise queue_full()

    def settle(self) -> bool:
        """Carry out what is due, in order; return whether anything is left for later."""
        with self._settling:
            now = self._clock()
            while due := self._next_due(now):
                self._finish(due)
            with self._account.lock:
                return any(not each.ending.stuck for each in self._pending)

    def _next_due(self, now: datetime) -> Activity | None:
        with self._account.lock:
            due = (x for x in self._pending if not x.ending.stuck and x.ends_at <= now)
            return min(due, key=lambda activity: activity.ends_at, default=None)

    def _finish(self, activity: Activity) -> None:
        steps = iter(activity.work(activity)) if activity.work else iter(())
        activity.failed = True  # unless it gets to its end
        try:
            while True:
                with self._account.lock:
                    next(steps)
                time.sleep(0)  # lets a request that waits for the account go first
        except StopIteration:
            activity.failed = False
        except ListGone:
            activity.errors.append("A list does not exist.")
        finally:
            with self._account.lock:
                activity.work = None
                self._pending.remove(activity)

    def find(self, activity_id: str) -> Activity | None:
        """Return the activity, unless it is unknown or older than the records are kept."""
        with self._account.lock:
            found = self._all.get(activity_id)
            return found if found is not None and self._is_kept(found) else None

    def recent(self, state: str | None = None) -> list[Activity]:
        """Return what is on record, newest first."""
        now = self._clock()
        with self._account.lock:
            kept = [each for each in reversed(self._all.values()) if self._is_kept(each)]
            return [each for each in kept if state is None or each.state(now) == state]

    def _is_kept(self, activity: Activity) -> bool:
        age = self._clock() - activity.created_at
        return age <= timedelta(days=self._account.options.activity_days)
