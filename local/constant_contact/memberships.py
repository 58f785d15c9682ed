"""List arithmetic: which contacts a bulk activity picks, and what it does with them.

https://developer.constantcontact.com/api_guide/remove_list_membership.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .account import Account, parse_list_ids
from .answers import invalid
from .contacts import Flags, contact_number, is_uuid

SOURCES = (
    "contact_ids",
    "list_ids",
    "all_active_contacts",
    "tag_ids",
    "engagement_level",
    "segment_id",
)
MAX_CONTACTS = 500
MAX_LISTS = 50


@dataclass(frozen=True)
class Selection:
    """Exactly one way to pick contacts, less the excluded.

    The account has no tags, segments or engagement, so those sources pick nobody.
    """

    contact_ids: tuple[str, ...] = ()
    list_ids: tuple[str, ...] = ()
    all_active: bool = False
    excluded: frozenset[str] = field(default_factory=frozenset)

    def flags(self, account: Account) -> Flags:
        size = len(account.contacts)
        picked = np.zeros(size, np.bool_)
        if self.all_active:
            picked |= account.contacts.active()
        for list_id in self.list_ids:
            if list_id in account.lists:
                picked |= account.lists[list_id].members.flags(size)
        picked[_numbers(self.contact_ids, size)] = True
        picked[_numbers(tuple(self.excluded), size)] = False
        return picked & account.contacts.kept()


def parse_selection(body: Mapping[str, Any], *, allow_segment: bool) -> Selection:
    """Read ``source`` and ``exclude``."""
    source = body.get("source")
    if not isinstance(source, Mapping):
        raise invalid("source is required")
    given = [name for name in source if source[name] not in (None, False)]
    if len(given) != 1 or given[0] not in SOURCES:
        raise invalid("source must have exactly one property")
    kind = given[0]
    if kind == "segment_id" and not allow_segment:
        raise invalid("segment_id cannot be a source here")
    exclude = body.get("exclude")
    excluded: tuple[str, ...] = ()
    if exclude:
        if kind not in ("all_active_contacts", "list_ids"):
            raise invalid("exclude needs all_active_contacts or list_ids as the source")
        if not isinstance(exclude, Mapping):
            raise invalid("exclude does not have a valid value")
        excluded = parse_contact_ids(exclude.get("contact_ids"))
    match kind:
        case "contact_ids":
            return Selection(contact_ids=parse_contact_ids(source[kind]))
        case "list_ids":
            ids = parse_array(source[kind], "source.list_ids")
            lists = parse_list_ids(ids, MAX_LISTS, "source.list_ids")
            return Selection(list_ids=lists, excluded=frozenset(excluded))
        case "all_active_contacts":
            return Selection(all_active=True, excluded=frozenset(excluded))
        case _:
            return Selection()


def parse_array(value: object, name: str) -> Sequence[object]:
    if not isinstance(value, list):
        raise invalid(f"{name} must be an array")
    return value


def parse_contact_ids(value: object) -> tuple[str, ...]:
    ids = parse_array(value, "contact_ids")
    if not 0 < len(ids) <= MAX_CONTACTS:
        raise invalid(f"contact_ids must have 1 to {MAX_CONTACTS} elements")
    if not all(isinstance(each, str) and is_uuid(each) for each in ids):
        raise invalid("contact_ids does not have valid values")
    return tuple(str(each).lower() for each in ids)


def _numbers(ids: Sequence[str], size: int) -> list[int]:
    numbers = (contact_number(each) for each in ids)
    return [number for number in numbers if number is not None and 0 <= number < size]


def add(account: Account, selection: Selection, list_ids: Sequence[str]) -> int:
    """Put the selected on the lists, but for the unsubscribed and those without room."""
    flags = selection.flags(account)
    if not account.options.unsubscribed_are_copied:
        flags &= ~account.contacts.with_permission("unsubscribed")
    numbers = np.flatnonzero(flags)
    targets = [account.lists[key] for key in list_ids if key in account.lists]
    numbers = numbers[account.with_room(numbers, targets)]
    account.join(numbers, targets)
    return len(numbers)


def remove(account: Account, selection: Selection, list_ids: Sequence[str]) -> int:
    """Take the selected off the lists."""
    flags = selection.flags(account)
    for key in list_ids:
        if key in account.lists:
            account.lists[key].members.flags(len(flags))[flags] = False
    return int(np.count_nonzero(flags))
