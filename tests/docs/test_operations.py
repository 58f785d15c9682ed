"""The page for operators has every code that the app can say, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared import errors
from shared.errors import ExportError

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def documented() -> set[str]:
    """Return the codes in the first column of the page's tables."""
    cells = re.findall(r"^\| (`[^|]*) \|", PAGE, re.MULTILINE)
    return {code for cell in cells for code in re.findall(r"`([a-z_]+)`", cell)}


def subclasses(root: type[ExportError]) -> Iterator[type[ExportError]]:
    yield root
    for each in root.__subclasses__():
        yield from subclasses(each)


def of_errors() -> set[str]:
    return {each.code for each in subclasses(ExportError) if each.__module__ == errors.__name__}


def text(node: ast.expr | None) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else ""


def written(tree: ast.Module) -> Iterator[str]:
    """Yield the codes that a module writes out: in calls, or as the first of a pair yielded."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), keywords=named):
                yield from (
                    text(each.value)
                    for each in named
                    if name in {"Problem", "Waiting", "ConnectionProblem", "Trouble"}
                    and each.arg in {"code", "reason"}
                )
                yield from (
                    text(each.value) for each in named if name == "having" and each.arg == "verdict"
                )
                if name == "require_person" and len(node.args) > 1:
                    yield text(node.args[1])
            case ast.Yield(value=ast.Tuple(elts=[code, _])):
                yield text(code)


def in_code(module: str) -> set[str]:
    tree = ast.parse((ROOT / "shared" / module).read_text(encoding="utf-8"))
    return {code for code in written(tree) if re.fullmatch(r"[a-z_]+", code)}


MODULES = sorted(path.name for path in (ROOT / "shared").glob("*.py"))


def test_every_error_has_its_line() -> None:
    assert of_errors() - documented() == set()


@pytest.mark.parametrize("module", [name for name in MODULES if in_code(name)])
def test_every_code_a_module_writes_out_has_its_line(module: str) -> None:
    assert in_code(module) - documented() == set()


def test_every_verdict_has_its_line() -> None:
    source = (ROOT / "shared" / "verdicts.py").read_text(encoding="utf-8")
    verdicts = set(re.findall(r'"(no_end|record_gone|completed|rows_missing)"', source))
    assert len(verdicts) == 4
    assert verdicts - documented() == set()


def test_the_page_has_no_code_that_the_app_does_not_know() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "shared").rglob("*.py"))
    assert {code for code in documented() if f'"{code}"' not in source} == set()


def test_the_guard_and_the_jobs_are_looked_through() -> None:
    """What is collected must not silently become nothing."""
    assert {"segment_empty", "segment_shrank", "removals_large"} <= in_code("guard.py")
    assert {"step_failed", "hold_expired", "activities"} <= in_code("jobs.py")
    assert "consent_ended" in in_code("tokens.py")
