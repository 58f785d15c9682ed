"""Bicep files as values: declarations and expressions, read with tree-sitter's grammar.

https://learn.microsoft.com/azure/azure-resource-manager/bicep/file
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

_PARSER = Parser(Language(tree_sitter_bicep.language()))
_ESCAPES = {"\\'": "'", "\\\\": "\\", "\\n": "\n", "\\r": "\r", "\\t": "\t", "\\$": "$"}


class SyntaxFault(Exception):
    """The file is not Bicep, or uses a part of it that these checks do not know."""


@dataclass(frozen=True)
class Expression:
    """Root of all expressions; ``line`` counts from 1."""

    line: int = field(compare=False, kw_only=True)


@dataclass(frozen=True)
class Literal(Expression):
    """A string without interpolation, a number, a truth value or null."""

    value: str | int | bool | None


@dataclass(frozen=True)
class Template(Expression):
    """A string with interpolations: literal text and expressions in turn."""

    parts: tuple[str | Expression, ...]


@dataclass(frozen=True)
class Name(Expression):
    """A symbol of the file."""

    id: str


@dataclass(frozen=True)
class Member(Expression):
    """``of.name``."""

    of: Expression
    name: str


@dataclass(frozen=True)
class Call(Expression):
    """A call of one of Bicep's functions."""

    function: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True)
class Operation(Expression):
    """An operator and its one, two or three operands; the ternary's operator is ``?``."""

    operator: str
    operands: tuple[Expression, ...]


@dataclass(frozen=True)
class Array(Expression):
    """``[...]``."""

    items: tuple[Expression, ...]


@dataclass(frozen=True)
class Object(Expression):
    """``{...}``; keys are literals or templates."""

    properties: tuple[tuple[Literal | Template, Expression], ...]

    def get(self, key: str) -> Expression | None:
        """Return the value of a literal key."""
        return next((value for name, value in self.properties if name == _text(key)), None)

    def __getitem__(self, key: str) -> Expression:
        found = self.get(key)
        if found is None:
            raise SyntaxFault(f"line {self.line}: {key} is missing")
        return found

    def without(self, *keys: str) -> Object:
        """Return this object less some literal keys."""
        gone = {_text(key) for key in keys}
        kept = tuple((key, value) for key, value in self.properties if key not in gone)
        return Object(kept, line=self.line)


@dataclass(frozen=True)
class Declaration:
    """One statement: a parameter, variable, resource, module or output.

    Attributes:
        type: Of a parameter or output, its type; of a resource, ``<type>@<version>``; of a
            module, its file.
        value: The default, value or body; None for a parameter without default.
        decorators: Calls above it, such as ``@secure()``.
    """

    kind: str
    name: str
    line: int
    type: str = ""
    value: Expression | None = None
    condition: Expression | None = None
    existing: bool = False
    decorators: tuple[Call, ...] = ()

    @property
    def body(self) -> Object:
        """The object of a resource or module."""
        if not isinstance(self.value, Object):
            raise SyntaxFault(f"line {self.line}: {self.name} has no object as its body")
        return self.value

    def decorator(self, function: str) -> Call | None:
        """Return the decorator of that name, if it has it."""
        return next((call for call in self.decorators if call.function == function), None)


@dataclass(frozen=True)
class File:
    """A Bicep file."""

    path: Path
    scope: str
    declarations: tuple[Declaration, ...]

    def all(self, kind: str) -> list[Declaration]:
        """Return the declarations of a kind, in their order."""
        return [item for item in self.declarations if item.kind == kind]

    def symbols(self) -> dict[str, Declaration]:
        """Return what expressions may name; outputs are not among it."""
        return {item.name: item for item in self.declarations if item.kind != "output"}


def read(path: Path) -> File:
    """Return the file as declarations, or raise `SyntaxFault` with the line."""
    root = _PARSER.parse(path.read_bytes()).root_node
    fault = next((node for node in _walk(root) if node.is_error or node.is_missing), None)
    if fault is not None:
        raise SyntaxFault(f"{path.name}, line {_line(fault)}: not Bicep")
    scope = "resourceGroup"
    declarations: list[Declaration] = []
    decorators: list[Call] = []
    for node in root.named_children:
        match node.type:
            case "comment" | "diagnostic_comment":
                continue
            case "target_scope_assignment":
                scope = str(_literal(node.named_children[0]).value)
            case "decorators":
                decorators += [_decorator(child) for child in node.named_children]
            case _:
                declarations.append(_declaration(node, tuple(decorators)))
                decorators = []
    return File(path, scope, tuple(declarations))


def walk(expression: Expression) -> Iterator[Expression]:
    """Yield the expression and all within it."""
    yield expression
    for child in children(expression):
        yield from walk(child)


def children(expression: Expression) -> Sequence[Expression]:
    """Return the expressions directly within *expression*."""
    match expression:
        case Template(parts):
            return [part for part in parts if isinstance(part, Expression)]
        case Member(of):
            return [of]
        case Call(_, arguments):
            return arguments
        case Operation(_, operands):
            return operands
        case Array(items):
            return items
        case Object(properties):
            return [part for pair in properties for part in pair]
        case _:
            return []


def _text(text: str) -> Literal:
    return Literal(text, line=0)


def _walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _walk(child)


def _line(node: Node) -> int:
    return node.start_point.row + 1


def _source(node: Node) -> str:
    return (node.text or b"").decode()


def _parts(node: Node) -> list[Node]:
    return [child for child in node.named_children if child.type != "comment"]


def _operators(node: Node) -> list[str]:
    return [child.type for child in node.children if not child.is_named]


def _decorator(node: Node) -> Call:
    call = _expression(_parts(node)[0])
    if not isinstance(call, Call):
        raise SyntaxFault(f"line {_line(node)}: a decorator has to be a call")
    return call


_KINDS = {
    "parameter_declaration": "param",
    "variable_declaration": "var",
    "resource_declaration": "resource",
    "module_declaration": "module",
    "output_declaration": "output",
}


def _declaration(node: Node, decorators: tuple[Call, ...]) -> Declaration:
    kind = _KINDS.get(node.type)
    if kind is None:
        raise SyntaxFault(f"line {_line(node)}: {node.type} is not known here")
    name, *rest = _parts(node)
    type_ = ""
    if kind in {"param", "output"}:
        type_ = _source(rest.pop(0))
    elif kind in {"resource", "module"}:
        type_ = str(_literal(rest.pop(0)).value)
    condition = None
    if rest and rest[0].type == "if_statement":
        test, body = _parts(rest[0])
        condition, rest = _expression(test), [body]
    return Declaration(
        kind=kind,
        name=_source(name),
        line=_line(node),
        type=type_,
        value=_expression(rest[-1]) if rest else None,
        condition=condition,
        existing=any(child.type == "existing" for child in node.children),
        decorators=decorators,
    )


def _literal(node: Node) -> Literal:
    found = _expression(node)
    if not isinstance(found, Literal):
        raise SyntaxFault(f"line {_line(node)}: a literal is needed")
    return found


def _expression(node: Node) -> Expression:  # noqa: C901 - one line per form of the language
    line = _line(node)
    parts = _parts(node)
    match node.type:
        case "string":
            return _string(node)
        case "number":
            return Literal(int(_source(node)), line=line)
        case "boolean":
            return Literal(_source(node) == "true", line=line)
        case "null":
            return Literal(None, line=line)
        case "identifier":
            return Name(_source(node), line=line)
        case "parenthesized_expression":
            return _expression(parts[0])
        case "member_expression" if _operators(node) in (["."], ["!", "."]):
            # `a!.b` differs from `a.b` in what the compiler warns of, not in what it means.
            return Member(_expression(parts[0]), _source(parts[1]), line=line)
        case "call_expression":
            arguments = tuple(_expression(part) for part in _parts(parts[1]))
            return Call(_source(parts[0]), arguments, line=line)
        case "unary_expression" | "binary_expression" | "ternary_expression":
            operands = tuple(_expression(part) for part in parts)
            return Operation(_operators(node)[0], operands, line=line)
        case "array":
            return Array(tuple(_expression(part) for part in parts), line=line)
        case "object":
            return Object(tuple(_property(part) for part in parts), line=line)
        case _:
            raise SyntaxFault(f"line {line}: {node.type} is not known here")


def _property(node: Node) -> tuple[Literal | Template, Expression]:
    key, value = _parts(node)
    name = _string(key) if key.type == "string" else Literal(_source(key), line=_line(key))
    return name, _expression(value)


def _string(node: Node) -> Literal | Template:
    parts: list[str | Expression] = []
    for child in node.children:
        match child.type:
            case "interpolation":
                parts.append(_expression(_parts(child)[0]))
            case "string_content":
                parts.append(_source(child))
            case "escape_sequence":
                parts.append(_ESCAPES[_source(child)])
    if _source(node).startswith("'''"):
        raise SyntaxFault(f"line {_line(node)}: multi-line strings are not known here")
    if all(isinstance(part, str) for part in parts):
        return Literal("".join(map(str, parts)), line=_line(node))
    return Template(tuple(parts), line=_line(node))
