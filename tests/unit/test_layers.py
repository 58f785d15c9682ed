"""Imports point one way, and each outside thing is met in one place."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
APP = sorted([*(ROOT / "shared").rglob("*.py"), *(ROOT / "functions").rglob("*.py")])


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def importers(*packages: str) -> set[str]:
    return {
        name_of(path)
        for path in APP
        if any(found == p or found.startswith(f"{p}.") for found in imports(path) for p in packages)
    }


def test_requests_is_met_in_one_module() -> None:
    assert importers("requests", "urllib3") == {"shared/constant_contact/transport.py"}


def test_azures_sdks_are_met_in_the_storage_package_alone() -> None:
    met = importers("azure.storage", "azure.keyvault", "azure.identity", "azure.core")
    assert {name for name in met if not name.startswith("shared/storage/")} == set()


def test_the_environment_is_read_in_one_module() -> None:
    assert importers("os") == {"shared/settings.py"}


def test_the_functions_package_is_met_by_nothing_below_it() -> None:
    assert {n for n in importers("functions") if n.startswith("shared/")} == set()
    assert importers("azure.functions") <= {name_of(p) for p in APP if "functions" in p.parts}


def test_the_app_does_not_know_the_stand_ins() -> None:
    assert importers("local", "tests") == set()


@pytest.mark.parametrize(
    "package", ["shared/segments", "shared/storage", "shared/constant_contact"]
)
def test_an_edge_or_the_core_does_not_know_the_stories(package: str) -> None:
    stories = ("jobs", "preparing", "sending", "following", "finishing", "mirroring", "rounds")
    known = importers(*(f"shared.{story}" for story in stories), "shared.product")
    assert {name for name in known if name.startswith(package)} == set()
