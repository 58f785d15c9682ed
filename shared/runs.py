"""The run: one attempt to carry out an export, and the states it goes through."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, NonNegativeInt

from shared.errors import ExportError, ReconnectRequired, TransitionRefused
from shared.exports import Export
from shared.segments.snapshots import Snapshot
from shared.steps import Step, StepKind

PREPARED, SENT = 30, 70
"""A run's progress, in percent, when all is staged and when all is sent."""

KEPT = timedelta(days=7)
"""How long failed batches and held runs keep their staged files at most."""


class RunState(StrEnum):
    """Where a run stands."""

    QUEUED = "queued"
    PREPARING = "preparing"
    HELD = "held"
    SENDING = "sending"
    FOLLOWING = "following"
    REMOVING = "removing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = frozenset({RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED})

_STOPPED = frozenset({RunState.FAILED, RunState.CANCELLED})

TRANSITIONS: Mapping[RunState, frozenset[RunState]] = {
    RunState.QUEUED: frozenset({RunState.PREPARING}) | _STOPPED,
    RunState.PREPARING: frozenset({RunState.HELD, RunState.SENDING, RunState.COMPLETED}) | _STOPPED,
    RunState.HELD: frozenset({RunState.SENDING, RunState.REMOVING}) | _STOPPED,
    RunState.SENDING: frozenset({RunState.FOLLOWING}) | _STOPPED,
    RunState.FOLLOWING: frozenset({RunState.REMOVING, RunState.COMPLETED}) | _STOPPED,
    RunState.REMOVING: frozenset({RunState.HELD, RunState.COMPLETED}) | _STOPPED,
    RunState.COMPLETED: frozenset(),
    RunState.FAILED: frozenset(),
    RunState.CANCELLED: frozenset(),
}

STEP_OF: Mapping[RunState, StepKind] = {
    RunState.QUEUED: StepKind.PREPARE,
    RunState.PREPARING: StepKind.PREPARE,
    RunState.SENDING: StepKind.SEND,
    RunState.FOLLOWING: StepKind.FOLLOW,
    RunState.REMOVING: StepKind.REMOVE,
}
"""Which step carries a run on from a state; a held run waits for a person."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def having(self, **changes: Any) -> Self:
        """Return a copy with *changes*, validated anew."""
        return type(self).model_validate({**dict(self), **changes})


class BatchState(StrEnum):
    """Where a batch stands: ``sending`` is the intent, noted before the call."""

    STAGED = "staged"
    SENDING = "sending"
    SENT = "sent"
    COMPLETED = "completed"
    FAILED = "failed"


class Batch(_Part):
    """One import file of a run.

    Attributes:
        segment: Index into the export's segments.
        file_name: Unique over all runs: by it a lost upload is found in the activity list.
        refused: Rows Constant Contact did not take; *suppressed*: people who had unsubscribed.
        called_at: When its upload was begun; None while it was certainly not received.
        errors: What the activity said, without any value it may have quoted.
        named: Lines of refused rows that the activity named; line 1 is the header.
        found: Lines of refused rows that narrowing has found; None if it has not been done.
    """

    number: NonNegativeInt
    segment: NonNegativeInt = 0
    rows: NonNegativeInt
    bytes: NonNegativeInt
    list_ids: tuple[str, ...]
    file_name: str
    activity_id: str | None = None
    state: BatchState = BatchState.STAGED
    called_at: AwareDatetime | None = None
    sent_at: AwareDatetime | None = None
    accepted: NonNegativeInt = 0
    refused: NonNegativeInt = 0
    suppressed: NonNegativeInt = 0
    verdict: str | None = None
    errors: tuple[str, ...] = ()
    named: tuple[int, ...] = ()
    found: tuple[int, ...] | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will be heard of it."""
        return self.state in {BatchState.COMPLETED, BatchState.FAILED}

    @property
    def reached(self) -> bool:
        """Whether Constant Contact may have received it."""
        return self.called_at is not None or self.activity_id is not None


class Probe(Batch):
    """Some rows of batch *number*, from row *start* on, imported again to see what is refused."""

    start: NonNegativeInt

    @property
    def told(self) -> bool:
        """Whether Constant Contact has accounted for each of its rows."""
        return self.state is BatchState.COMPLETED and self.verdict == "completed"


class Counts(_Part):
    """Contacts by what became of them."""

    read: NonNegativeInt = 0
    missing_email: NonNegativeInt = 0
    invalid: NonNegativeInt = 0
    duplicate: NonNegativeInt = 0
    excluded: NonNegativeInt = 0
    no_consent: NonNegativeInt = 0
    unchanged: NonNegativeInt = 0
    staged: NonNegativeInt = 0
    accepted: NonNegativeInt = 0
    refused: NonNegativeInt = 0
    suppressed: NonNegativeInt = 0
    removed: NonNegativeInt = 0
    shortened_values: NonNegativeInt = 0
    left_out_values: NonNegativeInt = 0

    @property
    def prepared_whole(self) -> bool:
        """Whether every row that was read has exactly one fate."""
        return self.read == (
            self.missing_email
            + self.invalid
            + self.duplicate
            + self.excluded
            + self.no_consent
            + self.unchanged
            + self.staged
        )

    @property
    def sent_whole(self) -> bool:
        """Whether Constant Contact accounted for every row that was staged."""
        return self.staged == self.accepted + self.refused + self.suppressed


class Waiting(_Part):
    """What a run waits for."""

    reason: str
    message: str
    action: str = ""
    since: AwareDatetime
    until: AwareDatetime


class Problem(_Part):
    """Why a run ended or holds: a code for programs, a sentence for people, what to do.

    Attributes:
        location: Path of the page where it can be done, where there is one.
    """

    code: str
    message: str
    action: str = ""
    location: str | None = None

    @classmethod
    def of(cls, error: ExportError) -> Self:
        """Return *error* as a run document says it."""
        location = error.location if isinstance(error, ReconnectRequired) else None
        return cls(code=error.code, message=str(error), action=error.action, location=location)


class Note(_Part):
    """What a reader should know about a run that is no problem: a code and a sentence."""

    code: str
    message: str


class PinnedSnapshot(Snapshot):
    """A snapshot as a run pinned it; *excluded* if its members are to be left out."""

    excluded: bool = False


class ListCheck(_Part):
    """Members of a list before and after, by Constant Contact's own count.

    Attributes:
        accepted: The largest number of people that one segment brought to it.
    """

    list_id: str
    before: NonNegativeInt | None = None
    after: NonNegativeInt | None = None
    accepted: NonNegativeInt = 0

    @property
    def plausible(self) -> bool:
        """Whether everybody who was accepted can be a member; true if nobody counted."""
        return self.after is None or self.after >= self.accepted


class Route(StrEnum):
    """How a mirror finds who has left.

    ``nobody``: the memory shows that nobody has. ``members``: the list is read and compared
    with the memory. ``lists``: everybody is imported to a second list, and what is not on that
    is what has left.
    """

    NOBODY = "nobody"
    MEMBERS = "members"
    LISTS = "lists"


class Stage(StrEnum):
    """How far the mirroring of one list has come; each is confirmed before the next begins."""

    WAITING = "waiting"
    COPIED = "copied"
    SUBTRACTED = "subtracted"
    COUNTED = "counted"
    SPARED = "spared"
    AGREED = "agreed"
    REMOVED = "removed"
    CLEARED = "cleared"


class Mirrored(_Part):
    """A list that the run mirrors.

    Attributes:
        keep_id: Temporary list of all that were imported; *stale_id*: of all who may have left.
        calling: An operation whose intent is noted and whose activity may not be.
        called_at: When that was.
        chunk: Next piece of people to remove, where they are removed by their ids.
        leaving: People to remove, once that is known.
        agreed: So many a person has agreed to, whatever the export's guard says.
    """

    list_id: str
    keep_id: str | None = None
    stale_id: str | None = None
    stage: Stage = Stage.WAITING
    calling: bool = False
    called_at: AwareDatetime | None = None
    activity_id: str | None = None
    chunk: NonNegativeInt = 0
    leaving: NonNegativeInt | None = None
    agreed: NonNegativeInt | None = None


class Mirror(_Part):
    """What a run does about people who left the segment.

    Attributes:
        why: In a sentence, why this route.
        calls: What finding and removing them takes, if each operation ends at once.
    """

    route: Route
    why: str
    lists: tuple[Mirrored, ...] = ()
    calls: NonNegativeInt = 0

    def agreed_to(self) -> Self:
        """Return this with the removals that are shown agreed to; others are asked about again."""
        return self.having(lists=tuple(each.having(agreed=each.leaving) for each in self.lists))

    @property
    def called_at(self) -> datetime | None:
        """When the newest operation on its lists was asked for."""
        return max((each.called_at for each in self.lists if each.called_at), default=None)

    @property
    def done(self) -> bool:
        """Whether everything is removed and cleared away."""
        return all(mirrored.stage is Stage.CLEARED for mirrored in self.lists)


class Plan(_Part):
    """What a run would do, as far as the memory tells; None where nothing tells.

    Attributes:
        moved: People whose address changed; their old one is not counted as leaving.
        leaving: At most so many: of some it is only known that they may be on the list.
        calls: Requests to Constant Contact if each activity has ended when it is first asked
            about; each further look is one more. *quota_percent* is their share of a day's.
        minutes: What they take at the rate of the settings, without Constant Contact's work.
    """

    new: NonNegativeInt | None = None
    changed: NonNegativeInt | None = None
    unchanged: NonNegativeInt = 0
    leaving: NonNegativeInt | None = None
    moved: NonNegativeInt = 0
    calls: NonNegativeInt = 0
    minutes: float = 0
    quota_percent: float = 0


class Audit(_Part):
    """Who did what to the run, and when."""

    what: Literal["started", "approved", "cancelled"]
    who: str
    name: str
    at: AwareDatetime


class Exclusion(_Part):
    """What an excluded segment held: rows that keep somebody out, and *unusable* ones."""

    segment: str
    addresses: NonNegativeInt
    unusable: NonNegativeInt = 0


class Run(_Part):
    """The record of one run, kept in ``runs/<export_id>/<id>/run.json``.

    Times are aware, in UTC; counts are contacts. ``export`` is the order as it was when the run
    started: a change of it counts from the next run on. ``position`` counts the messages that
    have carried the run on: a message behind it is a repeat. ``turns`` counts the workers that
    have taken it up: all but the last have been overtaken. ``phases`` holds seconds by state,
    ``calls`` the requests sent to Constant Contact, ``filled`` the values of each mapped field,
    ``sendable`` the rows of each segment that may be sent, also where another has the address.
    ``last_trouble`` the name of the last fault that nobody foresaw, for operators.
    ``concerns`` is all that holds it, the first of them also its ``error``. Unknown fields are
    refused.
    """

    id: str
    export_id: str
    export: Export
    connection_id: str = ""
    trigger: Literal["refresh", "schedule", "manual", "retry"] = "manual"
    requested_by: str
    state: RunState = RunState.QUEUED
    progress: Annotated[int, Field(ge=0, le=100)] = 0
    position: NonNegativeInt = 0
    turns: NonNegativeInt = 0
    hold: bool = False
    full: bool = False
    two_people: bool = False
    retry_of: str | None = None
    cancel_requested: bool = False
    waiting: Waiting | None = None
    error: Problem | None = None
    concerns: tuple[Problem, ...] = ()
    last_trouble: str | None = None
    snapshots: tuple[PinnedSnapshot, ...] = ()
    counts: Counts = Counts()
    reconciled: bool | None = None
    batches: tuple[Batch, ...] = ()
    probes: tuple[Probe, ...] = ()
    probe_calls: NonNegativeInt = 0
    lists: tuple[ListCheck, ...] = ()
    mirror: Mirror | None = None
    plan: Plan | None = None
    filled: dict[str, int] = Field(default_factory=dict)
    exclusions: tuple[Exclusion, ...] = ()
    sendable: dict[str, int] = Field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    audit: tuple[Audit, ...] = ()
    calls: NonNegativeInt = 0
    phases: dict[str, float] = Field(default_factory=dict)
    created_at: AwareDatetime
    started_at: AwareDatetime | None = None
    entered_at: AwareDatetime
    updated_at: AwareDatetime
    finished_at: AwareDatetime | None = None

    @property
    def key(self) -> str:
        """``<export_id>/<run_id>``, as messages and routes name the run."""
        return f"{self.export_id}/{self.id}"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in ENDED

    @property
    def failing(self) -> bool:
        """Whether it is being closed as failed; its worker may have died over that."""
        return self.error is not None and not self.ended and self.state is not RunState.HELD

    @property
    def begun(self) -> bool:
        """Whether it has come as far as sending."""
        return RunState.SENDING in {self.state, *self.phases}

    @property
    def reached(self) -> bool:
        """Whether anything of it may have changed something at Constant Contact."""
        removing = RunState.REMOVING in {self.state, *self.phases}
        return removing or any(batch.reached for batch in self.batches)

    @property
    def sent(self) -> int:
        """How many batches Constant Contact has received."""
        return sum(batch.activity_id is not None for batch in self.batches)

    @property
    def failed_batches(self) -> tuple[Batch, ...]:
        """The batches that were not carried out; they can be sent again for a while."""
        return tuple(batch for batch in self.batches if batch.state is BatchState.FAILED)

    def moved_to(self, state: RunState, now: datetime) -> Self:
        """Return this run in *state*, or raise `TransitionRefused`."""
        if state not in TRANSITIONS[self.state]:
            raise TransitionRefused(f"A run that is {self.state} cannot become {state}.")
        spent = (now - self.entered_at).total_seconds()
        phases = {**self.phases, self.state: round(self.phases.get(self.state, 0.0) + spent, 3)}
        return self.having(
            state=state,
            phases=phases,
            entered_at=now,
            updated_at=now,
            waiting=None,
            started_at=self.started_at or now,
            finished_at=now if state in ENDED else None,
            progress=100 if state is RunState.COMPLETED else self.progress,
        )

    def held(self, concerns: Sequence[Problem], now: datetime) -> Self:
        """Return this run waiting for a person, with everything that speaks against going on."""
        error = concerns[0] if concerns else None
        return self.moved_to(RunState.HELD, now).having(error=error, concerns=tuple(concerns))

    def approved(self, entry: Audit) -> Self:
        """Return this held run going on where it stopped, what it shows agreed to."""
        removing = RunState.REMOVING in self.phases
        state = RunState.REMOVING if removing else RunState.SENDING
        return self.moved_to(state, entry.at).having(
            audit=(*self.audit, entry),
            position=self.position + 1,
            error=None,
            concerns=(),
            mirror=self.mirror and self.mirror.agreed_to(),
        )

    def progressed(self) -> Self:
        """Return this run with its progress as far as the batches have come."""
        rows = sum(batch.rows for batch in self.batches)
        if not rows or self.state not in {RunState.SENDING, RunState.FOLLOWING}:
            return self
        sent = sum(batch.rows for batch in self.batches if batch.sent_at)
        ended = sum(batch.rows for batch in self.batches if batch.ended)
        share = PREPARED + (SENT - PREPARED) * sent // rows + (99 - SENT) * ended // rows
        return self.having(progress=max(self.progress, share))

    def with_batches(self, change: Callable[[Batch], Batch]) -> Self:
        """Return this run with *change* made to each of its batches."""
        return self.having(batches=tuple(change(batch) for batch in self.batches))

    def with_imports(self, *imports: Batch) -> Self:
        """Return this run with batches in their places, and probes there or as the newest."""
        batches = list(self.batches)
        probes = {probe.file_name: probe for probe in self.probes}
        for each in imports:
            if isinstance(each, Probe):
                probes[each.file_name] = each
            else:
                batches[each.number] = each
        return self.having(batches=tuple(batches), probes=tuple(probes.values()))

    def next_step(self, kind: StepKind) -> Step:
        """Return the message that carries this run on."""
        return Step(run=self.key, step=kind, position=self.position)


def counted(counts: Counts, batches: Iterable[Batch]) -> Counts:
    """Return *counts* with what Constant Contact said of *batches*."""
    batches = tuple(batches)
    return counts.having(
        accepted=sum(batch.accepted for batch in batches),
        refused=sum(batch.refused for batch in batches),
        suppressed=sum(batch.suppressed for batch in batches),
    )
