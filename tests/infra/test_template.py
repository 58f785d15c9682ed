"""The portal's template deploys what the Bicep files say."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from infra.check.arm import render, translate
from infra.check.parity import differences
from infra.check.syntax import Name, Object, read
from tests.infra.sources import BICEP, DOCS, INFRA, read_json

KEPT = INFRA / "azuredeploy.json"


@pytest.fixture
def kept() -> dict[str, Any]:
    template: dict[str, Any] = read_json(KEPT)
    return template


def test_the_kept_template_is_made_from_the_bicep_files() -> None:
    """`python -m infra.check.arm` makes it anew."""
    assert KEPT.read_text(encoding="utf-8") == render(translate(INFRA / "resources.bicep"))


def templates(template: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the template and all that are nested in it."""
    yield template
    for resource in template["resources"].values():
        if resource["type"] == "Microsoft.Resources/deployments":
            yield from templates(resource["properties"]["template"])


def test_every_resource_of_the_bicep_files_is_in_the_template(kept: dict[str, Any]) -> None:
    """Counted by text alone, so that a fault of the translation cannot hide itself."""
    text = "\n".join(path.read_text() for path in BICEP if path.name != "main.bicep")
    declared = re.findall(r"^resource \w+ '([^']+)' =", text, re.MULTILINE)
    endpoints = len(re.findall(r"^module \w+ 'private-endpoint", text, re.MULTILINE))
    within = re.findall(
        r"^resource \w+ '([^']+)' =", (INFRA / "private-endpoint.bicep").read_text(), re.MULTILINE
    )

    found = [
        f"{resource['type']}@{resource['apiVersion']}"
        for template in templates(kept)
        for resource in template["resources"].values()
        if resource["type"] != "Microsoft.Resources/deployments"
    ]

    assert sorted(found) == sorted(declared + within * (endpoints - 1))


def test_expressions_name_only_what_their_template_has(kept: dict[str, Any]) -> None:
    for template in templates(kept):
        own = copy.deepcopy(dict(template))
        for resource in own["resources"].values():
            if resource["type"] == "Microsoft.Resources/deployments":
                del resource["properties"]["template"]
        text = json.dumps(own)
        for function, part in (
            ("parameters", "parameters"),
            ("variables", "variables"),
            ("reference", "resources"),
        ):
            assert set(re.findall(rf"\b{function}\('([^']+)'\)", text)) <= set(own.get(part, {}))
        for resource in own["resources"].values():
            assert set(resource.get("dependsOn", ())) <= set(own["resources"])


def test_a_template_equals_itself_in_either_form_of_resources(kept: dict[str, Any]) -> None:
    """A compiler may write resources as a list, without symbolic names."""
    other = copy.deepcopy(kept)
    other["resources"] = list(other["resources"].values())

    assert differences(kept, other) == []


def test_the_scope_of_a_role_equals_itself_in_either_way_of_writing(kept: dict[str, Any]) -> None:
    other = copy.deepcopy(kept)
    role = other["resources"]["roles"]["properties"]["template"]["resources"]["runUsesJobs"]
    role["scope"] = (
        "[format('Microsoft.Storage/storageAccounts/{0}/queueServices/{1}/queues/{2}', "
        "parameters('stateAccountName'), 'default', 'export-jobs')]"
    )

    assert differences(kept, other) == []


CHANGES = {
    "a version": (("app", "app", "apiVersion"), "2020-01-01"),
    "a name": (("state", "jobs", "name"), "other-jobs"),
    "a literal": (("vault", "vault", "properties", "enablePurgeProtection"), False),
    "a condition": (("app", "package", "condition"), True),
    "a scope": (("roles", "runOwnsState", "scope"), "[resourceGroup().id]"),
    "a computed object": (("app", "settings", "properties"), "[createObject('SIGN_IN', 'off')]"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_the_comparison_finds(what: str, kept: dict[str, Any]) -> None:
    (module, name, *path), value = CHANGES[what]
    other = copy.deepcopy(kept)
    place = other["resources"][module]["properties"]["template"]["resources"][name]
    for key in path[:-1]:
        place = place[key]
    assert place[path[-1]] != value
    place[path[-1]] = value

    assert differences(kept, other)


def test_the_comparison_finds_a_resource_that_is_gone(kept: dict[str, Any]) -> None:
    other = copy.deepcopy(kept)
    del other["resources"]["budget"]

    assert any("budgets" in line for line in differences(kept, other))


def test_azd_sets_every_parameter_of_its_template() -> None:
    main = read(INFRA / "main.bicep")
    given = read_json(INFRA / "main.parameters.json")["parameters"]

    assert set(given) == {item.name for item in main.all("param")}


def test_every_variable_for_azd_is_described() -> None:
    given = (INFRA / "main.parameters.json").read_text(encoding="utf-8")
    page = (DOCS / "deployment.md").read_text(encoding="utf-8")

    variables = re.findall(r"\$\{(?!AZURE_)([A-Z_]+)", given)

    assert variables
    assert [name for name in variables if name not in page] == []


def test_azd_offers_what_the_portal_form_offers() -> None:
    """What only one of them asks for is listed here, with the reason."""
    main = {item.name for item in read(INFRA / "main.bicep").all("param")}
    form = set(read_json(INFRA / "createUiDefinition.json")["parameters"]["outputs"])

    assert form - main == {
        "constantContactClientSecret",  # azd's hook asks, so that it is in no file
        "packageUri",  # azd deploys the code itself
    }
    assert main - form == {"principalId", "principalType"}  # the portal does not know who deploys


def test_main_passes_its_parameters_on_under_their_names() -> None:
    (module,) = read(INFRA / "main.bicep").all("module")
    params = module.body["params"]
    assert isinstance(params, Object)

    for key, value in params.properties:
        if isinstance(value, Name):
            renamed = {
                "principalId": "operatorPrincipalId",
                "principalType": "operatorPrincipalType",
            }
            assert getattr(key, "value", None) == renamed.get(value.id, value.id)
