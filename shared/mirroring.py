"""Mirror: who left the segment leaves the list, in stages that are each confirmed.

Imports return no ids and membership calls take no addresses, so lists are used as sets: all that
is imported also goes to a temporary list *keep*; what is on the target and not on *keep* is
*stale*. Where few have left a short list, its members are read and compared with the memory
instead. Nothing is removed before every import has completed, the counts add up and the guard
agrees. Operations on sets can be repeated, so that an answer that was lost is asked for again,
once nothing of ours can be under way any more.
"""

from __future__ import annotations

import json
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
CONTACTS_PER_CALL = 500
LIST_ROUTE_CALLS = 9
"""Two lists made, three operations, three counts and one deletion."""


def choose(
    export: Export, leaving: Mapping[str, int] | None, members: int, sent: int, everybody: int
) -> Mirror:
    """Return the cheapest way to find who has left.

    Args:
        leaving: How many the memory knows to have left each list; None where it cannot tell.
        members: Of the lists, by Constant Contact's count.
        sent: Import files of this run as it is; *everybody*: of a run that sends everybody.
    """
    known = leaving or {}
    targets = tuple(Mirrored(list_id=each, leaving=known.get(each)) for each in export.list_ids)
    left = sum(known.values())
    if leaving is not None and not left:
        return Mirror(route=Route.NOBODY, why="Nobody has left since the last run.")
    by_lists = everybody + LIST_ROUTE_CALLS * len(targets)
    if leaving is not None:
        by_members = sent + _calls(members) + _calls(left)
        if by_members <= by_lists:
            why = (
                f"{left} have left; reading the list takes {by_members} calls, "
                f"comparing lists {by_lists}."
            )
            return Mirror(route=Route.MEMBERS, why=why, lists=targets)
        why = f"{left} have left; comparing lists takes {by_lists} calls, reading {by_members}."
    else:
        why = "Nothing tells who has left, so the list is compared as a whole."
    return Mirror(route=Route.LISTS, why=why, lists=targets)


def _calls(people: int) -> int:
    return -(-people // CONTACTS_PER_CALL)


def segments_of(export: Export, list_id: str) -> list[int]:
    """Return which of the export's segments go to a list."""
    return [n for n, target in enumerate(export.segments) if list_id in target.list_ids]


def count_left(export: Export, memory: Memory) -> dict[str, int]:
    """Return of each list how many who may be on it are in none of its segments now."""
    counts = {}
    for list_id in export.list_ids:
        segments = segments_of(export, list_id)
        left = Marks.joined(memory.left(n) for n in segments)
        counts[list_id] = len(leavers(left, chain(*(memory.everybody(n) for n in segments))))
    return counts


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
            client.delete_lists(leftovers[:100])
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
        for number in range(len(_mirror(turn.run).lists)):
            work = _Work(turn, client, self, number)
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
        if ids:
            client.delete_lists(ids)

    def marks(self, addresses: Sequence[str]) -> Marks:
        """Return the marks of addresses as Constant Contact spells them."""
        keys = judged(pa.array(addresses, pa.string())).keys
        return Marks.of(keys, keys, self.remembering.secret())


class _Work:
    """The mirroring of one list."""

    def __init__(self, turn: Turn, client: Client, mirroring: Mirroring, number: int) -> None:
        self._turn = turn
        self._export = turn.run.export
        self._client = client
        self._mirroring = mirroring
        self._number = number

    @property
    def mirrored(self) -> Mirrored:
        return _mirror(self._turn.run).lists[self._number]

    def advance(self) -> bool:
        """Do the next thing; return whether it is done and confirmed."""
        mirrored = self.mirrored
        by_lists = _mirror(self._turn.run).route is Route.LISTS
        keep, stale, target = mirrored.keep_id or "", mirrored.stale_id or "", mirrored.list_id
        client = self._client
        match mirrored.stage:
            case Stage.WAITING if by_lists:
                return self._operate(
                    Stage.COPIED, lambda: client.add_memberships([target], [stale])
                )
            case Stage.COPIED:
                return self._operate(
                    Stage.SUBTRACTED, lambda: client.remove_memberships([keep], [stale])
                )
            case Stage.SUBTRACTED:
                self._require_whole(keep)
                self._note(stage=Stage.COUNTED, leaving=self._count(stale))
                return True
            case Stage.COUNTED:
                return self._spare(stale)
            case Stage.SPARED if not mirrored.leaving:
                self._note(stage=Stage.REMOVED)
                return True
            case Stage.SPARED if by_lists:
                return self._operate(
                    Stage.REMOVED, lambda: client.remove_memberships([stale], [target])
                )
            case Stage.REMOVED if by_lists:
                self._count_removed()
                return self._operate(Stage.CLEARED, lambda: client.delete_lists([keep, stale]))
            case Stage.WAITING:
                self._list_leavers()
                return True
            case Stage.SPARED:
                return self._remove_by_id(self._ids(), [target], Stage.REMOVED)
            case _:
                self._count_removed()
                self._note(stage=Stage.CLEARED)
                return True

    def _require_whole(self, keep: str) -> None:
        """Stop unless *keep* holds everybody who was accepted: who is not on it would go."""
        run, target = self._turn.run, self.mirrored.list_id
        accepted = [0] * len(self._export.segments)
        for batch in run.batches:
            if target in batch.list_ids:
                accepted[batch.segment] += batch.accepted
        members = self._count(keep)
        if not max(accepted) <= members <= sum(accepted):
            raise MirrorStopped(
                f"Of {sum(accepted)} people who were accepted, {members} are on the list that "
                "they are compared by."
            )

    def _spare(self, stale: str) -> bool:
        """Take those off the stale list who are in the segment and could not be imported."""
        run = self._turn.run
        segments = segments_of(self._export, self.mirrored.list_id)
        remembering = self._mirroring.remembering
        unsent = sum(len(remembering.read(run, n, "unsent")) for n in segments)
        if self.mirrored.leaving and (run.counts.refused or run.counts.suppressed or unsent):
            if not self._has_ids():
                spared = remembering.spared(run, segments)
                self._keep_ids(stale, lambda marks, off: (spared.find(marks) >= 0) | off)
            if not self._remove_by_id(self._ids(), [stale], None):
                return False
            self._note(leaving=self._count(stale), chunk=0)
            self._mirroring.ledger.unstage_one(run.key, self._ids_name())
        self._agree()
        return True

    def _list_leavers(self) -> None:
        """Find those on the list who are in the memory and in no segment now."""
        run = self._turn.run
        segments = segments_of(self._export, self.mirrored.list_id)
        gone = self._mirroring.remembering.gone(run, segments)
        count = self._keep_ids(
            self.mirrored.list_id, lambda marks, off: (gone.find(marks) >= 0) & ~off
        )
        self._note(leaving=count)
        self._agree()

    def _agree(self) -> None:
        """Go on to the removal, or hold the run for a person where the guard does not agree."""
        run = self._turn.run
        leaving, agreed = self.mirrored.leaving or 0, self.mirrored.agreed
        before = next((c.before for c in run.lists if c.list_id == self.mirrored.list_id), None)
        concern = find_removal_concern(self._export.guard, leaving, before or 0)
        if concern is None or (agreed is not None and leaving <= agreed):
            self._note(stage=Stage.SPARED)
            return
        self._turn.note(lambda run: run.held([concern], self._turn.now()))

    def _keep_ids(self, list_id: str, chosen: Callable[[Marks, Any], Any]) -> int:
        """Note the ids of members that are *chosen* by their marks and whether they opted out."""
        ids: list[str] = []
        for page in self._client.members(list_id):
            marks = self._mirroring.marks([member.address for member in page])
            off = pa.array([member.unsubscribed for member in page]).to_numpy(zero_copy_only=False)
            flags = chosen(marks, off)
            ids += [member.id for member, flag in zip(page, flags, strict=True) if flag]
        content = json.dumps(ids).encode()
        self._mirroring.ledger.stage(self._turn.run.key, self._ids_name(), content)
        return len(ids)

    def _remove_by_id(self, ids: Sequence[str], lists: Sequence[str], then: Stage | None) -> bool:
        """Remove contacts from lists, 500 at a time, each confirmed before the next."""
        while (start := self.mirrored.chunk * CONTACTS_PER_CALL) < len(ids):
            piece = ids[start : start + CONTACTS_PER_CALL]
            if not self._operate(None, partial(self._client.remove_contacts, piece, lists)):
                return False
        if then:
            self._note(stage=then, chunk=0)
        return True

    def _operate(self, then: Stage | None, call: Callable[[], Activity]) -> bool:
        """Have an operation done; return True once it is confirmed, and note what comes next."""
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
        step = {"stage": then} if then else {"chunk": mirrored.chunk + 1}
        self._note(calling=False, activity_id=None, **step)
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

    def _count_removed(self) -> None:
        """Add this list's leavers to the run's counts; the sum is taken anew each time."""
        self._turn.note(
            lambda run: run.having(
                counts=run.counts.having(
                    removed=sum(
                        m.leaving or 0
                        for m in _mirror(run).lists
                        if m.stage in {Stage.REMOVED, Stage.CLEARED}
                    )
                )
            )
        )

    def _count(self, list_id: str) -> int:
        found = self._client.contact_list(list_id, count=True)
        if found is None or found.count is None:
            raise MirrorStopped("A list that the comparison needs is gone.")
        return found.count

    def _note(self, **changes: Any) -> None:
        self._turn.note(lambda run: _changed(run, self._number, **changes))

    def _ids_name(self) -> str:
        return f"people-{self._number}.json"

    def _has_ids(self) -> bool:
        return self._mirroring.ledger.is_staged(self._turn.run.key, self._ids_name())

    def _ids(self) -> list[str]:
        content = self._mirroring.ledger.staged(self._turn.run.key, self._ids_name())
        ids: list[str] = json.loads(content)
        return ids


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
