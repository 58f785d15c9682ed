"""How often a key may call: per sliding second, per UTC day, and at the token endpoint.

The limits belong to the key, so every token and account shares them. A refused call does
not lengthen the wait for the next one.
https://developer.constantcontact.com/api_guide/rate_limits.html
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, date, datetime

from .answers import quota_exceeded, throttled
from .options import Options


class SlidingSecond:
    """Times of the calls that were let through in the last second."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._times: deque[float] = deque()

    def note(self) -> None:
        self._times.append(self._monotonic())

    def is_full(self, limit: int) -> bool:
        horizon = self._monotonic() - 1.0
        while self._times and self._times[0] <= horizon:
            self._times.popleft()
        return len(self._times) >= limit


class Limits:
    """Lets a call through, or raises the 429 that says why not."""

    def __init__(
        self, options: Options, clock: Callable[[], datetime], monotonic: Callable[[], float]
    ) -> None:
        self._options = options
        self._clock = clock
        self._lock = threading.Lock()
        self._calls = SlidingSecond(monotonic)
        self._token_requests = SlidingSecond(monotonic)
        self._day: date | None = None
        self._used = 0

    def admit(self) -> None:
        """Count one API call."""
        with self._lock:
            used = self._used_today()
            if used >= self._options.requests_per_day:
                raise quota_exceeded()
            if self._calls.is_full(self._options.requests_per_second):
                if self._options.refused_calls_count:
                    self._used += 1
                raise throttled()
            self._calls.note()
            self._used += 1

    def admit_token_request(self) -> None:
        """Count one request at the token endpoint, which has a limit of its own."""
        with self._lock:
            if self._options.token_requests_count:
                self._used_today()
                self._used += 1
                self._calls.note()
            if self._token_requests.is_full(self._options.token_requests_per_second):
                raise throttled()
            self._token_requests.note()

    @property
    def used_today(self) -> int:
        with self._lock:
            return self._used_today()

    def reset(self) -> None:
        """Start the day anew."""
        with self._lock:
            self._used = 0

    def use(self, calls: int) -> None:
        """Use up *calls* of the day's quota at once."""
        with self._lock:
            self._used = self._used_today() + calls

    def _used_today(self) -> int:
        today = self._clock().astimezone(UTC).date()
        if today != self._day:
            self._day = today
            self._used = 0
        return self._used
