"""``/contacts``: https://developer.constantcontact.com/api_guide/contacts_overview.html."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from werkzeug.wrappers import Response

from local.constant_contact.account import ContactList, parse_list_ids
from local.constant_contact.answers import conflict, invalid, json_response, not_found, timestamp
from local.constant_contact.contacts import PERMISSIONS, Flags, contact_id, contact_number
from local.constant_contact.imports import CSV_COLUMNS, EMAIL, EMAIL_LENGTH
from local.constant_contact.memberships import parse_array
from local.constant_contact.parameters import (
    next_link,
    parse_choices,
    parse_json,
    parse_moment,
    parse_page,
)
from local.constant_contact.routing import DATA, READING, WRITING, ApiRequest, Route, Service

CORE = ("first_name", "last_name", "job_title", "company_name", "anniversary")
BIRTHDAY = ("birthday_month", "birthday_day")
SUBRESOURCES = ("custom_fields", "phone_numbers", "street_addresses", "list_memberships")
SOURCES = ("Account", "Contact")
_ADDRESS_PARTS = {
    "street": "street",
    "city": "city",
    "state": "state",
    "zip": "postal_code",
    "country": "country",
}
_PHONES = {
    "phone": "other",
    "other_phone": "other",
    "home_phone": "home",
    "work_phone": "work",
    "mobile_phone": "mobile",
}
_BELONGS: dict[str, Callable[[str], bool]] = {
    "custom_fields": lambda name: name.startswith("cf:"),
    "phone_numbers": lambda name: name in _PHONES,
    "street_addresses": lambda name: name.rpartition("_")[2] in _ADDRESS_PARTS,
}


def get_contacts(service: Service, request: ApiRequest) -> Response:
    page = parse_page(request, 500)
    numbers = np.flatnonzero(_selected(service, request))
    left = numbers[numbers >= page.start]
    includes = _includes(request)
    shown = [_contact_json(service, int(each), includes) for each in left[: page.limit]]
    body: dict[str, Any] = {"contacts": shown}
    if request.args.get("include_count") == "true":
        body["contacts_count"] = len(numbers)
    if len(left) > page.limit:
        body |= next_link(request, int(left[page.limit]))
    return json_response(body)


def _selected(service: Service, request: ApiRequest) -> Flags:
    """Flag the contacts that fit every filter."""
    contacts = service.account.contacts
    size = len(contacts)
    flags = _with_status(service, request)
    if lists := request.args.get("lists"):
        on_any = np.zeros(size, np.bool_)
        for list_id in parse_list_ids(lists.split(","), 25, "lists"):
            on_any |= service.account.find_list(list_id).members.flags(size)
        flags &= on_any
    if (email := request.args.get("email")) is not None:
        number = contacts.numbers.get(email.lower())
        flags &= contacts.chosen([] if number is None else [number])
    times: dict[str, Callable[[], NDArray[np.float64]]] = {
        "created": lambda: np.array(contacts.created_at),
        "updated": lambda: np.array(contacts.updated_at),
        "optout": contacts.opted_out_at,
    }
    for name, values in times.items():
        if after := request.args.get(f"{name}_after"):
            flags &= values() > parse_moment(after)
        if before := request.args.get(f"{name}_before"):
            flags &= values() < parse_moment(before)
    return flags


def _with_status(service: Service, request: ApiRequest) -> Flags:
    contacts = service.account.contacts
    permissions = ("not_set", "pending_confirmation", "temp_hold", "unsubscribed")
    asked = parse_choices(request, "status", ("all", "active", "deleted", *permissions))
    kept = contacts.kept()
    if not asked:
        return kept
    flags = kept & contacts.with_permission(*asked.intersection(permissions))
    if "active" in asked:
        flags |= kept & contacts.with_permission("implicit", "explicit")
    if asked & {"all", "deleted"}:
        flags |= ~kept
    if "all" in asked:
        flags |= kept
    return flags


def _includes(request: ApiRequest) -> set[str]:
    return parse_choices(request, "include", (*SUBRESOURCES, "taggings", "notes"))


def get_contact(service: Service, request: ApiRequest, identifier: str) -> Response:
    number = _contact_number(service, identifier)
    return json_response(_contact_json(service, number, _includes(request)))


def _contact_number(service: Service, identifier: str) -> int:
    number = contact_number(identifier.lower())
    if number is None or not 0 <= number < len(service.account.contacts):
        raise not_found()
    return number


def get_counts(service: Service, request: ApiRequest) -> Response:
    contacts = service.account.contacts
    kept = contacts.kept()

    def count(permission: str) -> int:
        return int(np.count_nonzero(kept & contacts.with_permission(permission)))

    body = {name: count(name) for name in ("explicit", "implicit", "unsubscribed")}
    body["pending"] = count("pending_confirmation")
    body["total"] = int(np.count_nonzero(kept))
    if request.args.get("include") == "new_subscriber":
        recent = np.array(contacts.created_at) > service.account.now - 30 * 86_400
        body["new_subscriber"] = int(np.count_nonzero(contacts.active() & recent))
    return json_response(body)


def create_contact(service: Service, request: ApiRequest) -> Response:
    body = parse_json(request)
    account = service.account
    source = _source(body, "create_source")
    address, permission = _email_address(body)
    if (taken := account.contacts.numbers.get(address.lower())) is not None:
        raise conflict(f"Email already exists for contact {contact_id(taken)}")
    values = _values(service, body)
    lists = _memberships(service, body)
    number = account.contacts.add(address, account.contacts.layout(()), "", account.now)
    account.contacts.replace(number, values, account.now)
    account.contacts.opt_in(number, permission or "implicit", account.now, source)
    account.join(np.array([number]), lists)
    return json_response(_contact_json(service, number, SUBRESOURCES), 201)


def change_contact(service: Service, request: ApiRequest, identifier: str) -> Response:
    """Replace the core fields and the subresources that are given; revive the deleted."""
    number = _contact_number(service, identifier)
    body = parse_json(request)
    contacts, now = service.account.contacts, service.account.now
    source = _source(body, "update_source")
    address, permission = _email_address(body)
    if contacts.numbers.get(address.lower(), number) != number:
        raise conflict("Email already exists for another contact")
    values = _values(service, body)
    lists = _memberships(service, body)
    for resource, belongs in _BELONGS.items():
        if resource not in body:
            stored = contacts.values(number)
            values |= {name: value for name, value in stored.items() if belongs(name)}
    contacts.readdress(number, address)
    contacts.replace(number, values, now)
    contacts.deleted_at.pop(number, None)
    if permission == "unsubscribed":
        contacts.opt_out(number, now, source)
    elif permission is not None and contacts.permission(number) != permission:
        contacts.opt_in(number, permission, now, source)
    if "list_memberships" in body:
        service.account.leave_all([number])
        service.account.join(np.array([number]), lists)
    return json_response(_contact_json(service, number, SUBRESOURCES))


def _source(body: Mapping[str, Any], name: str) -> str:
    if body.get(name) not in SOURCES:
        raise invalid(f"{name} is required")
    return str(body[name])


def delete_contact(service: Service, request: ApiRequest, identifier: str) -> Response:
    service.account.delete_contacts([_contact_number(service, identifier)])
    return Response(status=204)


def _memberships(service: Service, body: Mapping[str, Any]) -> list[ContactList]:
    ids = parse_array(body.get("list_memberships") or [], "list_memberships")
    if not ids:
        return []
    limit = service.account.options.lists_per_contact
    return [
        service.account.find_list(list_id)
        for list_id in parse_list_ids(ids, limit, "list_memberships")
    ]


def _contact_json(service: Service, number: int, includes: Collection[str]) -> dict[str, Any]:
    account = service.account
    contacts = account.contacts
    values = contacts.values(number)
    stamps = {
        "created_at": _iso(contacts.created_at[number]),
        "updated_at": _iso(contacts.updated_at[number]),
    }
    body: dict[str, Any] = {
        "contact_id": contact_id(number),
        "email_address": _email_json(service, number) | stamps,
    }
    body |= {name: values[name] for name in CORE if name in values}
    body |= {name: int(values[name]) for name in BIRTHDAY if name in values}
    body |= {"create_source": "Account", "update_source": "Account", **stamps}
    if number in contacts.deleted_at:
        body["deleted_at"] = _iso(contacts.deleted_at[number])
    subresources: dict[str, Callable[[], list[Any]]] = {
        "custom_fields": lambda: [
            {"custom_field_id": each.custom_field_id, "value": values[f"cf:{name}"]}
            for name, each in account.fields.items()
            if f"cf:{name}" in values
        ],
        "phone_numbers": lambda: _phone_numbers(values),
        "street_addresses": lambda: _street_addresses(values),
        "list_memberships": lambda: account.lists_of(number),
        "taggings": list,
        "notes": list,
    }
    return body | {name: read() for name, read in subresources.items() if name in includes}


def _email_json(service: Service, number: int) -> dict[str, Any]:
    contacts = service.account.contacts
    opted_in_at = contacts.opted_in_at.get(number, contacts.created_at[number])
    body = {
        "address": contacts.spelled.get(number, contacts.addresses[number]),
        "permission_to_send": contacts.permission(number),
        "opt_in_source": contacts.opt_in_sources.get(number, "Account"),
        "opt_in_date": _iso(opted_in_at),
        "confirm_status": "off",
    }
    if opt_out := contacts.opt_outs.get(number):
        body |= {"opt_out_source": opt_out.source, "opt_out_date": _iso(opt_out.at)}
    return body


def _values(service: Service, body: Mapping[str, Any]) -> dict[str, str]:
    """Return what a contact resource says, named as import headings are."""
    values = {name: str(body[name]) for name in (*CORE, *BIRTHDAY) if body.get(name)}
    for name, value in values.items():
        if len(value) > CSV_COLUMNS[name]:
            raise invalid(f"{name} exceeds the maximum length of {CSV_COLUMNS[name]}")
    by_id = {each.custom_field_id: each for each in service.account.fields.values()}
    for each in body.get("custom_fields") or []:
        if each.get("custom_field_id") not in by_id:
            raise invalid("custom_field_id does not exist")
        values[f"cf:{by_id[each['custom_field_id']].name}"] = str(each.get("value", ""))
    for each in body.get("phone_numbers") or []:
        kind = each.get("kind", "other")
        values["phone" if kind == "other" else f"{kind}_phone"] = each["phone_number"]
    for each in body.get("street_addresses") or []:
        kind = each.get("kind", "home")
        for part, name in _ADDRESS_PARTS.items():
            if each.get(name):
                values[part if kind == "home" else f"{kind}_{part}"] = each[name]
    return {name: value for name, value in values.items() if value}


def _email_address(body: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return address and permission; None where nothing is said of it."""
    given = body.get("email_address")
    if not isinstance(given, Mapping):
        raise invalid("email_address is required")
    address = str(given.get("address", "")).strip()
    if not EMAIL.fullmatch(address) or len(address) > EMAIL_LENGTH:
        raise invalid("email_address is not valid")
    permission = given.get("permission_to_send")
    if permission not in (None, *PERMISSIONS):
        raise invalid("permission_to_send does not have a valid value")
    return address, permission


def _phone_numbers(values: Mapping[str, str]) -> list[dict[str, str]]:
    found = [(values[name], kind) for name, kind in _PHONES.items() if name in values]
    return [{"phone_number": number, "kind": kind} for number, kind in found[:3]]


def _street_addresses(values: Mapping[str, str]) -> list[dict[str, str]]:
    found = []
    for kind in ("home", "work", "other"):
        prefix = "" if kind == "home" else f"{kind}_"
        parts = {
            name: values[prefix + part]
            for part, name in _ADDRESS_PARTS.items()
            if prefix + part in values
        }
        if parts:
            found.append({"kind": kind, **parts})
    return found


def _iso(at: float) -> str:
    return timestamp(datetime.fromtimestamp(at, UTC))


ROUTES = (
    Route("GET", "/contacts", DATA, READING, get_contacts),
    Route("POST", "/contacts", DATA, WRITING, create_contact),
    Route("GET", "/contacts/counts", DATA, READING, get_counts),
    Route("GET", "/contacts/<id>", DATA, READING, get_contact),
    Route("PUT", "/contacts/<id>", DATA, WRITING, change_contact),
    Route("DELETE", "/contacts/<id>", DATA, WRITING, delete_contact),
)
