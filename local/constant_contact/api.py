"""The routes under ``/v3``: found, checked for the caller's rights, answered."""

from __future__ import annotations

import contextlib

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Response

from .answers import gateway_error, not_found, resource_error
from .endpoints import account, activities, contacts, custom_fields, imports, lists
from .oauth import Bearer
from .options import Options
from .routing import ApiRequest, Route, Service

ROUTES = Map(
    [
        Rule(f"/v3{route.path}", methods=[route.method], endpoint=route)
        for module in (account, activities, contacts, custom_fields, imports, lists)
        for route in module.ROUTES
    ]
)


def answer(service: Service, request: ApiRequest, bearer: Bearer) -> Response:
    """Act on an admitted request, or raise `Refused`."""
    try:
        route, arguments = ROUTES.bind("").match(request.path, request.method)
    except HTTPException as error:
        raise not_found() from error
    assert isinstance(route, Route)
    _check_rights(route, bearer, service.account.options)
    request.bearer = bearer
    if request.method == "GET":
        service.activities.settle()
    with service.account.lock if route.exclusive else contextlib.nullcontext():
        return route.endpoint(service, request, *arguments.values())


def _check_rights(route: Route, bearer: Bearer, options: Options) -> None:
    if options.deactivated:
        raise gateway_error(403, "forbidden", "Your application is deactivated.")
    if route.scope is not None and route.scope not in bearer.scopes:
        raise gateway_error(403, "forbidden", "You lack the necessary scopes.")
    if route.privilege is not None and route.privilege not in options.privileges:
        raise resource_error(
            403, "contacts.api.forbidden", "You lack the necessary user privileges."
        )
