"""The API's description: valid, complete, true, and good for a Power Automate connector."""

from __future__ import annotations

import json
from typing import Any

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
    """Ids of things that are there now and then, so that more than 404 is seen.

    Besides these examples the tester sends each field's boundaries, right and wrong.
    """
    places = case.path_parameters
    if places.get("connection_id") and len(str(places["connection_id"])) % 2:
        places["connection_id"] = "main"
    if places.get("export_id") and len(str(places["export_id"])) % 2:
        places["export_id"] = "spring"
    case.headers.update(ADMINISTRATOR)
    with requests.Session() as session:
        session.trust_env = False
        case.call_and_validate(
            base_url=served.url, session=session, checks=CHECKS, allow_redirects=False
        )
