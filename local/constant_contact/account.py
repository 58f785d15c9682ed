"""The one account: its lists, who is on them, its custom fields."""

from __future__ import annotations

import hashlib
import threading
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from .answers import conflict, invalid, not_found, timestamp
from .contacts import Contacts, Flags, Members, Numbers, contact_id, is_uuid
from .options import Options

FIELD_TYPES = (
    "string",
    "text_area",
    "date",
    "datetime",
    "number",
    "currency",
    "boolean",
    "single_select",
    "multi_select",
)
_NODE = 0x0242AC120002


def new_id() -> str:
    return str(uuid.uuid1(node=_NODE))


@dataclass
class ContactList:
    """A list; `sequence_id` is the number it would have had in the v2 API."""

    list_id: str
    sequence_id: int
    name: str
    description: str
    favorite: bool
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None = None
    members: Members = field(default_factory=Members)

    def as_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "list_id": self.list_id,
            "name": self.name,
            "description": self.description,
            "favorite": self.favorite,
            "created_at": timestamp(self.created_at),
            "updated_at": timestamp(self.updated_at),
        }
        if self.deleted_at is not None:
            body["deleted_at"] = timestamp(self.deleted_at)
        return body


@dataclass
class CustomField:
    """A field an import may fill under ``cf:<name>``."""

    custom_field_id: str
    label: str
    name: str
    type: str
    created_at: datetime
    updated_at: datetime
    choices: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "custom_field_id": self.custom_field_id,
            "label": self.label,
            "name": self.name,
            "type": self.type,
            "metadata": dict(self.metadata),
            "version": 2,
            "created_at": timestamp(self.created_at),
            "updated_at": timestamp(self.updated_at),
        }
        if self.choices:
            body["choices"] = [
                {"choice_id": number, "choice_label": label, "display_order": number}
                for number, label in enumerate(self.choices, 1)
            ]
        return body


@dataclass(frozen=True)
class Contact:
    """A contact as a test wants to see it; `values` is named as import headings are."""

    contact_id: str
    email: str
    permission: str
    opt_in_source: str
    opt_out_source: str | None
    lists: frozenset[str]
    values: Mapping[str, str]
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None


class Account:
    """All methods expect `lock` to be held when other threads may be at work."""

    def __init__(self, options: Options, clock: Callable[[], datetime]) -> None:
        self.options = options
        self.clock = clock
        self.lock = threading.RLock()
        self.contacts = Contacts()
        self.lists: dict[str, ContactList] = {}  # those not deleted
        self.deleted_lists: dict[str, ContactList] = {}
        self.fields: dict[str, CustomField] = {}  # by name
        self.refused: set[str] = set()  # addresses every import finds fault with

    @property
    def now(self) -> float:
        return self.clock().timestamp()

    # Lists

    def create_list(
        self, name: str, description: str = "", *, favorite: bool = False
    ) -> ContactList:
        self._check_list_name(name)
        if len(self.lists) >= self.options.lists_per_account:
            raise invalid("The account has reached the maximum number of lists.")
        now = self.clock()
        number = len(self.lists) + len(self.deleted_lists) + 1
        made = ContactList(new_id(), 1_000_000_000 + number, name, description, favorite, now, now)
        self.lists[made.list_id] = made
        return made

    def change_list(
        self, list_id: str, name: str, description: str, *, favorite: bool
    ) -> ContactList:
        changed = self.find_list(list_id)
        self._check_list_name(name, but=list_id)
        changed.name = name
        changed.description = description
        changed.favorite = favorite
        changed.updated_at = self.clock()
        return changed

    def _check_list_name(self, name: str, but: str | None = None) -> None:
        if not name.strip():
            raise invalid("name is required")
        if len(name) > 255:
            raise invalid("name exceeds the maximum length of 255")
        taken = (other for other in self.lists.values() if other.list_id != but)
        if any(other.name.lower() == name.lower() for other in taken):
            raise conflict("A list with this name already exists.")

    def delete_list(self, list_id: str) -> None:
        """Take the list away; its contacts stay. Nothing happens if it is gone already."""
        gone = self.lists.pop(list_id, None)
        if gone is not None:
            gone.deleted_at = gone.updated_at = self.clock()
            gone.members = Members()
            self.deleted_lists[list_id] = gone

    def find_list(self, list_id: str) -> ContactList:
        if list_id not in self.lists:
            raise not_found()
        return self.lists[list_id]

    def count(self, members_of: ContactList, *, active_only: bool) -> int:
        flags = members_of.members.flags(len(self.contacts))
        return int(np.count_nonzero(flags & self.contacts.active() if active_only else flags))

    def members(self, list_id: str) -> set[str]:
        return set(self._member_addresses(list_id))

    def digest(self, list_id: str) -> str:
        """Return the SHA-256 of the list's sorted addresses, a line feed between two."""
        return hashlib.sha256(
            "\n".join(sorted(self._member_addresses(list_id))).encode()
        ).hexdigest()

    def _member_addresses(self, list_id: str) -> list[str]:
        flags = self.find_list(list_id).members.flags(len(self.contacts))
        addresses = self.contacts.addresses
        return [addresses[number] for number in np.flatnonzero(flags)]

    def lists_of(self, number: int) -> list[str]:
        size = len(self.contacts)
        return [key for key, each in self.lists.items() if each.members.flags(size)[number]]

    def with_room(self, numbers: Numbers, targets: Collection[ContactList]) -> Flags:
        """Say for each of *numbers* whether it can join *targets* and stay within the limit."""
        limit = self.options.lists_per_contact
        if len(self.lists) <= limit:
            return np.ones(len(numbers), np.bool_)
        size = len(self.contacts)
        wanted = {each.list_id for each in targets}
        total = np.zeros(len(numbers), np.int64)
        for each in self.lists.values():
            total += each.list_id in wanted or each.members.flags(size)[numbers]
        return total <= limit

    def join(self, numbers: Numbers, targets: Collection[ContactList]) -> None:
        for target in targets:
            target.members.flags(len(self.contacts))[numbers] = True

    def leave_all(self, numbers: Iterable[int]) -> None:
        chosen = list(numbers)
        for each in self.lists.values():
            each.members.flags(len(self.contacts))[chosen] = False

    # Contacts

    def put_contact(
        self,
        email: str,
        lists: Sequence[str] = (),
        permission: str = "implicit",
        values: Mapping[str, str] | None = None,
    ) -> str:
        """Have a contact in the account, new or changed, and return its id."""
        number = self.contacts.numbers.get(email.lower())
        stored = dict(values or {})
        if number is None:
            number = self.contacts.add(email, self.contacts.layout(()), "", self.now)
        else:
            stored = self.contacts.values(number) | stored
        self.contacts.replace(number, stored, self.now)
        self.contacts.deleted_at.pop(number, None)
        if permission == "unsubscribed":
            self.contacts.opt_out(number, self.now, "Contact")
        else:
            self.contacts.set_permission(number, permission)
            self.contacts.opt_outs.pop(number, None)
        self.join(np.array([number]), [self.find_list(key) for key in lists])
        return contact_id(number)

    def unsubscribe(self, email: str, source: str = "Contact") -> None:
        number = self.contacts.numbers[email.lower()]
        self.contacts.opt_out(number, self.now, source)
        self.contacts.updated_at[number] = self.now
        if not self.options.unsubscribed_keep_lists:
            self.leave_all([number])

    def delete_contacts(self, numbers: Iterable[int]) -> None:
        chosen = list(numbers)
        self.leave_all(chosen)
        self.contacts.deleted_at.update(dict.fromkeys(chosen, self.now))

    def contact(self, email: str) -> Contact | None:
        number = self.contacts.numbers.get(email.lower())
        if number is None:
            return None
        contacts = self.contacts
        opt_out = contacts.opt_outs.get(number)
        deleted_at = contacts.deleted_at.get(number)
        return Contact(
            contact_id=contact_id(number),
            email=contacts.spelled.get(number, contacts.addresses[number]),
            permission=contacts.permission(number),
            opt_in_source=contacts.opt_in_sources.get(number, "Account"),
            opt_out_source=opt_out.source if opt_out else None,
            lists=frozenset(self.lists_of(number)),
            values=contacts.values(number),
            created_at=datetime.fromtimestamp(contacts.created_at[number], UTC),
            updated_at=datetime.fromtimestamp(contacts.updated_at[number], UTC),
            deleted_at=None if deleted_at is None else datetime.fromtimestamp(deleted_at, UTC),
        )

    # Custom fields

    def create_field(
        self,
        label: str,
        type_: str,
        choices: Sequence[str] = (),
        metadata: Mapping[str, Any] | None = None,
    ) -> CustomField:
        if not label.strip() or len(label) > 50:
            raise invalid("label must have 1 to 50 characters")
        if type_ not in FIELD_TYPES:
            raise invalid("type does not have a valid value")
        if type_.endswith("_select") and not 0 < len(choices) <= 100:
            raise invalid("choices must have 1 to 100 elements")
        # https://developer.constantcontact.com/api_guide/create_custom_fields.html
        name = label.strip().replace(" ", "_")
        if any(name.lower() == other.lower() for other in self.fields):
            raise conflict("A custom field with this label already exists.")
        if len(self.fields) >= self.options.fields_per_account:
            raise invalid("The account has reached the maximum number of custom fields.")
        now = self.clock()
        made = CustomField(
            new_id(), label, name, type_, now, now, tuple(choices), dict(metadata or {})
        )
        self.fields[name] = made
        return made

    def find_field(self, custom_field_id: str) -> CustomField:
        for each in self.fields.values():
            if each.custom_field_id == custom_field_id:
                return each
        raise not_found()


def parse_list_ids(values: Sequence[object], limit: int, name: str = "list_ids") -> tuple[str, ...]:
    """Return list ids in lower case, none twice, or raise what is wrong with them."""
    if not 0 < len(values) <= limit:
        raise invalid(f"{name} must have 1 to {limit} elements")
    if not all(isinstance(value, str) and is_uuid(value) for value in values):
        raise invalid(f"{name} does not have valid values")
    return tuple(dict.fromkeys(str(value).lower() for value in values))
