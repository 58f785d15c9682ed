"""What Azure's published type definitions say of a resource's properties.

The data is cut from https://github.com/Azure/bicep-types-az, in that project's own form: a table
of types that refer to each other by number. It has only what may be set.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.check.syntax import Array, Call, Expression, Literal, Name, Object, Operation, Template

_REQUIRED = 1
_BICEP_ONLY = {"parent", "scope", "dependsOn"}


@dataclass(frozen=True)
class Types:
    """The type definitions in a folder, a file each: ``<type with ~ for />@<version>.json``."""

    folder: Path

    def faults(
        self, type_: str, body: Object, variables: Mapping[str, Expression]
    ) -> Iterator[tuple[int, str]]:
        """Yield the line and sentence of everything in *body* that the type does not allow."""
        path = self.folder / f"{type_.replace('/', '~')}.json"
        if not path.exists():
            yield body.line, f"no type data for {type_}"
            return
        data = json.loads(path.read_text(encoding="utf-8"))
        root = data["types"][str(data["root"])]
        check = _Check(data["types"], variables)
        yield from check.fields(root["body"], (body,), type_, top=True)


@dataclass(frozen=True)
class _Check:
    types: Mapping[str, Any]
    variables: Mapping[str, Expression]

    def value(
        self, reference: Mapping[str, int], value: Expression, path: str
    ) -> Iterator[tuple[int, str]]:
        """Check one value; what is only known at deployment passes."""
        type_ = self.types[str(reference["$ref"])]
        match value:
            case Operation("?", (_, yes, no)):
                yield from self.value(reference, yes, path)
                yield from self.value(reference, no, path)
                return
            case Literal(None) | Template():
                return
        match type_["$type"]:
            case "ObjectType" | "DiscriminatedObjectType":
                yield from self._object(reference, value, path)
            case "ArrayType":
                yield from self._array(type_, value, path)
            case "UnionType" | "StringLiteralType":
                yield from self._choice(type_, value, path)
            case "StringType" | "IntegerType" | "BooleanType":
                yield from self._plain(type_["$type"], value, path)

    def fields(
        self,
        reference: Mapping[str, int],
        parts: tuple[Object, ...],
        path: str,
        *,
        top: bool = False,
    ) -> Iterator[tuple[int, str]]:
        """Check an object that is given in one or several *parts*."""
        type_ = self.types[str(reference["$ref"])]
        known: dict[str, Any] | None = type_.get("properties") or {}
        if type_["$type"] == "DiscriminatedObjectType":
            known, fault = self._chosen(type_, parts, path)
            if fault:
                yield parts[0].line, fault
        if known is None:
            return
        given = [pair for part in parts for pair in part.properties]
        for key, value in given:
            name = str(key.value) if isinstance(key, Literal) else ""
            definition = known.get(name)
            if definition:
                yield from self.value(definition["type"], value, f"{path}.{name}")
            elif type_.get("additionalProperties"):
                yield from self.value(type_["additionalProperties"], value, f"{path}.{name}")
            elif not (top and name in _BICEP_ONLY):
                yield key.line, f"{path}.{name} cannot be set"
        required = {name for name, part in known.items() if part["flags"] & _REQUIRED}
        for name in sorted(
            required - {str(key.value) for key, _ in given if isinstance(key, Literal)}
        ):
            yield parts[0].line, f"{path}.{name} is missing"

    def _chosen(
        self, type_: Mapping[str, Any], parts: tuple[Object, ...], path: str
    ) -> tuple[dict[str, Any] | None, str]:
        """Return the properties of the variant that the discriminator picks, or a fault.

        Neither where the discriminator is ``any(...)``: then everything goes.
        """
        by = type_["discriminator"]
        picked = next((found for part in parts if (found := part.get(by)) is not None), None)
        match picked:
            case Literal(str(variant)) if variant in type_["elements"]:
                element = self.types[str(type_["elements"][variant]["$ref"])]
                return {**type_["baseProperties"], **element["properties"]}, ""
            case Literal(variant):
                return None, f"{path}.{by}: {variant} is none of {', '.join(type_['elements'])}"
            case Call("any"):
                return None, ""
            case _:
                return None, f"{path}.{by} has to be a literal"

    def _object(
        self, reference: Mapping[str, int], value: Expression, path: str
    ) -> Iterator[tuple[int, str]]:
        match value:
            case Object():
                yield from self.fields(reference, (value,), path)
            case Call("union", arguments):
                parts = tuple(
                    part for argument in arguments for part in _objects(self._resolved(argument))
                )
                yield from self.fields(reference, parts, path)
            case Literal() | Array():
                yield value.line, f"{path} has to be an object"

    def _array(
        self, type_: Mapping[str, Any], value: Expression, path: str
    ) -> Iterator[tuple[int, str]]:
        match value:
            case Array(items):
                for item in items:
                    yield from self.value(type_["itemType"], item, f"{path}[]")
            case Literal() | Object():
                yield value.line, f"{path} has to be an array"

    def _choice(
        self, type_: Mapping[str, Any], value: Expression, path: str
    ) -> Iterator[tuple[int, str]]:
        elements = [self.types[str(e["$ref"])] for e in type_.get("elements", [])] or [type_]
        allowed = [element["value"] for element in elements if "value" in element]
        # An open list is still a list of all that Azure knew when the data was published.
        match value:
            case Literal(found) if allowed and found not in allowed:
                yield value.line, f"{path}: {found} is none of {', '.join(allowed)}"

    def _plain(self, wanted: str, value: Expression, path: str) -> Iterator[tuple[int, str]]:
        match value:
            case Literal(bool()):
                found = "BooleanType"
            case Literal(int()):
                found = "IntegerType"
            case Literal(str()):
                found = "StringType"
            case Object() | Array():
                found = type(value).__name__
            case _:
                return
        if found != wanted:
            yield value.line, f"{path} has to be a {wanted.removesuffix('Type').lower()}"

    def _resolved(self, expression: Expression) -> Expression:
        match expression:
            case Name(name) if name in self.variables:
                return self.variables[name]
            case _:
                return expression


def _objects(expression: Expression) -> list[Object]:
    match expression:
        case Object():
            return [expression]
        case Operation("?", (_, yes, no)):
            return [*_objects(yes), *_objects(no)]
        case _:
            return []
