"""The functions as the portal lists them, on azure-functions 1.x and 2.x alike."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from packaging.requirements import Requirement

from functions.operations import OPERATIONS
from local.functions_host.functions import Function, read_functions
from local.functions_host.routes import Routes
from tests.api.service import ROOT, load_app, sample_settings

TRIGGERS = {
    "abandon_step": "queueTrigger",
    "perform_step": "queueTrigger",
    "schedule_exports": "timerTrigger",
}
ROUTES = {
    "approve_run": "POST api/runs/{export_id}/{run_id}/approve",
    "authorize_connection": "POST api/connections/{connection_id}/authorize",
    "cancel_run": "POST api/runs/{export_id}/{run_id}/cancel",
    "change_connection": "PATCH api/connections/{connection_id}",
    "check_export": "POST api/exports/check",
    "complete_authorization": "GET api/oauth/callback",
    "create_connection": "POST api/connections",
    "create_export": "POST api/exports",
    "delete_export": "DELETE api/exports/{export_id}",
    "health": "GET api/health",
    "list_connections": "GET api/connections",
    "list_contact_fields": "GET api/connections/{connection_id}/fields",
    "list_contact_lists": "GET api/connections/{connection_id}/lists",
    "list_exports": "GET api/exports",
    "list_runs": "GET api/exports/{export_id}/runs",
    "list_segments": "GET api/segments",
    "read_connection": "GET api/connections/{connection_id}",
    "read_export": "GET api/exports/{export_id}",
    "read_openapi": "GET api/openapi.json",
    "read_overview": "GET api/overview",
    "read_rejects": "GET api/runs/{export_id}/{run_id}/rejects",
    "read_run": "GET api/runs/{export_id}/{run_id}",
    "read_segment": "GET api/segments/{*name}",
    "read_session": "GET api/session",
    "remove_connection": "DELETE api/connections/{connection_id}",
    "replace_export": "PUT api/exports/{export_id}",
    "serve_console": "GET console/{*path}",
    "start_run": "POST api/exports/{export_id}/runs",
}
"""Names and routes that operators and other people's flows hold on to."""


def _value(value: object) -> object:
    return getattr(value, "value", value)


@pytest.fixture(scope="module")
def bindings() -> Mapping[str, list[dict[str, Any]]]:
    """Every function's bindings by its name."""
    return {
        str(function.get_function_name()): function.get_dict_repr()["bindings"]
        for function in load_app().get_functions()
    }


@pytest.fixture(scope="module")
def functions() -> Mapping[str, Function]:
    """Every function as the local host reads it, which checks names as the real one does."""
    host_json = json.loads((ROOT / "host.json").read_text(encoding="utf-8"))
    prefix = host_json["extensions"]["http"]["routePrefix"]
    return {each.name: each for each in read_functions(load_app(), {}, prefix)}


def test_the_list_is_what_others_rely_on(bindings: Mapping[str, list[dict[str, Any]]]) -> None:
    triggers = {name: _value(first["type"]) for name, (first, *_) in bindings.items()}
    routes = {
        name: f"{_value(first['methods'][0])} {first['route']}"
        for name, (first, *_) in bindings.items()
        if _value(first["type"]) == "httpTrigger"
    }

    assert routes == ROUTES
    assert triggers == TRIGGERS | dict.fromkeys(ROUTES, "httpTrigger")


def test_queues_and_timer_take_their_places_from_settings(
    bindings: Mapping[str, list[dict[str, Any]]],
) -> None:
    step, poison, timer = (
        bindings[name][0] for name in ("perform_step", "abandon_step", "schedule_exports")
    )

    assert (step["queueName"], step["connection"]) == ("export-jobs", "EXPORT_STORAGE")
    assert (poison["queueName"], poison["connection"]) == ("export-jobs-poison", "EXPORT_STORAGE")
    assert timer["schedule"] == sample_settings()["EXPORT_SCHEDULE"]
    assert not timer.get("runOnStartup")


def test_routes_ask_the_platform_for_no_key(bindings: Mapping[str, list[dict[str, Any]]]) -> None:
    """Who may do what is decided by role; a function key is no person."""
    levels = {str(_value(bindings[name][0]["authLevel"])).upper() for name in ROUTES}

    assert levels == {"ANONYMOUS"}


def test_the_host_takes_every_name(functions: Mapping[str, Function]) -> None:
    assert set(functions) == set(TRIGGERS) | set(ROUTES)


def test_each_route_is_reached_and_not_another_that_fits_too(
    functions: Mapping[str, Function],
) -> None:
    """The host tries routes in the order of function names, so a catch-all may come too early."""
    routes = Routes(each for each in functions.values() if each.trigger == "httpTrigger")
    for name, route in ROUTES.items():
        method, _, path = route.partition(" ")
        address = "/" + path.replace("{*name}", "a/b").replace("{*path}", "app.js")
        found = routes.find(method, address.replace("{", "").replace("}", ""))

        assert found is not None
        assert found[0].name == name


def test_every_api_route_is_declared_with_role_and_description(
    bindings: Mapping[str, list[dict[str, Any]]],
) -> None:
    registered = {name: route for name, route in ROUTES.items() if " api/" in route}
    declared = {name: f"{each.method} {each.path}" for name, each in OPERATIONS.items()}

    assert declared == registered
    assert all(each.summary.endswith(".") for each in OPERATIONS.values())


def test_starting_loads_none_of_the_heavy_parts() -> None:
    """The worker has 30 seconds to start, and cold starts are waited for."""
    heavy = ("pyarrow", "numpy", "azure.identity", "azure.storage.blob", "azure.keyvault")
    program = (
        f"import sys, function_app; print([m for m in {heavy!r} if m in sys.modules]);"
        "print(len(function_app.app.get_functions()))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=ROOT,
        env=sample_settings(),
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.splitlines() == ["[]", str(len(TRIGGERS) + len(ROUTES))]


def test_starting_needs_only_what_azure_installs() -> None:
    """An import of anything else would make every function vanish from the portal."""
    program = (
        "import sys; before = set(sys.modules); import function_app, shared.product;"
        "print('\\n'.join(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=sample_settings(),
        capture_output=True,
        text=True,
        check=True,
    )
    modules = {module.partition(".")[0] for module in done.stdout.split()}
    owners = importlib.metadata.packages_distributions()
    # Parts of Azure's SDK share one namespace package: any of its owners will do.
    loaded = {module: set(map(_plain, owners[module])) for module in modules if module in owners}
    installed = _installed_by((ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines())

    assert "pyarrow" in loaded
    assert {module for module, names in loaded.items() if not names & installed} == set()


def _installed_by(lines: Iterable[str]) -> set[str]:
    """Return what pip would install for *lines* of a requirements file, as far as it is here."""
    found: set[str] = set()
    waiting = [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]
    while waiting:
        requirement = waiting.pop()
        name = _plain(requirement.name)
        extras = requirement.extras or {""}
        wanted = not requirement.marker or requirement.marker.evaluate({"extra": ""})
        if name in found or not wanted:
            continue
        found.add(name)
        for line in importlib.metadata.requires(name) or ():
            needed = Requirement(line)
            if not needed.marker or any(needed.marker.evaluate({"extra": e}) for e in extras):
                needed.marker = None
                waiting.append(needed)
    return found


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")
