"""The page for operators has every code that the app can say, and no other."""

from __future__ import annotations

import re

import pytest

from local.parts import ROOT
from tests.codes import MODULES, in_code, of_errors, subclasses

PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def documented() -> set[str]:
    """Return the codes in the first column of the page's tables."""
    cells = re.findall(r"^\| (`[^|]*) \|", PAGE, re.MULTILINE)
    return {code for cell in cells for code in re.findall(r"`([a-z_]+)`", cell)}


def test_every_error_has_its_line() -> None:
    assert of_errors() - documented() == set()


@pytest.mark.parametrize("module", [name for name in MODULES if in_code(name)])
def test_every_code_a_module_writes_out_has_its_line(module: str) -> None:
    assert {code for _, code in in_code(module)} - documented() == set()


def test_every_error_has_a_code_of_its_own() -> None:
    """Nothing raises a kind that others share, so that programs can tell one state from another."""
    codes = [each.code for each in subclasses()]
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "shared").rglob("*.py"))

    assert len(codes) == len(set(codes))
    assert "raise Conflict(" not in source


def test_every_verdict_has_its_line() -> None:
    source = (ROOT / "shared" / "verdicts.py").read_text(encoding="utf-8")
    verdicts = set(
        re.findall(r'"(no_end|record_gone|completed|rows_missing|unconfirmed|not_sent)"', source)
    )
    assert len(verdicts) == 6
    assert verdicts - documented() == set()


def test_the_page_has_no_code_that_the_app_does_not_know() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "shared").rglob("*.py"))
    assert {code for code in documented() if f'"{code}"' not in source} == set()


def test_the_guard_and_the_jobs_are_looked_through() -> None:
    """What is collected must not silently become nothing."""
    assert ("problem", "segment_empty") in in_code("guard.py")
    assert ("problem", "removals_large") in in_code("guard.py")
    assert ("problem", "step_failed") in in_code("jobs.py")
    assert ("problem", "activities") in in_code("jobs.py")
    assert ("problem", "consent_ended") in in_code("tokens.py")
    assert ("note", "terms_changed") in in_code("remembering.py")
