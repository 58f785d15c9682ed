"""Functions, events and attributes that alerts, workbook and pages name exist in the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from function_app import app
from infra.hooks.smoke import FUNCTIONS
from shared.events import Event
from shared.finishing import facts
from tests.documents import a_run
from tests.infra.sources import DOCS, INFRA, ROOT, queries, texts

EVENTS = {event.value for event in Event}
PAGES = sorted([*DOCS.glob("*.md"), *INFRA.glob("*.bicep"), INFRA / "workbook.json"])


@cache
def functions() -> frozenset[str]:
    """Return the names the host registers."""
    return frozenset(str(function.get_function_name()) for function in app.get_functions())


def named_events(query: str) -> set[str]:
    """Return the event names a query compares the message with."""
    lists = re.findall(r"message in~? ?\(([^)]*)\)", query)
    single = re.findall(r'message == "([^"]*)"', query)
    return {*single, *(name for names in lists for name in re.findall(r'"([^"]*)"', names))}


def named_attributes(query: str) -> set[str]:
    """Return the attributes a query reads."""
    return set(re.findall(r"\b(?:d|customDimensions)\.(\w+)", query))


def sources() -> Iterator[ast.AST]:
    """Yield every node of the code that runs on Azure."""
    for folder in ("functions", "shared"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            if file.name != "events.py":
                yield from ast.walk(ast.parse(file.read_text(encoding="utf-8")))


def emitted() -> tuple[set[str], set[str]]:
    """Return the events the code refers to, and the attributes it gives with any event."""
    events, attributes = set(), set(facts(a_run()))
    for node in sources():
        match node:
            case ast.Attribute(value=ast.Name(id="Event"), attr=name):
                events.add(Event[name].value)
            case ast.Call(func=ast.Name(id="emit"), keywords=keywords):
                attributes |= {keyword.arg for keyword in keywords if keyword.arg}
    return events, attributes


def test_there_are_queries_to_compare() -> None:
    assert len(queries()) > 15


@pytest.mark.parametrize("query", queries())
def test_a_query_reads_events_and_attributes_that_are_emitted(query: str) -> None:
    events, attributes = emitted()

    assert named_events(query) <= events & EVENTS
    assert named_attributes(query) <= attributes


def test_an_unknown_event_would_be_found() -> None:
    query = 'traces | where message in ("run_queued", "run_lost") or message == "run_gone"'

    assert named_events(query) - EVENTS == {"run_lost", "run_gone"}


def test_every_event_that_asks_for_a_person_has_an_alert() -> None:
    alerts = "\n".join(texts(INFRA / "alerts.bicep"))

    for event in (
        Event.RUN_FAILED,
        Event.RUN_UNRECONCILED,
        Event.RECONNECT_REQUIRED,
        Event.NOTHING_NEW,
        Event.ACCESS_REFUSED,
    ):
        assert f'"{event}"' in alerts
    assert '"export-jobs-poison"' in alerts


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_functions_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = {
        *re.findall(r"AzureWebJobs\.(\w+)\.Disabled", text),
        *re.findall(r"function `(\w+)`", text),
        *re.findall(r"`(\w+)` \((?:timer|HTTP|queue|poison queue)\)", text),
    }

    assert named <= functions()


def test_the_smoke_test_looks_for_functions_that_exist() -> None:
    assert functions() >= FUNCTIONS


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda path: path.name)
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target
