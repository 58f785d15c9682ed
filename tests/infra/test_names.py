"""Functions, events and attributes that alerts, workbook and pages name exist in the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from string import Formatter

import pytest

from function_app import app
from infra.check.syntax import Array, Expression, Object, read, walk
from infra.hooks.smoke import FUNCTIONS
from shared.changes import facts
from shared.events import SENTENCES, Event
from tests.documents import a_run
from tests.infra.sources import DOCS, INFRA, ROOT, plain, queries, texts

EVENTS = {event.value for event in Event}
PAGES = sorted([*DOCS.glob("*.md"), ROOT / "README.md"])
TEMPLATES = sorted([*INFRA.glob("*.bicep"), INFRA / "workbook.json"])
NOT_OURS = {
    *("true", "false", "make", "csv", "json", "requests", "python"),
    *("runs", "rejects.csv", "connector.json"),  # a folder, files
    *("managedidentity", "app"),  # Azure's, and a part of the template
    *("account_read", "contact_data", "offline_access"),  # scopes of Constant Contact
}
"""What pages name and the code has no name for."""
RELEASES = "../../releases/latest"
"""From the README's page, wherever the repository is: GitHub's own page of the newest release."""


@cache
def functions() -> frozenset[str]:
    """Return the names the host registers."""
    return frozenset(str(function.get_function_name()) for function in app.get_functions())


def named_events(query: str) -> set[str]:
    """Return the names a query compares the event with."""
    lists = re.findall(r"customDimensions\.event\) in~? ?\(([^)]*)\)", query)
    single = re.findall(r'customDimensions\.event\) == "([^"]*)"', query)
    return {*single, *(name for names in lists for name in re.findall(r'"([^"]*)"', names))}


def named_attributes(query: str) -> set[str]:
    """Return the attributes a query reads, besides the event's name, which each has."""
    return set(re.findall(r"\b(?:d|customDimensions)\.(\w+)", query)) - {"event"}


@cache
def modules() -> tuple[ast.Module, ...]:
    """Return the code that runs on Azure."""
    files = (file for folder in ("functions", "shared") for file in (ROOT / folder).rglob("*.py"))
    return tuple(ast.parse(file.read_text(encoding="utf-8")) for file in sorted(files))


def calls(function: str) -> Iterator[tuple[ast.Module, ast.Call]]:
    """Yield every call of a function, with or without its module before it."""
    for module in modules():
        for node in ast.walk(module):
            match node:
                case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if (
                    name == function
                ):
                    yield module, node


def events_of(module: ast.Module, argument: ast.expr) -> set[str]:
    """Return the events that an argument stands for: one by name, or those of a table."""
    match argument:
        case ast.Attribute(value=ast.Name(id="Event"), attr=name):
            return {Event[name].value}
        case ast.Subscript(value=ast.Name(id=table)):
            return {
                event
                for node in module.body
                if isinstance(node, ast.Assign)
                and isinstance(node.targets[0], ast.Name)
                and node.targets[0].id == table
                and isinstance(node.value, ast.Dict)
                for value in node.value.values
                for event in events_of(module, value)
            }
    raise AssertionError(ast.unparse(argument))


def attributes_of(keywords: list[ast.keyword]) -> set[str]:
    """Return the attributes that are given by name, by `facts`, or as ids of an audit."""
    found: set[str] = set()
    for keyword in keywords:
        match keyword:
            case ast.keyword(arg=None, value=ast.Call(func=ast.Name(id="facts"))):
                found |= set(facts(a_run()))
            case ast.keyword(arg=None, value=ast.Name(id="ids")):
                noted = [each.arg for _, call in calls("note") for each in call.keywords]
                found |= {name for name in noted if name and name.endswith("_id")}
            case ast.keyword(arg=str(name)):
                found.add(name)
            case _:
                raise AssertionError(ast.unparse(keyword.value))
    return found


@cache
def emitted() -> dict[str, set[str]]:
    """Return the events that the code emits, each with its attributes."""
    found: dict[str, set[str]] = {}
    for module, call in calls("emit"):
        for event in events_of(module, call.args[0]):
            found.setdefault(event, set()).update(attributes_of(call.keywords))
    return found


def unknown(query: str) -> set[str]:
    """Return the events a query names that nothing emits, and what no event of its own has."""
    events = named_events(query)
    known = {name for event in events for name in emitted().get(event, ())}
    return (events - set(emitted())) | (named_attributes(query) - known)


def kusto(page: Path) -> list[str]:
    """Return the queries that a page prints."""
    return re.findall(r"(?ms)^```kusto\n(.*?)^```", page.read_text(encoding="utf-8"))


QUERIES = [*queries(), *(query for page in PAGES for query in kusto(page))]


def test_there_are_queries_to_compare() -> None:
    assert len(queries()) > 15
    assert any(kusto(page) for page in PAGES)


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_reads_events_and_attributes_that_are_emitted(query: str) -> None:
    assert unknown(query) == set()


def test_every_event_is_emitted_somewhere() -> None:
    assert set(emitted()) == EVENTS


def test_the_sentence_of_every_event_can_be_filled() -> None:
    """A code may be left out: it is there where something went wrong."""
    for event, sentence in SENTENCES.items():
        named = {name for _, name, *_ in Formatter().parse(sentence) if name}

        assert named <= emitted()[event.value] | {"code"}, event
    assert set(SENTENCES) == set(Event)


def test_an_unknown_event_or_an_attribute_of_another_one_would_be_found() -> None:
    event = "tostring(customDimensions.event)"
    lost = f'traces | where {event} in ("run_queued", "run_lost") or {event} == "run_gone"'
    other = f'traces | where {event} == "reconnect_required" | project customDimensions.export_id'

    assert unknown(lost) == {"run_lost", "run_gone"}
    assert unknown(other) == {"export_id"}


def test_pages_know_how_many_alert_rules_there_are() -> None:
    rules = [item for item in read(INFRA / "alerts.bicep").all("resource") if "Rules" in item.type]

    assert len(rules) == 7
    for page in ("portal.md", "cost.md"):
        assert "seven rules" in (DOCS / page).read_text(encoding="utf-8")


def test_the_workbooks_queries_of_ended_runs_begin_alike() -> None:
    """KQL in a workbook cannot be shared between its parts, so it is repeated, to the letter."""
    beginnings = [query.partition(";")[0] for query in queries() if query.startswith("let ended =")]

    assert len(beginnings) > 5
    assert len(set(beginnings)) == 1


def test_an_alert_about_exports_fires_for_each_of_them() -> None:
    """Else one that goes well would hide one that does not."""
    rules = {
        str(plain(criterion["query"])): criterion
        for item in read(INFRA / "alerts.bicep").all("resource")
        for part in walk(item.body)
        if isinstance(part, Object) and (criterion := part).get("query")
    }
    told_apart = {
        query: {str(plain(each["name"])) for each in items_of(criterion.get("dimensions"))}
        for query, criterion in rules.items()
    }

    for event in ("run_failed", "run_unreconciled", "nothing_new"):
        (names_,) = [names_ for query, names_ in told_apart.items() if f'"{event}"' in query]
        assert "export_id" in names_, event


def items_of(expression: Expression | None) -> list[Object]:
    """Return the objects of an array."""
    items = expression.items if isinstance(expression, Array) else ()
    return [item for item in items if isinstance(item, Object)]


def test_every_event_that_asks_for_a_person_has_an_alert() -> None:
    alerts = "\n".join(texts(INFRA / "alerts.bicep"))

    for event in (
        Event.RUN_FAILED,
        Event.RUN_UNRECONCILED,
        Event.RECONNECT_REQUIRED,
        Event.NOTHING_NEW,
        Event.CALLS_COUNTED,
        Event.ACCESS_REFUSED,
    ):
        assert f'"{event}"' in alerts
    assert '"export-jobs-poison"' in alerts


@cache
def names() -> frozenset[str]:
    """Return what the code has a name for: functions, events, codes, settings, fields."""
    nodes = [node for module in modules() for node in ast.walk(module)]
    texts_ = {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    fields = {n.target.id for n in nodes
              if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)}  # fmt: skip
    folders = {path.name for path in ROOT.iterdir()}
    return functions() | EVENTS | texts_ | fields | folders | NOT_OURS


def named(text: str) -> set[str]:
    """Return the lower-case names of a text: those between backticks, and all with a low line."""
    prose = re.sub(r"(?ms)^```.*?^```|\]\([^)]*\)|https?://\S+", " ", text)
    quoted = re.findall(r"`([a-z][a-z0-9_]*(?:(?:\[\])?\.[a-z_]+)*)`", prose)
    return {
        part
        for word in [*quoted, *re.findall(r"(?<![\w/.-])[a-z]+(?:_[a-z0-9]+)+(?![\w.-])", prose)]
        for part in ([word] if word in names() else re.split(r"(?:\[\])?\.", word))
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_what_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    assert named(text) - names() == set()


@pytest.mark.parametrize("file", TEMPLATES, ids=lambda path: path.name)
def test_what_alerts_and_workbook_tell_people_exists(file: Path) -> None:
    told = "\n".join(text for text in texts(file) if text not in queries() and " " in text)

    assert named(told) - names() == set()


@pytest.mark.parametrize("name", ["run_canceled", "schedule_export", "schedule_all_exports"])
def test_a_name_that_is_misspelled_would_be_found(name: str) -> None:
    assert named(f"Look at `{name}`.") - names() == {name}
    assert named(f"Check that {name} is enabled.") - names() == {name}


@pytest.mark.parametrize("page", [*PAGES, *TEMPLATES], ids=lambda path: path.name)
def test_functions_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    found = {
        *re.findall(r"AzureWebJobs\.(\w+)\.Disabled", text),
        *re.findall(r"function\s+`(\w+)`", text),
        *re.findall(r"`(\w+)` \((?:timer|HTTP|queue|poison queue)\)", text),
    }

    assert found <= functions()


def test_the_smoke_test_looks_for_functions_that_exist() -> None:
    assert functions() >= FUNCTIONS


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target and target != RELEASES:
            assert (page.parent / target).exists(), target
