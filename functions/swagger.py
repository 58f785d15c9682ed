"""OpenAPI 2.0 (Swagger), the only version that Power Automate's custom connectors are made from.

https://learn.microsoft.com/connectors/custom-connectors/define-openapi-definition
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

_UNKNOWN = frozenset({"const", "examples", "propertyNames", "prefixItems", "contentMediaType"})
"""Words of JSON Schema 2020-12 that Swagger has no like of."""

_ENTRA = "https://login.microsoftonline.com/organizations/oauth2/v2.0"


def downgrade(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return an OpenAPI 3.1 document, as `functions.openapi` writes them, in version 2.0.

    A connector's wizard asks for tenant, client and scope; what stands here are its defaults.
    """
    url = urlsplit(document["servers"][0]["url"])
    return {
        "swagger": "2.0",
        "info": document["info"],
        "host": url.netloc,
        "basePath": url.path or "/",
        "schemes": [url.scheme],
        "consumes": ["application/json"],
        "produces": ["application/json"],
        "securityDefinitions": {
            "entra": {
                "type": "oauth2",
                "flow": "accessCode",
                "authorizationUrl": f"{_ENTRA}/authorize",
                "tokenUrl": f"{_ENTRA}/token",
                "scopes": {},
            }
        },
        "security": [{"entra": []}],
        "paths": {
            path: {method: _operation(each) for method, each in methods.items()}
            for path, methods in document["paths"].items()
        },
        "definitions": {
            name: _schema(schema) for name, schema in document["components"]["schemas"].items()
        },
    }


def _operation(each: Mapping[str, Any]) -> dict[str, Any]:
    kept = {
        name: value
        for name, value in each.items()
        if name in {"operationId", "summary", "description", "tags", "security"}
    }
    parameters = [_parameter(parameter) for parameter in each["parameters"]]
    if body := each.get("requestBody"):
        schema = _schema(body["content"]["application/json"]["schema"])
        parameters.append(
            {"name": "body", "in": "body", "required": body["required"], "schema": schema}
        )
    kinds = {kind for answer in each["responses"].values() for kind in answer.get("content", {})}
    return {
        **kept,
        "produces": sorted(kinds),
        "parameters": parameters,
        "responses": {status: _answer(answer) for status, answer in each["responses"].items()},
    }


def _parameter(parameter: Mapping[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in parameter.items() if name != "schema"}
    schema = _schema(parameter["schema"])
    return {**rest, **{name: value for name, value in schema.items() if name != "title"}}


def _answer(answer: Mapping[str, Any]) -> dict[str, Any]:
    swagger: dict[str, Any] = {"description": answer["description"]}
    if headers := answer.get("headers"):
        swagger["headers"] = {
            name: {"description": header["description"], **_schema(header["schema"])}
            for name, header in headers.items()
        }
    for content in answer.get("content", {}).values():
        swagger["schema"] = _schema(content["schema"])
    return swagger


def _schema(schema: Any) -> Any:
    """Return the nearest schema that Swagger has: what may be null gets ``x-nullable``."""
    if isinstance(schema, list):
        return [_schema(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if choices := schema.get("anyOf"):
        rest = {name: value for name, value in schema.items() if name != "anyOf"}
        first = next(choice for choice in choices if choice != {"type": "null"})
        nullable = {"type": "null"} in choices
        if nullable and rest.get("default", 0) is None:
            del rest["default"]
        return _schema({**rest, **first, "x-nullable": nullable})
    swagger = {name: _schema(value) for name, value in schema.items() if name not in _UNKNOWN}
    if "const" in schema:
        swagger["enum"] = [schema["const"]]
    if "$ref" in schema:
        place = schema["$ref"].replace("/components/schemas/", "/definitions/")
        return {"$ref": place} | ({"x-nullable": True} if schema.get("x-nullable") else {})
    return swagger
