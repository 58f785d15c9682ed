"""Whose account it is, and what the person who approved may do."""

from __future__ import annotations

from typing import Any

from werkzeug.wrappers import Response

from local.constant_contact.answers import invalid, json_response
from local.constant_contact.routing import ApiRequest, Route, Service


def summary(service: Service, request: ApiRequest) -> Response:
    body: dict[str, Any] = {
        "encoded_account_id": request.bearer.account_id,
        "organization_name": service.account.options.organization_name,
        "contact_email": "owner@example.com",
        "country_code": "US",
        "state_code": "MA",
        "time_zone_id": "US/Eastern",
    }
    extra = request.args.get("extra_fields", "")
    if not set(filter(None, extra.split(","))) <= {"physical_address", "company_logo"}:
        raise invalid("extra_fields does not have a valid value")
    if "physical_address" in extra:
        body["physical_address"] = {
            "address_line1": "1 Example Street",
            "city": "Boston",
            "state_code": "MA",
            "postal_code": "02451",
            "country_code": "US",
        }
    return json_response(body)


def privileges(service: Service, request: ApiRequest) -> Response:
    return json_response(
        [
            {"privilege_id": number, "privilege_name": name}
            for number, name in enumerate(sorted(service.account.options.privileges), 30)
        ]
    )


ROUTES = (
    Route("GET", "/account/summary", "account_read", "account:read", summary),
    Route("GET", "/account/user/privileges", None, None, privileges),
)
