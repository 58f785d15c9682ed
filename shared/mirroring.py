"""Mirror: who left the segment leaves the list, in stages that are each confirmed.

Imports return no ids and membership calls take no addresses, so lists are used as sets: all that
is imported also goes to a temporary list *keep*; what is on the target and not on *keep* is
*stale*. Where few have left a short list, its members are read and compared with the memory
instead. Nothing is removed before every import has completed, the counts add up and the guard
agrees; who has unsubscribed is never touched. Operations on sets can be repeated, so that an
answer that was lost is asked for again, once nothing of ours can be under way any more.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import pyarrow as pa

from shared.constant_contact.answers import Activity, ContactList
from shared.constant_contact.client import Client
from shared.contacts.addresses import judged
from shared.contacts.memory import Marks, Memory, leavers
from shared.errors import AnswerLost, ExportError, MirrorStopped, RequestRefused
from shared.exports import Export
from shared.guard import find_removal_concern
from shared.ids import RUN_ID
from shared.ledger import Ledger, Turn
from shared.remembering import Remembering
from shared.runs import Mirror, Mirrored, Route, Run, RunState, Stage
from shared.verdicts import LONGEST_ACTIVITY
from shared.waits import may_be_under_way

MAX_ACCOUNT_LISTS = 1_000
MAX_DELETED_LISTS = 100
CONTACTS_PER_CALL = 500
COMPARING_CALLS = 11
"""Two lists made, three operations that are each looked at once, three counts."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outlook:
    """What is known of a list before it is mirrored.

    Attributes:
        members: By Constant Contact's count.
        leaving: How many the memory knows to have left; None where it cannot tell.
        unsent: People who are in its segments and are not sent; they may be on it and stay.
    """

    list_id: str
    members: int
    leaving: int | None
    unsent: int


def look_ahead(run: Run, memory: Memory, *, tells: bool) -> list[Outlook]:
    """Return what is known of the lists of *run*, whose people have gone by *memory*.

    Args:
        tells: Whether whoever is in the memory and not in the segments is all that has left.
    """
    found = []
    for check in run.lists:
        segments = segments_of(run.export, check.list_id)
        left = Marks.joined(memory.left(n) for n in segments) if tells else Marks.none()
        gone = leavers(left, chain(*(memory.everybody(n) for n in segments)))
        unsent = sum(memory.count_unsent(n) for n in segments)
        # Who was never accepted may not be on it: no more leave than are there.
        most = len(gone) if check.before is None else min(len(gone), check.before)
        leaving = most if tells else None
        found.append(Outlook(check.list_id, check.before or 0, leaving, unsent))
    return found


def choose(lists: Sequence[Outlook], people: int, sent: int, everybody: int) -> Mirror:
    """Return the cheapest way to find who has left.

    Args:
        people: How many are on the lists afterwards.
        sent: Import files of this run as it is; *everybody*: of a run that sends everybody.
    """
    known = all(each.leaving is not None for each in lists)
    left = sum(each.leaving or 0 for each in lists)
    if known and not left:
        return Mirror(route=Route.NOBODY, why="Nobody has left since the last run.")
    targets = tuple(Mirrored(list_id=each.list_id, leaving=each.leaving) for each in lists)
    comparing = sum(_comparing_calls(each, people) for each in lists)
    reading = sum(_reading_calls(each) for each in lists)
    by_lists, by_members = everybody + comparing, sent + reading
    if known and by_members <= by_lists:
        why = f"{left} have left; reading the list takes {by_members} calls, "
        why += f"comparing lists {by_lists}."
        return Mirror(route=Route.MEMBERS, why=why, lists=targets, calls=reading)
    if known:
        why = f"{left} have left; comparing lists takes {by_lists} calls, reading {by_members}."
    else:
        why = "Nothing tells who has left, so the list is compared as a whole."
    return Mirror(route=Route.LISTS, why=why, lists=targets, calls=comparing)


def _comparing_calls(outlook: Outlook, people: int) -> int:
    """Return the calls of the route by lists, if each operation has ended when looked at."""
    leaving = outlook.leaving
    if leaving is None:  # somebody may have, if anybody is on it
        leaving = min(outlook.members, max(1, outlook.members - people))
    if not leaving:
        return COMPARING_CALLS
    sparing = 1  # a count: has anybody unsubscribed?
    if outlook.unsent:
        sparing += _pages(leaving) + _operations(_pages(outlook.unsent))
    return COMPARING_CALLS + sparing + _operations(1)


def _reading_calls(outlook: Outlook) -> int:
    """Return the calls of the route by members."""
    return max(1, _pages(outlook.members)) + _operations(_pages(outlook.leaving or 0))


def _operations(number: int) -> int:
    return 2 * number  # each is looked at once


def _pages(people: int) -> int:
    return -(-people // CONTACTS_PER_CALL)


def segments_of(export: Export, list_id: str) -> list[int]:
    """Return which of the export's segments go to a list."""
    return [n for n, target in enumerate(export.segments) if list_id in target.list_ids]


@dataclass(frozen=True)
class Mirroring:
    """Carries a run through its removals."""

    ledger: Ledger
    remembering: Remembering

    def open_lists(self, turn: Turn, client: Client) -> None:
        """Make the temporary lists before anything is sent, and clear those of dead runs.

        Raises:
            RequestRefused: The account has no room for them.
        """
        mirror = turn.run.mirror
        if mirror is None or mirror.route is not Route.LISTS or mirror.lists[-1].stale_id:
            return
        present = client.lists(counts=False)
        leftovers = [found.id for found in present if is_leftover(found.name, turn.run)]
        if leftovers:
            client.delete_lists(leftovers[:MAX_DELETED_LISTS])
        if len(present) - len(leftovers) + 2 * len(mirror.lists) > MAX_ACCOUNT_LISTS:
            raise RequestRefused(
                f"The account has {len(present)} lists; mirroring needs two more for each list, "
                f"and {MAX_ACCOUNT_LISTS} are allowed.",
                status=409,
                action="Delete lists that are not used any more, then start the run again.",
            )
        for number in range(len(mirror.lists)):
            keep = _made(client, present, list_name(turn.run, "keep", number))
            stale = _made(client, present, list_name(turn.run, "stale", number))
            turn.note(partial(_opened, number=number, keep_id=keep, stale_id=stale))

    def carry_on(self, turn: Turn, client: Client) -> bool:
        """Go through the stages as far as they go; return whether there is nothing to wait for.

        The run is held where more would be removed than the guard lets pass.

        Raises:
            MirrorStopped: An operation failed or the counts do not add up; nobody more is removed.
        """
        by_lists = _mirror(turn.run).route is Route.LISTS
        for number in range(len(_mirror(turn.run).lists)):
            work = (_ByLists if by_lists else _ByMembers)(turn, client, self, number)
            while work.mirrored.stage is not Stage.CLEARED:
                if not work.advance():
                    return False
                if turn.run.state is RunState.HELD:
                    return True
        return True

    def clear(self, turn: Turn, client: Client) -> None:
        """Delete the temporary lists of a run that ends before its time."""
        mirror = turn.run.mirror
        made = [m for m in mirror.lists if m.stage is not Stage.CLEARED] if mirror else []
        ids = [list_id for m in made for list_id in (m.keep_id, m.stale_id) if list_id]
        for start in range(0, len(ids), MAX_DELETED_LISTS):
            client.delete_lists(ids[start : start + MAX_DELETED_LISTS])

    def marks(self, addresses: Sequence[str]) -> Marks:
        """Return the marks of addresses as Constant Contact spells them."""
        keys = judged(pa.array(addresses, pa.string())).keys
        return Marks.of(keys, keys, self.remembering.secret())


class _Work:
    """The mirroring of one list: what both routes have in common."""

    def __init__(self, turn: Turn, client: Client, mirroring: Mirroring, number: int) -> None:
        self._turn = turn
        self._client = client
        self._ledger = mirroring.ledger
        self._remembering = mirroring.remembering
        self._marks = mirroring.marks
        self._number = number
        self._ids_name = f"people-{number}.json"
        self._target = self.mirrored.list_id
        self._segments = segments_of(turn.run.export, self._target)

    @property
    def mirrored(self) -> Mirrored:
        return _mirror(self._turn.run).lists[self._number]

    @property
    def _steps(self) -> Mapping[Stage, Callable[[], bool]]:
        """What is done at each stage; each returns whether it is done and confirmed."""
        raise NotImplementedError

    def advance(self) -> bool:
        """Do the next thing; return whether it is done and confirmed."""
        return self._steps[self.mirrored.stage]()

    def _agree(self) -> bool:
        """Go on to the removal, or hold the run for a person where the guard does not agree."""
        run = self._turn.run
        leaving, agreed = self.mirrored.leaving or 0, self.mirrored.agreed
        before = next((each.before for each in run.lists if each.list_id == self._target), None)
        concern = find_removal_concern(run.export.guard, leaving, before or 0)
        if concern is None or (agreed is not None and leaving <= agreed):
            return self._note(stage=Stage.AGREED)
        self._turn.note(lambda run: run.held([concern], self._turn.now()))
        return True

    def _keep_ids(self, list_id: str, chosen: Callable[[Marks, Any], Any]) -> int:
        """Note the ids of members that are *chosen* by their marks and whether they opted out."""
        ids: list[str] = []
        for page in self._client.members(list_id):
            marks = self._marks([member.address for member in page])
            off = pa.array([member.unsubscribed for member in page]).to_numpy(zero_copy_only=False)
            flags = chosen(marks, off)
            ids += [member.id for member, flag in zip(page, flags, strict=True) if flag]
        self._ledger.stage(self._turn.run.key, self._ids_name, json.dumps(ids).encode())
        return len(ids)

    def _remove_kept_ids(self, list_id: str) -> bool:
        """Remove those whose ids are kept, 500 at a time, each confirmed before the next."""
        ids = json.loads(self._ledger.staged(self._turn.run.key, self._ids_name))
        while piece := ids[self.mirrored.chunk * CONTACTS_PER_CALL :][:CONTACTS_PER_CALL]:
            if not self._operate(
                partial(self._client.remove_contacts, piece, [list_id]),
                removed=len(piece) if list_id == self._target else 0,
                chunk=self.mirrored.chunk + 1,
            ):
                return False
        return True

    def _operate(self, call: Callable[[], Activity], *, removed: int = 0, **then: Any) -> bool:
        """Have an operation done; return True once it is confirmed, and note what comes next.

        Args:
            removed: How many people the operation takes off the list that is mirrored.
        """
        mirrored, now = self.mirrored, self._turn.now()
        if mirrored.activity_id is None:
            if mirrored.calling and self._may_take_effect():
                return False
            self._note(calling=True, called_at=now)
            try:
                activity = call()
            except AnswerLost:
                raise
            except ExportError:
                self._note(calling=False)  # it was not received
                raise
            self._note(activity_id=activity.id)
            return False
        found = self._client.activity(mirrored.activity_id)
        if found is None or (found.ended and not found.succeeded):
            raise MirrorStopped("Constant Contact did not carry out a change of the lists.")
        if not found.ended:
            self._require_time_left()
            return False

        def confirmed(run: Run) -> Run:
            counts = run.counts.having(removed=run.counts.removed + removed)
            changed = _changed(run, self._number, calling=False, activity_id=None, **then)
            return changed.having(counts=counts)

        self._turn.note(confirmed)
        return True

    def _may_take_effect(self) -> bool:
        """Say whether an operation whose answer was lost may still do so."""
        self._require_time_left()
        if may_be_under_way(self.mirrored.called_at, self._turn.now()):
            return True
        return any(not a.ended and a.file_name is None for a in self._client.activities())

    def _require_time_left(self) -> None:
        called_at = self.mirrored.called_at
        if called_at and self._turn.now() - called_at > LONGEST_ACTIVITY:
            raise MirrorStopped("Constant Contact did not end a change of the lists within a day.")

    def _note(self, **changes: Any) -> bool:
        self._turn.note(lambda run: _changed(run, self._number, **changes))
        return True


class _ByMembers(_Work):
    """Reads the list and removes those on it of whom the memory knows that they have left."""

    @property
    def _steps(self) -> Mapping[Stage, Callable[[], bool]]:
        return {
            Stage.WAITING: self._find_leavers,
            Stage.SPARED: self._agree,
            Stage.AGREED: self._remove,
            Stage.REMOVED: partial(self._note, stage=Stage.CLEARED),
        }

    def _find_leavers(self) -> bool:
        gone = self._remembering.gone(self._turn.run, self._segments)
        count = self._keep_ids(self._target, lambda marks, off: (gone.find(marks) >= 0) & ~off)
        return self._note(stage=Stage.SPARED, leaving=count)

    def _remove(self) -> bool:
        return self._remove_kept_ids(self._target) and self._note(stage=Stage.REMOVED, chunk=0)


class _ByLists(_Work):
    """Takes *keep*, all that were imported, off *stale*, all that are on the list."""

    @property
    def _steps(self) -> Mapping[Stage, Callable[[], bool]]:
        return {
            Stage.WAITING: self._copy,
            Stage.COPIED: self._subtract,
            Stage.SUBTRACTED: self._count_stale,
            Stage.COUNTED: self._spare,
            Stage.SPARED: self._agree,
            Stage.AGREED: self._remove,
            Stage.REMOVED: self._clear,
        }

    @property
    def _keep(self) -> str:
        return self.mirrored.keep_id or ""

    @property
    def _stale(self) -> str:
        return self.mirrored.stale_id or ""

    def _copy(self) -> bool:
        call = partial(self._client.add_memberships, [self._target], [self._stale])
        return self._operate(call, stage=Stage.COPIED)

    def _subtract(self) -> bool:
        call = partial(self._client.remove_memberships, [self._keep], [self._stale])
        return self._operate(call, stage=Stage.SUBTRACTED)

    def _count_stale(self) -> bool:
        """Stop unless *keep* holds whoever was accepted, and *stale* only who is not on it.

        Who has unsubscribed may be on the list and on neither of the two.
        """
        keep, stale, members = map(self._count, (self._keep, self._stale, self._target))
        accepted = [0] * len(self._turn.run.export.segments)
        for batch in self._turn.run.batches:
            if self._target in batch.list_ids:
                accepted[batch.segment] += batch.accepted
        if not max(accepted) <= keep <= sum(accepted):
            raise MirrorStopped(
                f"Of {sum(accepted)} people who were accepted, {keep} are on the list that "
                "they are compared by."
            )
        if stale > members - keep:
            raise MirrorStopped(
                f"{stale} people would leave the list, though {keep} of its {members} members "
                "were just sent."
            )
        return self._note(stage=Stage.COUNTED, leaving=stale)

    def _spare(self) -> bool:
        """Take those off *stale* who are in the segment or are never touched."""
        key = self._turn.run.key
        if self.mirrored.leaving and self._has_to_spare(self.mirrored.leaving):
            if not self._ledger.is_staged(key, self._ids_name):
                spared = self._remembering.spared(self._turn.run, self._segments)
                self._keep_ids(self._stale, lambda marks, off: (spared.find(marks) >= 0) | off)
            if not self._remove_kept_ids(self._stale):
                return False
            self._note(leaving=self._count(self._stale))
        return self._note(stage=Stage.SPARED, chunk=0)

    def _has_to_spare(self, leaving: int) -> bool:
        """Say whether somebody on *stale* may be in the segment, or has unsubscribed."""
        run = self._turn.run
        unsent = any(len(self._remembering.read(run, n, "unsent")) for n in self._segments)
        if run.counts.refused or run.counts.suppressed or unsent:
            return True
        return self._count(self._stale, active=True) < leaving

    def _remove(self) -> bool:
        if not self.mirrored.leaving:
            return self._note(stage=Stage.REMOVED)
        call = partial(self._client.remove_memberships, [self._stale], [self._target])
        return self._operate(call, removed=self.mirrored.leaving, stage=Stage.REMOVED)

    def _clear(self) -> bool:
        """Delete the temporary lists; what stays is deleted before the next comparison."""
        try:
            call = partial(self._client.delete_lists, [self._keep, self._stale])
            return self._operate(call, stage=Stage.CLEARED)
        except (MirrorStopped, RequestRefused) as error:
            log.warning("temporary lists stay for now: %s", error.code)
            return self._note(stage=Stage.CLEARED, calling=False, activity_id=None)

    def _count(self, list_id: str, *, active: bool = False) -> int:
        found = self._client.contact_list(list_id, count=True, active=active)
        if found is None or found.count is None:
            raise MirrorStopped("A list that the comparison needs is gone.")
        return found.count


def list_name(run: Run, kind: str, number: int) -> str:
    """Return the name of a temporary list, by which it is recognised as ours."""
    return f"mirror {run.export_id} {run.id} {kind} {number}"


def is_leftover(name: str, run: Run) -> bool:
    """Say whether *name* is of a temporary list of another run of the same export."""
    pattern = rf"mirror {re.escape(run.export_id)} ({RUN_ID}) (?:keep|stale) \d+"
    found = re.fullmatch(pattern, name)
    return found is not None and found.group(1) != run.id


def _made(client: Client, present: Sequence[ContactList], name: str) -> str:
    """Return the id of the list called *name*, made if an earlier try has not."""
    found = next((each for each in present if each.name == name), None)
    return (found or client.create_list(name)).id


def _mirror(run: Run) -> Mirror:
    if run.mirror is None:
        raise MirrorStopped("The run mirrors nothing.")
    return run.mirror


def _opened(run: Run, *, number: int, keep_id: str, stale_id: str) -> Run:
    """Return *run* with a list's temporary lists, and what goes to it going to *keep* too."""
    run = _changed(run, number, keep_id=keep_id, stale_id=stale_id)
    target = _mirror(run).lists[number].list_id
    return run.having(
        batches=tuple(
            batch.having(list_ids=(*batch.list_ids, keep_id))
            if target in batch.list_ids and keep_id not in batch.list_ids
            else batch
            for batch in run.batches
        )
    )


def _changed(run: Run, number: int, **changes: Any) -> Run:
    mirror = _mirror(run)
    lists = list(mirror.lists)
    lists[number] = lists[number].having(**changes)
    return run.having(mirror=mirror.having(lists=tuple(lists)))
