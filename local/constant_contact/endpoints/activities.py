"""The account's activities, and those that change lists and contacts in bulk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from werkzeug.wrappers import Response

from local.constant_contact import memberships
from local.constant_contact.account import parse_list_ids
from local.constant_contact.activities import Activity
from local.constant_contact.answers import invalid, json_response, not_found
from local.constant_contact.parameters import parse_json, parse_page
from local.constant_contact.routing import DATA, WRITING, ApiRequest, Route, Service

STATES = ("processing", "completed", "cancelled", "failed", "timed_out")


def get_activities(service: Service, request: ApiRequest) -> Response:
    state = request.args.get("state")
    if state is not None and state not in STATES:
        raise invalid("state does not have a valid value")
    page = parse_page(request, 500)
    now = service.account.clock()
    found = service.activities.recent(state)
    body: dict[str, Any] = {"activities": [each.as_json(now) for each in page.of(found)]}
    return json_response(body | page.links(request, len(found)))


def get_activity(service: Service, request: ApiRequest, activity_id: str) -> Response:
    found = service.activities.find(activity_id)
    if found is None:
        raise not_found()
    return json_response(found.as_json(service.account.clock()))


def add_members(service: Service, request: ApiRequest) -> Response:
    body = parse_json(request)
    selection = memberships.parse_selection(body, allow_segment=True)
    targets = _membership_targets(service, body, selection, missing=400)
    return _begun(
        _start(
            service,
            "add_list_memberships",
            lambda: memberships.add(service.account, selection, targets),
            len(targets),
        )
    )


def remove_members(service: Service, request: ApiRequest) -> Response:
    body = parse_json(request)
    selection = memberships.parse_selection(body, allow_segment=False)
    targets = _membership_targets(service, body, selection, missing=404)
    return _begun(
        _start(
            service,
            "remove_list_memberships",
            lambda: memberships.remove(service.account, selection, targets),
            len(targets),
        )
    )


def _membership_targets(
    service: Service, body: Mapping[str, Any], selection: memberships.Selection, missing: int
) -> tuple[str, ...]:
    """Return the lists to change; the contract has 404 only where members are removed."""
    values = memberships.parse_array(body.get("list_ids"), "list_ids")
    targets = parse_list_ids(values, memberships.MAX_LISTS)
    if any(key not in service.account.lists for key in (*targets, *selection.list_ids)):
        raise not_found() if missing == 404 else invalid("list_ids has an unknown list")
    return targets


def delete_lists(service: Service, request: ApiRequest) -> Response:
    body = parse_json(request)
    ids = parse_list_ids(memberships.parse_array(body.get("list_ids"), "list_ids"), 100)
    return _begun(start_list_delete(service, ids))


def start_list_delete(service: Service, ids: Sequence[str]) -> Activity:
    """Queue the end of the lists; their contacts stay."""

    def act() -> int:
        for list_id in ids:
            service.account.delete_list(list_id)
        return len(ids)

    return _start(service, "list_delete", act, len(ids))


def delete_contacts(service: Service, request: ApiRequest) -> Response:
    body = parse_json(request)
    given = [name for name in ("contact_ids", "list_ids") if body.get(name)]
    if len(given) != 1:
        raise invalid("either contact_ids or list_ids is required")
    selection = memberships.parse_selection(
        {"source": {given[0]: body[given[0]]}}, allow_segment=False
    )

    def act() -> int:
        numbers = [int(number) for number in np.flatnonzero(selection.flags(service.account))]
        service.account.delete_contacts(numbers)
        return len(numbers)

    return _begun(_start(service, "contact_delete", act, None))


def _start(service: Service, kind: str, act: Callable[[], int], lists: int | None) -> Activity:
    done = {"items_total_count": 0, "items_completed_count": 0}
    if lists is not None:
        done["list_count"] = lists
    ending = service.faults.ending(kind)

    def work(_: Activity) -> Iterator[None]:
        if ending.state == "completed" and ending.share:
            count = act()
            done.update(items_total_count=count, items_completed_count=count)
        yield

    return service.activities.post(kind, work, lambda: dict(done), ending=ending)


def _begun(activity: Activity) -> Response:
    return json_response(activity.as_json(), 201)


ROUTES = (
    Route("GET", "/activities", DATA, WRITING, get_activities),
    Route("GET", "/activities/<id>", DATA, WRITING, get_activity),
    Route("POST", "/activities/add_list_memberships", DATA, WRITING, add_members),
    Route("POST", "/activities/remove_list_memberships", DATA, WRITING, remove_members),
    Route("POST", "/activities/list_delete", DATA, WRITING, delete_lists),
    Route("POST", "/activities/contact_delete", DATA, WRITING, delete_contacts),
)
