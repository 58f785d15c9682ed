"""Who may do what: every route, every kind of caller, every way of signing in."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping

import pytest

from functions.operations import OPERATIONS
from shared.roles import Role
from tests.api.service import (
    ADMINISTRATOR,
    CONTRIBUTOR,
    LONG_ROLE_TYPE,
    VIEWER,
    Headers,
    Service,
    load_app,
    principal_headers,
    problem_of,
)

OPEN = {"health", "complete_authorization"}
CONSOLE = {"serve_console"}

# https://learn.microsoft.com/azure/app-service/configure-authentication-user-identities
WITHOUT_ACCESS: Mapping[str, Headers] = {
    "no role": principal_headers(),
    "a role that is none of ours": principal_headers("Owner"),
    "a role in another case": principal_headers("administrator"),
    "a claim that is no role": principal_headers(Role.ADMINISTRATOR, role_type="groups"),
}
AS_ADMINISTRATOR: Mapping[str, Headers] = {
    "short claim": ADMINISTRATOR,
    "long claim": principal_headers(Role.ADMINISTRATOR, role_type=LONG_ROLE_TYPE),
    "declared claim": principal_headers(Role.ADMINISTRATOR, role_type="x", declared="x"),
    "one of several": principal_headers("Owner", Role.VIEWER, Role.ADMINISTRATOR),
}


def _with(header: str) -> Headers:
    return {**ADMINISTRATOR, "X-MS-CLIENT-PRINCIPAL": header}


def _encoded(content: object) -> str:
    return base64.b64encode(json.dumps(content).encode()).decode()


SIGNED_OUT: Mapping[str, Headers] = {
    "nothing": {},
    "an id alone": {"X-MS-CLIENT-PRINCIPAL-ID": "id-of-ada"},
    "a bearer token that nobody checked": {"Authorization": "Bearer abc"},
    "no base64": _with("{'claims': []}"),
    "cut base64": _with(ADMINISTRATOR["X-MS-CLIENT-PRINCIPAL"][:-3]),
    "base64 of no JSON": _with(base64.b64encode(b"\xff\xfe{").decode()),
    "base64 of a list": _with(_encoded([{"typ": "roles", "val": "Administrator"}])),
    "claims that are no list": _with(_encoded({"claims": {"typ": "roles"}})),
    "nested too deep": _with(base64.b64encode(b"[" * 3000).decode()),
    "no id": {k: v for k, v in ADMINISTRATOR.items() if k != "X-MS-CLIENT-PRINCIPAL-ID"},
}


def _routes() -> list[tuple[str, str, str]]:
    """Return name, method and an address of every HTTP function; nothing is at the addresses."""
    routes = []
    for function in load_app().get_functions():
        trigger = function.get_dict_repr()["bindings"][0]
        if trigger["type"] == "httpTrigger":
            path = "/" + re.sub(r"{\*path}", "", trigger["route"])
            path = path.replace("{run_id}", "20261123T060000Z-7f3a9c")
            path = re.sub(r"{\*?\w+}", "nothing-there", path)
            method = getattr(trigger["methods"][0], "value", trigger["methods"][0])
            routes.append((str(function.get_function_name()), str(method), path))
    return routes


ROUTES = _routes()
every_route = pytest.mark.parametrize(
    ("function", "method", "path"), ROUTES, ids=[name for name, *_ in ROUTES]
)


def _needed(function: str) -> Role | None:
    if function in CONSOLE:
        return Role.VIEWER
    return OPERATIONS[function].role


def test_only_health_and_the_callback_are_open() -> None:
    assert {name for name, *_ in ROUTES if _needed(name) is None} == OPEN


@every_route
def test_a_role_reaches_what_it_may_and_nothing_else(
    service: Service, function: str, method: str, path: str
) -> None:
    needed = _needed(function)
    for role, who in zip(Role, (VIEWER, CONTRIBUTOR, ADMINISTRATOR), strict=True):
        status = service.call(method, path, who).status_code

        if needed is None or role.includes(needed):
            assert status not in {401, 403, 500}, role
        else:
            assert status == 403, role


@every_route
def test_no_role_is_no_access(service: Service, function: str, method: str, path: str) -> None:
    for case, who in WITHOUT_ACCESS.items():
        answer = service.call(method, path, who)

        if _needed(function) is None:
            assert answer.status_code not in {401, 403, 500}
        else:
            assert answer.status_code == 403, case
            assert problem_of(answer)["code"] == "forbidden"


@every_route
def test_who_is_not_signed_in_is_told_so_and_no_more(
    service: Service, function: str, method: str, path: str
) -> None:
    for case, who in SIGNED_OUT.items():
        answer = service.call(method, path, who)

        if _needed(function) is None:
            assert answer.status_code not in {401, 403, 500}
        else:
            assert answer.status_code == 401, case
            assert problem_of(answer)["detail"] == "Sign in first."
            assert answer.headers["WWW-Authenticate"] == "Bearer"


@every_route
def test_the_header_gets_nobody_in_where_the_platform_does_not_vouch_for_it(
    service: Service, function: str, method: str, path: str
) -> None:
    """With its sign-in switched off, the platform passes on what the internet sends."""
    service.sign_in(None)
    for who in ({}, ADMINISTRATOR, *AS_ADMINISTRATOR.values()):
        status = service.call(method, path, who).status_code

        if _needed(function) is None:
            assert status not in {401, 403, 500}
        else:
            assert status == 401


@every_route
def test_with_sign_in_off_everybody_is_administrator_whatever_the_header_says(
    service: Service, function: str, method: str, path: str
) -> None:
    service.sign_in("off")
    for who in ({}, VIEWER, principal_headers()):
        assert service.call(method, path, who).status_code not in {401, 403, 500}


@pytest.mark.parametrize("who", AS_ADMINISTRATOR.values(), ids=AS_ADMINISTRATOR.keys())
def test_a_role_is_read_from_every_form_of_claim(service: Service, who: Headers) -> None:
    assert service.call("GET", "/api/session", who).json()["roles"] == (
        ["Administrator", "Viewer"] if "Viewer" in _claims(who) else ["Administrator"]
    )


def _claims(who: Headers) -> str:
    return base64.b64decode(who["X-MS-CLIENT-PRINCIPAL"]).decode()


def test_an_application_with_a_role_works_as_a_person_does(service: Service, name: str) -> None:
    """An application token has no user name; its object id stands for it."""
    application = {
        key: value
        for key, value in principal_headers(Role.ADMINISTRATOR, who="flow").items()
        if not key.endswith("-NAME")
    }
    service.create_export(name, application)
    run = service.call("POST", f"/api/exports/{name}/runs", application, json={"hold": True})

    assert run.status_code == 202
    assert run.json()["requested_by"] == "id-of-flow"


def test_open_routes_say_nothing(service: Service) -> None:
    health = service.call("GET", "/api/health", {})
    callback = service.call("GET", "/api/oauth/callback?state=forged&code=abc", {})

    assert health.text == '{"status":"ok"}'
    assert callback.status_code == 400
    assert set(problem_of(callback)) == {"type", "title", "status", "code", "detail"}
    assert "main" not in callback.text


SESSION = {"Cookie": "a=b; AppServiceAuthSession=abc"}
OURS = {"Origin": "https://app.example", "X-Requested-With": "console"}


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        (SESSION, True),
        ({**SESSION, **OURS}, False),
        ({**SESSION, "Origin": OURS["Origin"]}, True),
        ({**SESSION, "X-Requested-With": "console"}, True),
        ({**SESSION, **OURS, "Origin": "https://app.example.evil.example"}, True),
        ({**SESSION, **OURS, "Origin": "http://app.example"}, True),
        ({**SESSION, **OURS, "Origin": "null"}, True),
        ({"Cookie": "AppServiceAuthSession1=abc", **OURS, "Origin": "https://evil.example"}, True),
        ({"Cookie": "other=abc"}, False),
        ({}, False),
    ],
)
def test_a_change_with_the_session_cookie_has_to_come_from_the_console(
    service: Service, headers: Headers, refused: bool
) -> None:
    """A browser sends the cookie along with whatever page asks it to."""
    changing = [route for route in ROUTES if route[1] != "GET"]
    assert len(changing) > 8
    for _, method, path in changing:
        status = service.call(method, path, headers={**headers}).status_code
        assert (status == 403) == refused, path


@pytest.mark.parametrize(
    "public_url",
    [
        "https://App.Example",
        "https://app.example:443",
        "https://app.example/exports",
        "https://other.example",
    ],
)
def test_the_console_is_known_however_its_address_is_spelled(
    service: Service, public_url: str
) -> None:
    """Browsers send an origin in one spelling; the host's own name reaches the console too."""
    before = service.product().settings.base_url
    service.set_environment("WEBSITE_HOSTNAME", "app.example")
    service.set_environment("PUBLIC_URL", public_url)
    service.sign_in("entra")
    headers = {**SESSION, **OURS}
    try:
        own = service.call("PATCH", "/api/connections/main", json={}, headers=headers)
        headers["Origin"] = "https://app.example:8443"
        other = service.call("PATCH", "/api/connections/main", json={}, headers=headers)
    finally:
        service.set_environment("WEBSITE_HOSTNAME", None)
        service.set_environment("PUBLIC_URL", before)

    assert (own.status_code, other.status_code) == (200, 403)


def test_the_session_says_by_which_id_runs_name_the_caller(service: Service, name: str) -> None:
    service.create_export(name)
    run = service.call("POST", f"/api/exports/{name}/runs", ADMINISTRATOR).json()

    assert service.call("GET", "/api/session", ADMINISTRATOR).json()["id"] == run["audit"][0]["who"]


def test_reading_with_the_session_cookie_needs_no_more(service: Service) -> None:
    assert service.call("GET", "/api/exports", headers=SESSION).status_code == 200
