"""The API's description of itself, from the declared routes and their models."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from textwrap import shorten
from typing import Any, Literal

import azure.functions as func
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from functions import swagger
from functions.exchange import ProblemDocument, answer, read_query
from functions.operations import OPERATIONS, Operation, operation
from shared.bootstrap import product
from shared.ids import RUN_ID, SLUG
from shared.roles import Principal, Role
from shared.version import VERSION

bp = func.Blueprint()

_HEADERS: Mapping[str, str] = {
    "ETag": "The version that was answered; send it in If-Match to change it.",
    "Location": "Path of what was made, or of what is in the way.",
    "Retry-After": "Seconds after which it is worth asking again.",
}
_PATH_PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    "connection_id": {
        "description": "The connection's id.",
        "schema": {"type": "string", "pattern": f"^{SLUG}$"},
    },
    "export_id": {
        "description": "The export's id.",
        "schema": {"type": "string", "pattern": f"^{SLUG}$"},
    },
    "run_id": {
        "description": "The run's id.",
        "schema": {"type": "string", "pattern": f"^{RUN_ID}$"},
    },
    "name": {
        "description": "The segment's name; it may hold slashes.",
        "schema": {"type": "string", "minLength": 1},
    },
}
_DESCRIPTION = (
    "Carries Customer Insights segments from Blob Storage to Constant Contact lists. Every error"
    " is application/problem+json with a stable code, a sentence and, where fields are at fault,"
    " all of them."
)


class DescriptionQuery(BaseModel):
    """Which format: OpenAPI 3.1, or 2.0 (Swagger) for Power Automate's custom connectors."""

    version: Literal["3.1", "2.0"] = "3.1"


class OpenApi(BaseModel):
    """An OpenAPI document."""


@operation(bp, "GET", "api/openapi.json", Role.VIEWER, query=DescriptionQuery, answer=OpenApi)
def read_openapi(req: func.HttpRequest, who: Principal) -> func.HttpResponse:
    """Return the API's own description, OpenAPI 3.1 or, with ``version=2.0``, Swagger."""
    asked = read_query(DescriptionQuery, req)
    document = describe(list(OPERATIONS.values()), product().settings.base_url)
    return answer(swagger.downgrade(document) if asked.version == "2.0" else document)


def describe(operations: Sequence[Operation], url: str) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of *operations*, served at *url*."""
    schemas, definitions = models_json_schema(
        list(dict.fromkeys(_models(operations))),
        ref_template="#/components/schemas/{model}",
    )
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        # A catch-all takes slashes too, which OpenAPI cannot say.
        path = "/" + each.path.replace("{*", "{")
        paths.setdefault(path, {})[each.method.lower()] = _operation(each, path, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Segments to Constant Contact",
            "version": VERSION,
            "description": _DESCRIPTION,
        },
        "servers": [{"url": url}],
        "security": [{"entra": []}],
        "paths": paths,
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": {
                "entra": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "A token of Microsoft Entra ID for this app, with an app role.",
                }
            },
        },
    }


Schemas = Mapping[tuple[Any, JsonSchemaMode], dict[str, Any]]


def _models(operations: Sequence[Operation]) -> Sequence[tuple[type[BaseModel], JsonSchemaMode]]:
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [(ProblemDocument, "serialization")]
    for each in operations:
        if each.body:
            models.append((each.body, "validation"))
        if isinstance(each.answer, type):
            models.append((each.answer, "serialization"))
    return models


def _operation(each: Operation, path: str, schemas: Schemas) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": each.name,
        "summary": shorten(re.split(r"[.:;]", each.summary)[0], 80, placeholder=" …"),
        "description": f"{each.summary} {_who(each)}",
        "tags": [path.split("/")[2]],
        "parameters": _parameters(each, path),
        "responses": {
            str(each.status): _success(each, schemas),
            **{str(status): _error(status, schemas) for status in sorted(_errors(each, path))},
        },
    }
    if each.role is None:
        described["security"] = []
    if each.body:
        described["requestBody"] = {
            "required": any(field.is_required() for field in each.body.model_fields.values()),
            "content": {"application/json": {"schema": schemas[each.body, "validation"]}},
        }
    return described


def _who(each: Operation) -> str:
    return f"Needs the role {each.role}." if each.role else "Open to everybody."


def _parameters(each: Operation, path: str) -> list[dict[str, Any]]:
    parameters = [
        {"name": name, "in": "path", "required": True, **_PATH_PARAMETERS[name]}
        for name in re.findall(r"{(\w+)}", path)
    ]
    if each.query:
        described = each.query.model_json_schema()["properties"]
        parameters += [
            {"name": name, "in": "query", "schema": schema} for name, schema in described.items()
        ]
    if 412 in each.errors:
        parameters.append(
            {
                "name": "If-Match",
                "in": "header",
                "required": 428 in each.errors,
                "description": "The ETag under which the document was read.",
                "schema": {"type": "string"},
            }
        )
    return parameters


def _success(each: Operation, schemas: Schemas) -> dict[str, Any]:
    success: dict[str, Any] = {"description": HTTPStatus(each.status).phrase}
    if each.headers:
        success["headers"] = {name: _header(name) for name in each.headers}
    match each.answer:
        case None:
            pass
        case str(media_type):
            success["content"] = {media_type: {"schema": {"type": "string"}}}
        case model:
            success["content"] = {"application/json": {"schema": schemas[model, "serialization"]}}
    return success


def _errors(each: Operation, path: str) -> set[int]:
    errors = {500, 503, *each.errors}
    if each.role:
        errors |= {401, 403}
    if "{" in path:
        errors.add(404)
    if each.query:
        errors.add(422)
    if each.body:
        errors |= {400, 413, 415, 422}
    return errors


def _error(status: int, schemas: Schemas) -> dict[str, Any]:
    schema = schemas[ProblemDocument, "serialization"]
    error: dict[str, Any] = {
        "description": HTTPStatus(status).phrase,
        "content": {"application/problem+json": {"schema": schema}},
    }
    if status == 503:
        error["headers"] = {"Retry-After": _header("Retry-After")}
    return error


def _header(name: str) -> dict[str, Any]:
    kind = "integer" if name == "Retry-After" else "string"
    return {"description": _HEADERS[name], "schema": {"type": kind}}
