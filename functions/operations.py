"""Routes, each declared once: its trigger, who reaches it, and what the OpenAPI document says.

A route that is not declared here does not exist, so none goes without a role or a description.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

import azure.functions as func
from pydantic import BaseModel

from functions.exchange import Handler, OpenHandler, Trigger, answering, answering_all
from shared.roles import Role


class Described(TypedDict, total=False):
    """What a route's description says besides its place and who reaches it; see `Operation`."""

    body: type[BaseModel]
    query: type[BaseModel]
    status: int
    answer: type[BaseModel] | str
    headers: Collection[str]
    errors: Collection[int]


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
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    status: int = 200
    answer: type[BaseModel] | str | None = None
    headers: Collection[str] = ()
    errors: Collection[int] = ()


OPERATIONS: dict[str, Operation] = {}
"""Every declared route by the name of its function."""


def operation(
    bp: func.Blueprint, method: str, path: str, role: Role, **described: Unpack[Described]
) -> Callable[[Handler], Any]:
    """Declare a route that callers with *role* reach."""

    def declare(handler: Handler) -> Any:
        return _register(bp, method, path, role, handler, answering(role)(handler), **described)

    return declare


def open_operation(
    bp: func.Blueprint, method: str, path: str, **described: Unpack[Described]
) -> Callable[[OpenHandler], Any]:
    """Declare a route that is open to everybody; nobody's headers are believed there."""

    def declare(handler: OpenHandler) -> Any:
        return _register(bp, method, path, None, handler, answering_all(handler), **described)

    return declare


def _register(
    bp: func.Blueprint,
    method: str,
    path: str,
    role: Role | None,
    handler: Callable[..., object],
    trigger: Trigger,
    **described: Unpack[Described],
) -> Any:
    name = handler.__name__
    summary = " ".join((handler.__doc__ or "").replace("``", "").split())
    OPERATIONS[name] = Operation(name, method, path, role, summary, **described)
    # The platform's own keys stay out of it: who may do what is decided in `functions.exchange`.
    routed = bp.route(path, methods=[method], auth_level=func.AuthLevel.ANONYMOUS)(trigger)
    return bp.function_name(name)(routed)
