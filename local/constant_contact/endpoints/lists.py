"""``/contact_lists``: https://developer.constantcontact.com/api_guide/lists_overview.html."""

from __future__ import annotations

from typing import Any

from werkzeug.wrappers import Response

from local.constant_contact.account import ContactList
from local.constant_contact.answers import invalid, json_response
from local.constant_contact.endpoints.activities import start_list_delete
from local.constant_contact.parameters import parse_choices, parse_json, parse_page
from local.constant_contact.routing import (
    DATA,
    LISTS_READING,
    LISTS_WRITING,
    ApiRequest,
    Route,
    Service,
)

MAX_XREFS = 500


def get_lists(service: Service, request: ApiRequest) -> Response:
    page = parse_page(request, 500)  # the text of the contract; its schema says 1,000
    asked = parse_choices(request, "status", ("all", "active", "deleted")) or {"active"}
    found: list[ContactList] = []
    if asked & {"all", "active"}:
        found += service.account.lists.values()
    if asked & {"all", "deleted"}:
        found += service.account.deleted_lists.values()
    if name := request.args.get("name"):
        found = [each for each in found if each.name == name]
    found.sort(key=lambda each: each.sequence_id)
    body: dict[str, Any] = {
        "lists": [_list_json(service, each, request) for each in page.of(found)]
    }
    if request.args.get("include_count") == "true":
        body["lists_count"] = len(found)
    return json_response(body | page.links(request, len(found)))


def _list_json(service: Service, each: ContactList, request: ApiRequest) -> dict[str, Any]:
    asked = request.args.get("include_membership_count")
    if asked not in (None, "all", "active"):
        raise invalid("include_membership_count does not have a valid value")
    body = each.as_json()
    if asked is not None:
        count = service.account.count(each, active_only=asked == "active")
        body["membership_count"] = count
    return body


def get_list(service: Service, request: ApiRequest, list_id: str) -> Response:
    return json_response(_list_json(service, service.account.find_list(list_id), request))


def create_list(service: Service, request: ApiRequest) -> Response:
    name, description, favorite = _list_input(request)
    return json_response(
        service.account.create_list(name, description, favorite=favorite).as_json(), 201
    )


def change_list(service: Service, request: ApiRequest, list_id: str) -> Response:
    name, description, favorite = _list_input(request)
    changed = service.account.change_list(list_id, name, description, favorite=favorite)
    return json_response(changed.as_json())


def delete_list(service: Service, request: ApiRequest, list_id: str) -> Response:
    service.account.find_list(list_id)
    body = start_list_delete(service, [list_id]).as_json()
    location = body["_links"]["self"]["href"]
    del body["status"]
    return json_response(body, 202, {"Location": location})


def get_xrefs(service: Service, request: ApiRequest) -> Response:
    asked = [each for each in request.args.get("sequence_ids", "").split(",") if each]
    if not 0 < len(asked) <= MAX_XREFS or not all(each.isdigit() for each in asked):
        raise invalid("sequence_ids does not have a valid value")
    wanted = {int(each) for each in asked}
    found = [each for each in service.account.lists.values() if each.sequence_id in wanted]
    found.sort(key=lambda each: each.sequence_id)
    xrefs = [{"sequence_id": str(x.sequence_id), "list_id": x.list_id} for x in found]
    return json_response({"xrefs": xrefs})


def _list_input(request: ApiRequest) -> tuple[str, str, bool]:
    body = parse_json(request)
    return (
        str(body.get("name") or ""),
        str(body.get("description") or ""),
        bool(body.get("favorite", False)),
    )


ROUTES = (
    Route("GET", "/contact_lists", DATA, LISTS_READING, get_lists),
    Route("POST", "/contact_lists", DATA, LISTS_WRITING, create_list),
    Route("GET", "/contact_lists/list_id_xrefs", DATA, LISTS_READING, get_xrefs),
    Route("GET", "/contact_lists/<id>", DATA, LISTS_READING, get_list),
    Route("PUT", "/contact_lists/<id>", DATA, LISTS_WRITING, change_list),
    Route("DELETE", "/contact_lists/<id>", DATA, LISTS_WRITING, delete_list),
)
