"""The codes that the app can say, as its source has them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Literal

from local.parts import ROOT
from shared import errors
from shared.errors import ExportError

MODULES = sorted(path.name for path in (ROOT / "shared").glob("*.py"))


Said = tuple[Literal["problem", "note"], str]
"""What a code is about, and the code."""

_CALLS: dict[str, tuple[str, Literal["problem", "note"]]] = {
    "Problem": ("code", "problem"),
    "ConnectionProblem": ("code", "problem"),
    "Waiting": ("reason", "problem"),
    "Note": ("code", "note"),
}
"""What is called → its argument that is a code, and what that is about."""


def subclasses(root: type[ExportError] = ExportError) -> Iterator[type[ExportError]]:
    """Yield *root* and all kinds of it."""
    yield root
    for each in root.__subclasses__():
        yield from subclasses(each)


def of_errors() -> set[str]:
    """Return the codes of `shared.errors`."""
    return {each.code for each in subclasses() if each.__module__ == errors.__name__}


def in_code(module: str) -> set[Said]:
    """Return the codes that a module of ``shared`` writes out."""
    tree = ast.parse((ROOT / "shared" / module).read_text(encoding="utf-8"))
    return {(about, code) for about, code in _written(tree) if re.fullmatch(r"[a-z_]+", code)}


def _written(tree: ast.Module) -> Iterator[Said]:
    """Yield what is written out in calls, or as the first of a pair that is yielded."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), keywords=named):
                argument, about = _CALLS.get(name, ("", "problem"))
                yield from ((about, _text(each.value)) for each in named if each.arg == argument)
                if name == "require_person" and len(node.args) > 1:
                    yield "problem", _text(node.args[1])
            case ast.Yield(value=ast.Tuple(elts=[code, _])):
                yield "problem", _text(code)


def _text(node: ast.expr) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else ""
