"""What goes wrong on purpose: answers that refuse, get lost or come late, jobs that fail."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import TypeAdapter

from .answers import Refused, queue_full, quota_exceeded, throttled

HTML = "<html><head><title>502 Bad Gateway</title></head><body>Bad Gateway</body></html>"
Drop = Literal["before", "after"]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What happens to some requests: those that fit *method* and *path*, counted from 1.

    Of these the ones in *nth* are hit (or, with *times*, the first so many; else all).
    A request is answered with *status* and *body* instead of being acted on, or its
    connection is dropped before or after acting, and in any case *delay* seconds late.
    A *body* that is a string goes out as HTML, anything else as JSON.
    """

    path: str = ".*"  # regular expression for the whole path, as in /v3/activities/.*
    method: str | None = None
    nth: tuple[int, ...] = ()
    times: int | None = None
    status: int | None = None
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    drop: Drop | None = None
    delay: float = 0.0

    def hits(self, count: int) -> bool:
        if self.nth:
            return count in self.nth
        return self.times is None or count <= self.times


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How an activity goes: which state it ends in, or that it never begins.

    *seconds* replaces the usual length; *share* of an import's rows are applied, and nothing
    of another activity where it is 0. One that completes leaves it at 1, unless it lies.
    """

    state: str = "completed"
    stuck: bool = False
    share: float = 1.0
    seconds: float | None = None
    error_objects: bool = False


@dataclass
class _Rule:
    fault: Fault
    seen: int = 0
    hits: int = 0

    @property
    def met(self) -> bool:
        return self.hits >= (len(self.fault.nth) or self.fault.times or 1)


@dataclass
class _EndingRule:
    kind: str  # regular expression for the activity's kind, as contacts_file_import
    nth: tuple[int, ...]
    ending: Ending
    seen: int = 0


class Faults:
    """Nothing goes wrong until it is asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[_Rule] = []
        self._endings: list[_EndingRule] = []

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._rules.append(_Rule(fault))

    def answer(self, path: str, error: Refused, **where: Any) -> None:
        """Have requests to *path* answered with *error*; *where* as in `Fault`."""
        self.add(Fault(path=path, status=error.status, body=error.body, **where))

    def throttle(self, path: str = ".*", **where: Any) -> None:
        self.answer(path, throttled(), **where)

    def exceed_quota(self, path: str = ".*", **where: Any) -> None:
        self.answer(path, quota_exceeded(), **where)

    def fill_queue(self, path: str = "/v3/activities/.*", **where: Any) -> None:
        self.answer(path, queue_full(), **where, method="POST")

    def html(self, path: str = ".*", status: int = 502, **where: Any) -> None:
        self.add(Fault(path=path, status=status, body=HTML, **where))

    def drop(self, path: str, when: Drop, **where: Any) -> None:
        """Drop the connection without an answer, before or after the request is acted on."""
        self.add(Fault(path=path, drop=when, **where))

    def end(self, kind: str = ".*", nth: tuple[int, ...] = (), **ending: Any) -> None:
        """Have activities of *kind* go as `Ending` says; without *nth*, all of them."""
        checked = TypeAdapter(Ending).validate_python(ending)
        with self._lock:
            self._endings.append(_EndingRule(kind, nth, checked))

    def clear(self) -> None:
        with self._lock:
            self._rules.clear()
            self._endings.clear()

    def unmet(self) -> list[Fault]:
        """Return the faults that have hit less often than they were to, or not at all."""
        with self._lock:
            return [rule.fault for rule in self._rules if not rule.met]

    def find(self, method: str, path: str) -> Fault | None:
        """Count a request and return the fault that hits it, the oldest rule's first."""
        found: Fault | None = None
        with self._lock:
            for rule in self._rules:
                fault = rule.fault
                if fault.method not in (None, method) or not re.fullmatch(fault.path, path):
                    continue
                rule.seen += 1
                if found is None and fault.hits(rule.seen):
                    found = fault
                    rule.hits += 1
        return found

    def ending(self, kind: str) -> Ending:
        """Count an activity of *kind* and return how it goes."""
        found: Ending | None = None
        with self._lock:
            for rule in self._endings:
                if not re.fullmatch(rule.kind, kind):
                    continue
                rule.seen += 1
                if found is None and (not rule.nth or rule.seen in rule.nth):
                    found = rule.ending
        return found or Ending()
