"""What can go wrong, grouped by what happens next.

ExportError
├── TransientError           the step waits and goes on; nobody needs to act
│   ├── RateLimited          too many calls this second
│   ├── QuotaExceeded        the day's calls are used up; on after 00:00 UTC
│   ├── ActivityQueueFull    1,000 activities are waiting at Constant Contact
│   ├── ServiceUnavailable   5xx, no connection: the request had no effect
│   ├── AnswerLost           the request may have taken effect: look before repeating
│   ├── DocumentChanged      another worker was faster: read again
│   ├── SegmentIncomplete    the newest snapshot is still being written
│   ├── Busy                 another worker holds the lease
│   └── Overtaken            another worker has carried the run on: stop
├── TerminalError            the run is closed as failed and a person is told what to do
│   ├── SettingInvalid       a setting is missing or malformed
│   ├── AccessRefused        the app's identity lacks a role on storage or vault
│   ├── DocumentGone         the export, or what the run had staged, is not there any more
│   ├── DocumentUnreadable   a document is not what this version of the app writes
│   ├── TroublePersists      what should have passed went on for a day
│   ├── ReconnectRequired    a person must approve the connection again
│   │   └── NoRefreshToken   what a consent gave would end within a day
│   ├── MirrorStopped        the numbers do not allow removing anybody
│   ├── RequestRefused       Constant Contact will not take this request
│   └── SegmentError         the segment cannot be read as it is
│       ├── SegmentAbsent    there is no snapshot at all: absent is never empty
│       ├── SnapshotChanged  a file changed while it was read: a fresh run takes the new one
│       └── SnapshotInvalid  a file breaks its own format; names the file and the position
│           └── ColumnMissing a mapped column is gone
├── NotFound                 no such document
├── Forbidden                the signed-in person may not do this
│   ├── AdministratorsOnly   the connection is not theirs to use
│   └── OtherPersonNeeded    who started the run may not approve it
├── Conflict                 the document is not in a state for this
│   ├── IdTaken              there is a document of this id already
│   ├── NotConnected         the export's connection needs an administrator
│   ├── ExportDisabled       the export is switched off
│   ├── MirroredTwice        another export mirrors a list of this one
│   ├── RunActive            a run of the export is under way
│   ├── RunEnded             the run has ended
│   ├── NotHeld              the run does not wait for approval
│   ├── NothingPrepared      the held run has nothing to send
│   ├── NothingToRetry       the run has no failed batches
│   ├── RetrySuperseded      a newer run has taken the place of the failed one
│   ├── RetryExpired         the files of the failed batches are gone
│   ├── RetryOutdated        they were for lists that are no longer the export's
│   ├── TransitionRefused    the run cannot come from its state into that one
│   ├── SignInLost           Constant Contact's answer to a sign-in got lost
│   ├── ConsentDenied        the person did not give Constant Contact's permission
│   ├── OtherAccount         consent was given for another account than before
│   └── AccountUnknown       nobody can tell whether it is the account from before
└── Invalid                  what a caller sent is wrong; carries every fault at once

A bad row is not an exception: it is a reject, and the run goes on.
Every error has a stable ``code``, a sentence for a marketer and what to do next; none
carries an address, a name, a token or an answer's body.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from pydantic import ValidationError

MAX_NAME_LENGTH = 100
"""How much of a field's name is repeated: callers may make up any."""


@dataclass(frozen=True)
class Fault:
    """One thing wrong in what a caller sent: where, a stable code, a sentence."""

    field: str
    code: str
    message: str


class ExportError(Exception):
    """Root of this product's errors.

    Attributes:
        code: Stable, for programs.
        action: What a person can do about it, one sentence; empty if nothing is needed.
    """

    code: ClassVar[str] = "error"
    action: str = ""

    def __init__(self, message: str, *, action: str | None = None) -> None:
        super().__init__(message)
        if action is not None:
            self.action = action


class TransientError(ExportError):
    """Passes by itself: wait and go on."""

    code = "try_again"


class RateLimited(TransientError):
    """Constant Contact answered 429 ``throttled``.

    Attributes:
        retry_after: Seconds until a call can succeed; None if the answer does not tell.
    """

    code = "throttled"

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class QuotaExceeded(TransientError):
    """The key's calls for this day are used up.

    Attributes:
        until: When the quota starts anew, 00:00 UTC.
    """

    code = "daily_quota"

    def __init__(self, message: str, *, until: datetime) -> None:
        super().__init__(message)
        self.until = until


class ActivityQueueFull(TransientError):
    """The account has 1,000 activities waiting; slower calls do not help, time does."""

    code = "activity_queue_full"


class ServiceUnavailable(TransientError):
    """The service did not take the request: it had no effect and can be repeated."""

    code = "service_unavailable"


class AnswerLost(TransientError):
    """The request was sent and no usable answer came: it may have taken effect."""

    code = "answer_lost"


class DocumentChanged(TransientError):
    """The document is no longer the one that was read."""

    code = "document_changed"


class SegmentIncomplete(TransientError):
    """The newest snapshot of a segment is not complete yet; older ones are not fallen back to."""

    code = "segment_incomplete"


class Busy(TransientError):
    """Another worker holds the lease on this work."""

    code = "busy"


class Overtaken(TransientError):
    """Another worker has carried the run on; this one stops."""

    code = "overtaken"


class TerminalError(ExportError):
    """Stays until a person acts."""

    code = "failed"


class SettingInvalid(TerminalError):
    """A setting is missing or malformed; the sentence names it."""

    code = "setting_invalid"


class AccessRefused(TerminalError):
    """Azure answered 401 or 403 to the app's own identity."""

    code = "access_refused"
    action = "Give the app's managed identity the roles named in docs/deployment.md."


class DocumentGone(TerminalError):
    """Something that the run needs is not there any more."""

    code = "document_gone"
    action = "Start a new run, if the export is still wanted."

    def __init__(self) -> None:
        super().__init__("The export, or a file that the run had staged, is not there any more.")


class DocumentUnreadable(TerminalError):
    """A document is damaged, or another version of the app wrote it; the sentence names it."""

    code = "document_unreadable"
    action = "Correct the document, or deploy the version of the app that wrote it."

    def __init__(self, path: str) -> None:
        super().__init__(f"The document {path} is not one that this version of the app can read.")


class TroublePersists(TerminalError):
    """Trouble that should have passed went on for a day."""

    code = "trouble_persists"
    action = "Look at the service's status, then retry the run, or start it again."

    def __init__(self, trouble: TransientError) -> None:
        super().__init__(f"{trouble} This went on for a day.")


class ReconnectRequired(TerminalError):
    """The connection's consent or tokens are gone.

    Attributes:
        location: Path of the console's page where an administrator connects it.
    """

    code = "reconnect_required"
    location: ClassVar[str] = "/console/#/connections"
    action = "An administrator has to connect the Constant Contact account again."


class NoRefreshToken(ReconnectRequired):
    """A consent gave no refresh token, so there is nothing to keep a connection with."""

    code = "no_refresh_token"
    action = (
        "Check that the application registered at Constant Contact may have"
        " the scope offline_access, then connect again."
    )

    def __init__(self) -> None:
        super().__init__(
            "Constant Contact gave no refresh token, so the connection would end within a day."
        )


class MirrorStopped(TerminalError):
    """The numbers do not allow removing anybody, or an operation on the lists failed."""

    code = "mirror_stopped"
    action = "Nobody more is removed. Start the run again; if this repeats, tell the operator."


class RequestRefused(TerminalError):
    """Constant Contact answered 4xx.

    Attributes:
        status: The HTTP status.
        request_id: ``x-amzn-RequestId`` of the answer, for the vendor's support.
    """

    code = "request_refused"

    def __init__(
        self,
        message: str,
        *,
        status: int,
        request_id: str | None = None,
        action: str | None = None,
    ) -> None:
        super().__init__(message, action=action)
        self.status = status
        self.request_id = request_id

    def __str__(self) -> str:
        sentence = super().__str__()
        return f"{sentence} Its request id is {self.request_id}." if self.request_id else sentence


class SegmentError(TerminalError):
    """The segment cannot be read as it is."""

    code = "segment_unreadable"


class SegmentAbsent(SegmentError):
    """There is no snapshot of the segment. Absent is never empty: nothing is sent or removed."""

    code = "segment_absent"
    action = "Check that Customer Insights still exports the segment, and under this name."


class SnapshotChanged(SegmentError):
    """A file of the pinned snapshot changed or went away while it was read."""

    code = "snapshot_changed"
    action = "Nothing is needed: the next run takes the new snapshot."


class SnapshotInvalid(SegmentError):
    """A file breaks its own format.

    Attributes:
        file: Blob name.
        position: Where, in words: ``record 12``, ``byte 4096``; empty if it is the whole file.
    """

    code = "snapshot_invalid"

    def __init__(
        self, message: str, *, file: str, position: str = "", action: str | None = None
    ) -> None:
        where = f"{file}, {position}" if position else file
        super().__init__(f"{message} ({where})", action=action)
        self.file = file
        self.position = position


class ColumnMissing(SnapshotInvalid):
    """A mapped column is not there any more, or is there twice."""

    code = "column_missing"


class NotFound(ExportError):
    """There is no such document."""

    code = "not_found"


class Conflict(ExportError):
    """The document is not in a state for this.

    Attributes:
        location: Path of what is in the way; None if there is nothing to show.
    """

    code = "conflict"

    def __init__(
        self, message: str, *, location: str | None = None, action: str | None = None
    ) -> None:
        super().__init__(message, action=action)
        self.location = location


class IdTaken(Conflict):
    """There is a document of this id already."""

    code = "id_taken"


class NotConnected(Conflict):
    """The export's connection is gone, or an administrator has to connect it."""

    code = "not_connected"


class ExportDisabled(Conflict):
    """The export is switched off."""

    code = "export_disabled"


class MirroredTwice(Conflict):
    """Another export mirrors a list of this one: two would undo each other."""

    code = "mirrored_twice"


class RunActive(Conflict):
    """A run of the export is under way."""

    code = "run_active"


class RunEnded(Conflict):
    """The run has ended; nothing more can be done to it."""

    code = "run_ended"


class NotHeld(Conflict):
    """The run does not wait for approval."""

    code = "not_held"


class NothingPrepared(Conflict):
    """The run is held because it could not be prepared: there is nothing to approve."""

    code = "nothing_prepared"


class NothingToRetry(Conflict):
    """There is no such failed run, or none of its batches failed."""

    code = "nothing_to_retry"


class RetrySuperseded(Conflict):
    """A newer run has taken the place of the failed one: its batches would undo what that did."""

    code = "retry_superseded"


class RetryExpired(Conflict):
    """What the failed batches held is deleted."""

    code = "retry_expired"


class RetryOutdated(Conflict):
    """The failed batches were for lists or a connection that are no longer the export's."""

    code = "retry_outdated"


class TransitionRefused(Conflict):
    """The table of states has no such transition."""

    code = "transition_refused"


class SignInLost(Conflict):
    """The answer to an authorization got lost; its code cannot be used again."""

    code = "sign_in_lost"


class ConsentDenied(Conflict):
    """The person did not allow it at Constant Contact."""

    code = "consent_denied"


class OtherAccount(Conflict):
    """Consent was given for another account than the connection had before."""

    code = "other_account"


class AccountUnknown(Conflict):
    """The account may not be read, now or when it was connected: it may be another one."""

    code = "account_unknown"
    action = "To connect it all the same, ask for the account to be replaced."


class Forbidden(ExportError):
    """The signed-in person may not do this."""

    code = "forbidden"


class AdministratorsOnly(Forbidden):
    """The connection may be used by administrators only."""

    code = "administrators_only"


class OtherPersonNeeded(Forbidden):
    """The export asks for two people: who started a run may not approve it."""

    code = "other_person_needed"


class Invalid(ExportError):
    """What a caller sent is wrong.

    Attributes:
        faults: Every fault, not only the first.
    """

    code = "invalid"

    def __init__(self, message: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__(message)
        self.faults = tuple(faults)


def faults_of(error: ValidationError) -> list[Fault]:
    """Return pydantic's findings as faults: field path, code, sentence; no values.

    That a collection is too short because its items are not valid is no finding of its own.
    """
    found = error.errors()
    places = [each["loc"] for each in found]
    return [
        Fault(
            field=".".join(str(part)[:MAX_NAME_LENGTH] for part in each["loc"]),
            code=each["type"],
            message=each["msg"].removeprefix("Value error, "),
        )
        for each in found
        if each["type"] != "too_short"
        or not any(
            len(place) > len(each["loc"]) and place[: len(each["loc"])] == each["loc"]
            for place in places
        )
    ]
