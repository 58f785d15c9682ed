"""The portal's template, made from the Bicep files: ``python -m infra.check.arm``.

The portal's button takes ARM JSON only. This writes what ``az bicep build`` would, in the
symbolic form of language version 2.0, for the part of Bicep that these files use.
https://learn.microsoft.com/azure/azure-resource-manager/templates/syntax
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.check.syntax import (
    Array,
    Call,
    Declaration,
    Expression,
    File,
    Literal,
    Member,
    Name,
    Object,
    Operation,
    SyntaxFault,
    Template,
    children,
    read,
)

INFRA = Path(__file__).resolve().parents[1]
SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
MODULE_VERSION = "2025-04-01"

_OPERATORS = {
    "==": "equals", ">": "greater", ">=": "greaterOrEquals", "<": "less", "<=": "lessOrEquals",
    "&&": "and", "||": "or", "??": "coalesce", "+": "add", "?": "if", "!": "not",
}  # fmt: skip
_PLACED = ("name", "parent", "scope", "dependsOn", "params")


def translate(path: Path) -> dict[str, Any]:
    """Return the ARM template of a Bicep file; modules become nested deployments."""
    return _Translation(read(path)).template()


def write(source: Path, target: Path) -> None:
    """Write the ARM template of *source* to *target*."""
    target.write_text(render(translate(source)), encoding="utf-8")


def render(template: dict[str, Any]) -> str:
    """Return the template as the text that is kept in the repository."""
    return json.dumps(template, indent=2, ensure_ascii=False) + "\n"


@dataclass
class _Translation:
    file: File
    loaded: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.symbols = self.file.symbols()

    def template(self) -> dict[str, Any]:
        variables = {
            item.name: self._value(_body(item))
            for item in self.file.all("var")
            if not self._waits_for_resources(_body(item))
        }
        resources = {
            item.name: self._resource(item) if item.kind == "resource" else self._module(item)
            for item in self.file.declarations
            if item.kind in {"resource", "module"} and not item.existing
        }
        outputs = {
            item.name: {"type": item.type, "value": self._value(_body(item))}
            for item in self.file.all("output")
        }
        parts = {
            "parameters": {item.name: self._parameter(item) for item in self.file.all("param")},
            "variables": self.loaded | variables,
            "resources": resources,
            "outputs": outputs,
        }
        return {
            "$schema": SCHEMA,
            "languageVersion": "2.0",
            "contentVersion": "1.0.0.0",
        } | {name: part for name, part in parts.items() if part or name == "resources"}

    def _parameter(self, item: Declaration) -> dict[str, Any]:
        parameter: dict[str, Any] = {
            "type": f"secure{item.type}" if item.decorator("secure") else item.type
        }
        if item.value is not None:
            parameter["defaultValue"] = self._value(item.value)
        metadata: dict[str, Any] = {}
        for call in item.decorators:
            match call.function:
                case "allowed":
                    parameter["allowedValues"] = self._value(call.arguments[0])
                case "minValue" | "maxValue" | "minLength" | "maxLength":
                    parameter[call.function] = self._value(call.arguments[0])
                case "description":
                    metadata["description"] = self._value(call.arguments[0])
                case "metadata":
                    metadata |= self._value(call.arguments[0])
        return parameter | ({"metadata": metadata} if metadata else {})

    def _resource(self, item: Declaration) -> dict[str, Any]:
        type_, version = item.type.split("@")
        entry: dict[str, Any] = {}
        if item.condition is not None:
            entry["condition"] = self._value(item.condition)
        if item.decorator("onlyIfNotExists"):
            entry["@options"] = {"onlyIfNotExists": True}
        entry |= {"type": type_, "apiVersion": version}
        scope = item.body.get("scope")
        if isinstance(scope, Name):
            entry["scope"] = f"[{self._id(self.symbols[scope.id])}]"
        entry["name"] = self._value(self._full_name(item))
        entry |= self._value(item.body.without(*_PLACED))
        return self._after(item, entry)

    def _module(self, item: Declaration) -> dict[str, Any]:
        entry: dict[str, Any] = {}
        if item.condition is not None:
            entry["condition"] = self._value(item.condition)
        entry |= {
            "type": "Microsoft.Resources/deployments",
            "apiVersion": MODULE_VERSION,
            "name": self._value(item.body["name"]),
        }
        match item.body.get("scope"):
            case None:
                pass
            case Call("resourceGroup", (subscription, group)):
                entry["subscriptionId"] = self._value(subscription)
                entry["resourceGroup"] = self._value(group)
            case _:
                raise SyntaxFault(f"{item.name}: this scope of a module is not known here")
        params = item.body["params"]
        if not isinstance(params, Object):
            raise SyntaxFault(f"{item.name}: params have to be an object")
        entry["properties"] = {
            "expressionEvaluationOptions": {"scope": "inner"},
            "mode": "Incremental",
            "parameters": {name: {"value": value} for name, value in self._value(params).items()},
            "template": translate(self.file.path.parent / item.type),
        }
        return self._after(item, entry)

    def _after(self, item: Declaration, entry: dict[str, Any]) -> dict[str, Any]:
        """Add what has to exist before *item*: all that it names, and what it says itself."""
        before = {
            symbol.name
            for symbol in self._named_by(item.body)
            if symbol.kind in {"resource", "module"} and not symbol.existing
        }
        return entry | ({"dependsOn": sorted(before)} if before else {})

    def _named_by(self, expression: Expression) -> Iterator[Declaration]:
        """Yield the symbols an expression needs, through variables and parents."""
        if isinstance(expression, Name):
            symbol = self.symbols[expression.id]
            yield symbol
            if symbol.kind == "var" and symbol.value is not None:
                yield from self._named_by(symbol.value)
        for child in children(expression):
            yield from self._named_by(child)

    def _parent(self, item: Declaration) -> Declaration | None:
        parent = item.body.get("parent")
        return self.symbols[parent.id] if isinstance(parent, Name) else None

    def _names(self, item: Declaration) -> list[Expression]:
        """Return the segments of a resource's name, its ancestors' first."""
        parent = self._parent(item)
        return [*(self._names(parent) if parent else []), _plain(item.body["name"])]

    def _full_name(self, item: Declaration) -> Expression:
        names = self._names(item)
        if len(names) == 1:
            return names[0]
        places = Literal("/".join(f"{{{place}}}" for place in range(len(names))), line=item.line)
        return Call("format", (places, *names), line=item.line)

    def _id(self, item: Declaration) -> str:
        names = ", ".join(self._code(name) for name in self._names(item))
        return f"resourceId('{item.type.split('@')[0]}', {names})"

    def _value(self, expression: Expression) -> Any:
        """Return an expression as JSON, with ``[...]`` where something is computed."""
        match expression:
            case Object(properties):
                return {self._value(key): self._value(value) for key, value in properties}
            case Array(items):
                return [self._value(item) for item in items]
            case Literal(str(text)):
                return f"[{text}" if text.startswith("[") else text
            case Literal(bool() | int() as value):
                return value
            case Call("any", (argument,)):
                return self._value(argument)
            case _:
                return f"[{self._code(expression)}]"

    def _code(self, expression: Expression) -> str:
        """Return an expression in the language between the brackets."""
        match expression:
            case Literal(value):
                return _constant(value)
            case Template(parts):
                return self._format(parts)
            case Name(name):
                return self._symbol(name)
            case Member():
                return self._member(expression)
            case _:
                return self._applied(expression)

    def _applied(self, expression: Expression) -> str:
        inner = ", ".join(self._code(part) for part in children(expression))
        match expression:
            case Operation(operator):
                return f"{_OPERATORS[operator]}({inner})"
            case Array():
                return f"createArray({inner})"
            case Object():
                return f"createObject({inner})"
            case Call("any"):
                return inner
            case Call("loadTextContent", (Literal(str(name)),)):
                return self._load(name)
            case Call(function):
                return f"{function}({inner})"
            case _:
                raise SyntaxFault(f"line {expression.line}: this expression is not known here")

    def _format(self, parts: tuple[str | Expression, ...]) -> str:
        text = ""
        arguments: list[str] = []
        for part in parts:
            if isinstance(part, str):
                text += part.replace("{", "{{").replace("}", "}}")
            else:
                text += f"{{{len(arguments)}}}"
                arguments.append(self._code(part))
        return f"format({', '.join([_quoted(text), *arguments])})"

    def _symbol(self, name: str) -> str:
        item = self.symbols[name]
        if item.kind == "var" and self._waits_for_resources(_body(item)):
            return self._code(_body(item))  # variables are computed before there are resources
        kind = item.kind
        if kind not in {"param", "var"}:
            raise SyntaxFault(f"{name}: a {kind} as a whole is not a value here")
        return f"{'parameters' if kind == 'param' else 'variables'}('{name}')"

    def _waits_for_resources(self, expression: Expression) -> bool:
        """Say whether a value is known only once a resource or module is deployed."""
        match expression:
            case Member(Name(name), "properties" | "outputs") if self._is(
                name, "resource", "module"
            ):
                return True
            case Name(name) if self._is(name, "var"):
                return self._waits_for_resources(_body(self.symbols[name]))
            case _:
                return any(self._waits_for_resources(part) for part in children(expression))

    def _member(self, expression: Member) -> str:
        match expression:
            case Member(Name(name), "id") if self._is(name, "resource"):
                return self._id(self.symbols[name])
            case Member(Name(name), "name") if self._is(name, "resource"):
                return self._code(_plain(self.symbols[name].body["name"]))
            case Member(Name(name), "properties") if self._is(name, "resource"):
                if self.symbols[name].existing:
                    raise SyntaxFault(f"{name}: properties of an existing resource")
                return f"reference('{name}')"
            case Member(Member(Name(name), "outputs"), output) if self._is(name, "module"):
                return f"reference('{name}').outputs.{output}.value"
            case Member(Name(name), member) if not self._is(name, "param", "var"):
                raise SyntaxFault(f"{name}.{member} is not known here")
            case Member(of, member):
                return f"{self._code(of)}.{member}"

    def _is(self, name: str, *kinds: str) -> bool:
        return self.symbols[name].kind in kinds

    def _load(self, name: str) -> str:
        # As a variable: an expression may not be longer than 24,576 characters.
        key = f"$fxv#{len(self.loaded)}"
        self.loaded[key] = (self.file.path.parent / name).read_text(encoding="utf-8")
        return f"variables('{key}')"


def _body(item: Declaration) -> Expression:
    if item.value is None:
        raise SyntaxFault(f"{item.name} has no value")
    return item.value


def _plain(expression: Expression) -> Expression:
    """Return what ``any(...)`` wraps."""
    match expression:
        case Call("any", (argument,)):
            return argument
        case _:
            return expression


def _constant(value: str | int | bool | None) -> str:
    match value:
        case None:
            return "null()"
        case bool():
            return f"{str(value).lower()}()"
        case int():
            return str(value)
        case str():
            return _quoted(value)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


if __name__ == "__main__":
    write(INFRA / "resources.bicep", INFRA / "azuredeploy.json")
