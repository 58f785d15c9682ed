"""The API's description: valid, complete, true, and good for a Power Automate connector."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from openapi_spec_validator import validate
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from functions.openapi import describe
from functions.operations import OPERATIONS
from tests.api.service import ADMINISTRATOR, VIEWER, Service, load_app

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
load_app()  # declares every route
DOCUMENT = describe(list(OPERATIONS.values()), "https://app.example")
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)


def test_the_description_is_valid_openapi(service: Service) -> None:
    document = service.call("GET", "/api/openapi.json", VIEWER).json()

    validate(document)
    assert document["openapi"] == "3.1.0"
    assert document["servers"] == [{"url": "https://app.example"}]
    assert document == json.loads(json.dumps(DOCUMENT))


def test_the_description_in_version_2_is_valid_swagger(service: Service) -> None:
    document = service.call("GET", "/api/openapi.json?version=2.0", VIEWER).json()

    validate(document)
    assert document["swagger"] == "2.0"
    assert document["host"] == "app.example"


def test_version_2_has_nothing_a_connector_stumbles_over(service: Service) -> None:
    """Connectors know no alternatives, and take 1 MB at most."""
    answer = service.call("GET", "/api/openapi.json?version=2.0", VIEWER)
    document = answer.json()
    words = set(_keys(document["definitions"])) | set(_keys(document["paths"]))

    assert len(answer.content) < 1_000_000
    assert not words & {"anyOf", "oneOf", "allOf", "const", "$defs", "prefixItems"}
    for path, methods in document["paths"].items():
        for each in methods.values():
            assert each["operationId"]
            assert 0 < len(each["summary"]) <= 80, path
            assert each["description"]


def test_version_2_says_what_may_be_null_of_other_schemas_too(service: Service) -> None:
    schemas = service.call("GET", "/api/openapi.json?version=2.0", VIEWER).json()["definitions"]

    for schema, field in (("Run", "waiting"), ("Run", "error"), ("Export", "consent")):
        described = schemas[schema]["properties"][field]
        assert described["$ref"].startswith("#/definitions/")
        assert described["x-nullable"] is True


def _keys(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [*value, *(key for each in value.values() for key in _keys(each))]
    return [key for each in value for key in _keys(each)] if isinstance(value, list) else []


def test_a_version_that_is_none_is_refused(service: Service) -> None:
    assert service.call("GET", "/api/openapi.json?version=4", VIEWER).status_code == 422


def test_every_operation_says_who_may_and_what_goes_wrong() -> None:
    for path, methods in DOCUMENT["paths"].items():
        for each in methods.values():
            assert "role" in each["description"] or each["security"] == []
            if each.get("security") != []:
                assert {"401", "403"} <= set(each["responses"]), path


@pytest.fixture(autouse=True, scope="module")
def _furnished(served: Service) -> None:
    served.sign_in("entra")
    served.create_export("spring")
    _start(served, "spring", hold=True)


def _start(service: Service, export_id: str, **options: bool) -> str:
    """Start a run, carry it on as far as it goes, and return its id."""
    started = service.call("POST", f"/api/exports/{export_id}/runs", json=options)
    assert started.status_code == 202, started.text
    service.app.drain()
    return str(started.json()["id"])


def _held(service: Service, name: str) -> dict[str, Any]:
    export_id = service.create_export(name)
    run_id = _start(service, export_id, hold=True)
    return {"path_parameters": {"export_id": export_id, "run_id": run_id}}


def _export(service: Service, name: str, **more: Any) -> dict[str, Any]:
    return {"path_parameters": {"export_id": service.create_export(name)}, **more}


def _replacement(service: Service, name: str) -> dict[str, Any]:
    saved = _export(service, name)
    etag = service.call("GET", f"/api/exports/{name}").headers["ETag"]
    return {**saved, "body": service.order(name), "headers": {"If-Match": etag}}


def _connection(service: Service, name: str) -> dict[str, Any]:
    body = {"id": name, "display_name": name, "consent": {"accepted": True}}
    assert service.call("POST", "/api/connections", json=body).status_code == 201
    return {"path_parameters": {"connection_id": name}}


def _authorization(service: Service, name: str) -> dict[str, Any]:
    _connection(service, name)
    service.app.constant_contact.options.change(encoded_account_id=f"account-of-{name}")
    begun = service.call("POST", f"/api/connections/{name}/authorize", json={})
    url = begun.json()["authorization_url"]
    back = requests.get(url, allow_redirects=False, timeout=10).headers["Location"]
    cookie = begun.headers["Set-Cookie"].partition(";")[0]
    return {"query": dict(parse_qsl(urlsplit(back).query)), "headers": {"Cookie": cookie}}


MAIN = {"path_parameters": {"connection_id": "main"}}
MEANT: Mapping[str, Callable[[Service, str], dict[str, Any]]] = {
    "approve_run": _held,
    "authorize_connection": lambda service, name: {**_connection(service, name), "body": {}},
    "cancel_run": _held,
    "change_connection": lambda service, name: {**MAIN, "body": {"display_name": "Main"}},
    "check_export": lambda service, name: {"body": service.order(name)},
    "complete_authorization": _authorization,
    "create_connection": lambda service, name: {
        "body": {"display_name": name, "consent": {"accepted": True}}
    },
    "create_export": lambda service, name: {"body": service.order(name)},
    "delete_export": _export,
    "health": lambda service, name: {},
    "list_connections": lambda service, name: {},
    "list_contact_fields": lambda service, name: MAIN,
    "list_contact_lists": lambda service, name: MAIN,
    "list_exports": lambda service, name: {},
    "list_runs": _export,
    "list_segments": lambda service, name: {},
    "read_connection": lambda service, name: MAIN,
    "read_export": _export,
    "read_openapi": lambda service, name: {},
    "read_overview": lambda service, name: {},
    "read_rejects": _held,
    "read_run": _held,
    "read_segment": lambda service, name: {"path_parameters": {"name": "Spring"}},
    "read_session": lambda service, name: {},
    "remove_connection": _connection,
    "replace_export": _replacement,
    "start_run": lambda service, name: _export(service, name, body={"hold": True}),
}
"""For every operation, what is sent so that it does what it is for."""


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_what_is_meant_succeeds_as_described(service: Service, name: str) -> None:
    described = OPERATIONS[name]
    operation = SCHEMA["/" + described.path.replace("{*", "{")][described.method]
    sent = MEANT[name](service, name.replace("_", "-"))
    headers = {**ADMINISTRATOR, **sent.pop("headers", {})}

    answer = _call(service, operation.Case(**sent, headers=headers))

    assert answer.status_code == described.status, answer.text


def _call(service: Service, case: schemathesis.Case[Any]) -> Any:
    """Send a case and hold the answer to the description."""
    with requests.Session() as session:
        session.trust_env = False
        return case.call_and_validate(
            base_url=service.url, session=session, checks=CHECKS, allow_redirects=False
        )


@SCHEMA.parametrize()
@settings(
    max_examples=5,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_whatever_is_sent_the_answer_is_as_described(
    served: Service, case: schemathesis.Case[Any]
) -> None:
    """Of things that are there now and then, so that more than 404 is seen; they stay there.

    Besides these examples the tester sends each field's boundaries, right and wrong.
    """
    if case.method.upper() != "DELETE":
        export = served.call("GET", "/api/exports/spring")
        runs = served.call("GET", "/api/exports/spring/runs").json()["items"]
        there = {
            "connection_id": "main",
            "export_id": "spring",
            "run_id": runs[0]["id"],
            "name": "Spring",
        }
        for place, given in case.path_parameters.items():
            if len(str(given)) % 2:
                case.path_parameters[place] = there[place]
        if "If-Match" in case.headers and len(str(case.headers["If-Match"])) % 2:
            case.headers["If-Match"] = export.headers["ETag"]
    case.headers.update(ADMINISTRATOR)
    _call(served, case)
