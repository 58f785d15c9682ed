"""The calls Constant Contact allows the API key, shared by everything that calls.

Every request takes a slot in one document first, by compare-and-swap, and waits for the slot's
time. So no number of instances, connections or people at the console exceeds the limits, which
belong to the key: https://developer.constantcontact.com/api_guide/rate_limits.html
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from shared.constant_contact.answers import next_midnight
from shared.errors import (
    DocumentChanged,
    DocumentUnreadable,
    NotFound,
    QuotaExceeded,
    RateLimited,
)

if TYPE_CHECKING:
    from shared.storage.documents import Documents

MARGIN = 1.04
"""Slots are spaced by so much more than the rate: at exactly 250 ms, calls that arrive a little
early draw 429s."""

TOKEN_SPACING = timedelta(seconds=1.2)
"""The token endpoint takes one request a second; what is late for one of a pair must not matter."""

LOOK_UP_RESERVE = 0.02
"""The share of the day that is left to runs: look-ups wait for the next day before that."""

LONGEST_QUEUE = timedelta(minutes=2)
"""A slot further away than this is not waited for in place."""

LONGEST_PAUSE = timedelta(minutes=1)
_MIDNIGHT_DOUBT = timedelta(minutes=1)


class Purpose(StrEnum):
    """What a call is for."""

    RUN = "run"
    LOOK_UP = "look_up"
    TOKEN = "token"  # noqa: S105 - not a password


@dataclass(frozen=True)
class Usage:
    """The day's calls so far."""

    used: int
    limit: int
    resets_at: datetime


class Tally(BaseModel):
    """What is taken, kept in ``budget/<digest of the API key>.json``.

    Attributes:
        day: The UTC day that *used* counts calls of.
        next_at: The earliest time of the next slot.
        next_token_at: The same for token requests.
        exhausted_until: Set when Constant Contact itself said the quota is used up.
        turn: Differs in every write. Two workers who take the same slot would otherwise write
            the same document, and the slower one would take it for its own.
    """

    model_config = ConfigDict(frozen=True)

    day: date
    used: int = 0
    next_at: AwareDatetime
    next_token_at: AwareDatetime
    exhausted_until: AwareDatetime | None = None
    turn: str = ""


@dataclass(frozen=True)
class Limits:
    """What the API key may do."""

    per_second: float
    per_day: int

    @property
    def spacing(self) -> timedelta:
        """Time between the starts of two calls."""
        return timedelta(seconds=MARGIN / self.per_second)

    def of(self, purpose: Purpose) -> int:
        """Calls of a day that *purpose* may use up to."""
        reserve = round(self.per_day * LOOK_UP_RESERVE) if purpose is Purpose.LOOK_UP else 0
        return self.per_day - reserve


def open_tally(now: datetime) -> Tally:
    """Return the tally of a key that has not been used."""
    return Tally(day=now.astimezone(UTC).date(), next_at=now, next_token_at=now)


def reserve(
    tally: Tally, purpose: Purpose, limits: Limits, now: datetime, *, unused: int = 0
) -> tuple[Tally, datetime]:
    """Return the tally with one more call, and the time that call may start.

    Args:
        unused: Slots taken before that were not used, so that the day gets them back.

    Raises:
        QuotaExceeded: The day has no call left for *purpose*.
        RateLimited: So many calls wait that this one had better come back later.
    """
    slot = max(now, tally.next_at)
    if purpose is Purpose.TOKEN:
        slot = max(slot, tally.next_token_at)
    if slot - now > LONGEST_QUEUE:
        raise RateLimited(
            "Too many calls to Constant Contact are waiting.",
            retry_after=(slot - now).total_seconds(),
        )
    day = max(tally.day, slot.astimezone(UTC).date())
    used = max(0, tally.used - unused) if day == tally.day else 0
    exhausted = tally.exhausted_until
    if exhausted and slot < exhausted:
        raise QuotaExceeded("The day's calls to Constant Contact are used up.", until=exhausted)
    if used >= limits.of(purpose):
        raise QuotaExceeded(
            "The day's calls to Constant Contact are used up."
            if used >= limits.per_day
            else "The last calls of the day are left to running exports.",
            until=next_midnight(slot),
        )
    taken = Tally(
        day=day,
        used=used + 1,
        next_at=slot + limits.spacing,
        next_token_at=slot + TOKEN_SPACING if purpose is Purpose.TOKEN else tally.next_token_at,
        turn=secrets.token_hex(8),
    )
    return taken, slot


class Budget:
    """Slots of one API key.

    Args:
        key: The OAuth client id, which Constant Contact calls the API key.
    """

    def __init__(
        self,
        documents: Documents,
        key: str,
        limits: Limits,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._documents = documents
        self._path = f"budget/{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
        self._limits = limits
        self._now = now
        self._sleep = sleep
        self._lock = threading.Lock()
        self._known: tuple[Tally, str] | None = None

    def take(self, purpose: Purpose, *, unused: int = 0) -> datetime:
        """Take the next slot, wait for its time, and return that.

        Args:
            unused: Slots taken before that were not used, so that the day gets them back.

        Raises:
            QuotaExceeded: The day is used up; for look-ups, nearly.
            RateLimited: The queue for slots is longer than two minutes.
        """
        slot: list[datetime] = []

        def taken(tally: Tally) -> Tally:
            reserved, at = reserve(tally, purpose, self._limits, self._now(), unused=unused)
            slot[:] = [at]
            return reserved

        self._change(taken)
        while (seconds := (slot[0] - self._now()).total_seconds()) > 0:
            self._sleep(seconds)
        return slot[0]

    def pause(self, seconds: float) -> None:
        """Let nobody call for *seconds*, up to a minute: Constant Contact said ``throttled``."""
        pause = min(timedelta(seconds=seconds), LONGEST_PAUSE)

        def paused(tally: Tally) -> Tally:
            until = max(tally.next_at, self._now() + pause)
            return tally.model_copy(update={"next_at": until, "turn": secrets.token_hex(8)})

        self._change(paused)

    def exhausted(self) -> datetime:
        """Let nobody call until the quota starts anew, and return when: the server said so.

        In the first minute of a day the server's may not have ended, so that is waited for only.
        """
        now = self._now()
        midnight = next_midnight(now)
        began = midnight - timedelta(days=1)
        until = began + _MIDNIGHT_DOUBT if now < began + _MIDNIGHT_DOUBT else midnight

        def closed(tally: Tally) -> Tally:
            return tally.model_copy(update={"exhausted_until": until, "turn": secrets.token_hex(8)})

        self._change(closed)
        return until

    def today(self) -> Usage:
        """Return the day's use."""
        tally, _ = self._read()
        now = self._now()
        used = tally.used if tally.day >= now.astimezone(UTC).date() else 0
        if tally.exhausted_until and now < tally.exhausted_until:
            used = max(used, self._limits.per_day)
        return Usage(used, self._limits.per_day, next_midnight(now))

    def _change(self, change: Callable[[Tally], Tally]) -> None:
        """Apply *change* to the tally as it is, again whenever another worker was faster.

        What this process wrote last is tried first, which saves a read while it is alone.
        """
        with self._lock:
            known, self._known = self._known, None
            while True:
                tally, etag = known or self._read()
                try:
                    changed = change(tally)
                except (QuotaExceeded, RateLimited):
                    if known is None:
                        raise
                    known = None
                    continue
                known = None
                try:
                    self._known = changed, self._write(changed, etag)
                except DocumentChanged:
                    continue
                return

    def _read(self) -> tuple[Tally, str]:
        try:
            stored = self._documents.read(self._path)
        except NotFound:
            return open_tally(self._now()), ""
        try:
            return Tally.model_validate_json(stored.content), stored.etag
        except ValidationError:
            raise DocumentUnreadable(self._path) from None

    def _write(self, tally: Tally, etag: str) -> str:
        content = tally.model_dump_json().encode()
        if not etag:
            return self._documents.create(self._path, content)
        return self._documents.replace(self._path, content, etag)
