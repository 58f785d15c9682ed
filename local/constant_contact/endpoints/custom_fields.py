"""``/contact_custom_fields``: https://developer.constantcontact.com/api_guide/custom_fields.html."""

from __future__ import annotations

from typing import Any

from werkzeug.wrappers import Response

from local.constant_contact.answers import json_response
from local.constant_contact.parameters import parse_json, parse_page
from local.constant_contact.routing import DATA, READING, WRITING, ApiRequest, Route, Service


def get_fields(service: Service, request: ApiRequest) -> Response:
    page = parse_page(request, 100)
    found = list(service.account.fields.values())
    body: dict[str, Any] = {"custom_fields": [each.as_json() for each in page.of(found)]}
    return json_response(body | page.links(request, len(found)))


def create_field(service: Service, request: ApiRequest) -> Response:
    body = parse_json(request)
    choices = [str(x.get("choice_label", "")) for x in body.get("choices") or []]
    made = service.account.create_field(
        str(body.get("label", "")), str(body.get("type", "")), choices, body.get("metadata")
    )
    return json_response(made.as_json(), 201)


def get_field(service: Service, request: ApiRequest, identifier: str) -> Response:
    return json_response(service.account.find_field(identifier).as_json())


def delete_field(service: Service, request: ApiRequest, identifier: str) -> Response:
    del service.account.fields[service.account.find_field(identifier).name]
    return Response(status=204)


ROUTES = (
    Route("GET", "/contact_custom_fields", DATA, READING, get_fields),
    Route("POST", "/contact_custom_fields", DATA, WRITING, create_field),
    Route("GET", "/contact_custom_fields/<id>", DATA, READING, get_field),
    Route("DELETE", "/contact_custom_fields/<id>", DATA, WRITING, delete_field),
)
