"""Routes, each declared once: its trigger, who reaches it, and what the OpenAPI document says.

A route that is not declared here does not exist, so none goes without a role or a description.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import azure.functions as func
from pydantic import BaseModel

from functions.exchange import Handler, OpenHandler, Trigger, answering, answering_all
from shared.roles import Role


@dataclass(frozen=True)
class Operation:
    """A route as callers know it.

    Attributes:
        name: Of the function.
        path: As the host has it, without the leading slash.
        role: The least that is needed; None for a route that is open to everybody.
        summary: The handler's docstring.
        query: Model of the query's parameters.
        answer: Model of the body on success, or its media type; None: there is no body.
        headers: Names of headers that a success carries.
        errors: Statuses beyond those that follow from role, path and body.
    """

    name: str
    method: str
    path: str
    role: Role | None
    summary: str
    body: type[BaseModel] | None
    query: type[BaseModel] | None
    status: int
    answer: type[BaseModel] | str | None
    headers: tuple[str, ...]
    errors: frozenset[int]


OPERATIONS: dict[str, Operation] = {}
"""Every declared route by the name of its function."""


def operation(
    bp: func.Blueprint,
    method: str,
    path: str,
    role: Role,
    *,
    body: type[BaseModel] | None = None,
    query: type[BaseModel] | None = None,
    status: int = 200,
    answer: type[BaseModel] | str | None = None,
    headers: tuple[str, ...] = (),
    errors: Collection[int] = (),
) -> Callable[[Handler], Any]:
    """Declare a route that callers with *role* reach; see `Operation` for the rest."""

    def declare(handler: Handler) -> Any:
        _describe(handler, method, path, role, body, query, status, answer, headers, errors)
        return _register(bp, method, path, answering(role)(handler))

    return declare


def open_operation(
    bp: func.Blueprint,
    method: str,
    path: str,
    *,
    query: type[BaseModel] | None = None,
    status: int = 200,
    answer: type[BaseModel] | str | None = None,
    headers: tuple[str, ...] = (),
    errors: Collection[int] = (),
) -> Callable[[OpenHandler], Any]:
    """Declare a route that is open to everybody; nobody's headers are believed there."""

    def declare(handler: OpenHandler) -> Any:
        _describe(handler, method, path, None, None, query, status, answer, headers, errors)
        return _register(bp, method, path, answering_all(handler))

    return declare


def _describe(
    handler: Callable[..., object],
    method: str,
    path: str,
    role: Role | None,
    body: type[BaseModel] | None,
    query: type[BaseModel] | None,
    status: int,
    answer: type[BaseModel] | str | None,
    headers: tuple[str, ...],
    errors: Collection[int],
) -> None:
    name = handler.__name__
    OPERATIONS[name] = Operation(
        name=name,
        method=method,
        path=path,
        role=role,
        summary=" ".join((handler.__doc__ or "").replace("``", "").split()),
        body=body,
        query=query,
        status=status,
        answer=answer,
        headers=headers,
        errors=frozenset(errors),
    )


def _register(bp: func.Blueprint, method: str, path: str, trigger: Trigger) -> Any:
    # The platform's own keys stay out of it: who may do what is decided in `functions.exchange`.
    routed = bp.route(path, methods=[method], auth_level=func.AuthLevel.ANONYMOUS)(trigger)
    return bp.function_name(trigger.__name__)(routed)
