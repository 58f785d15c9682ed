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
from infra.check.syntax import Literal, Name, Object, read
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


def without_symbols(template: Mapping[str, Any]) -> dict[str, Any]:
    """Return the template as a compiler writes it that gives resources no symbolic names.

    Resources are a list, and a value of one is asked for by its whole id and version.
    """
    own = copy.deepcopy(dict(template))
    nested = {}
    for name, resource in own["resources"].items():
        if resource["type"] == "Microsoft.Resources/deployments":
            nested[name] = without_symbols(resource["properties"].pop("template"))
    text = json.dumps(own)
    for name, resource in own["resources"].items():
        written = resource["name"]
        code = written[1:-1] if written.startswith("[") else f"'{written}'"
        id_ = f"resourceId('{resource['type']}', {code})"
        text = text.replace(f"reference('{name}')", f"reference({id_}, '{resource['apiVersion']}')")
    other: dict[str, Any] = json.loads(text)
    for name, inner in nested.items():
        other["resources"][name]["properties"]["template"] = inner
    return other | {"resources": list(other["resources"].values())}


def test_a_template_equals_itself_with_and_without_symbolic_names(kept: dict[str, Any]) -> None:
    other = without_symbols(kept)

    assert "reference('" not in json.dumps(other)
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


def change(template: dict[str, Any], path: str, old: Any, new: Any) -> None:
    """Replace *old* at a path whose steps are modules, then keys."""
    *modules, keys = path.split(" > ")
    place = template
    for module in modules:
        place = place["resources"][module]["properties"]["template"]
    *way, last = keys.split(".")
    for key in way:
        place = place[key]
    found = place[last]
    assert old in found if isinstance(old, str) else found == old
    place[last] = found.replace(old, new) if isinstance(old, str) else new


OWNER = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
DANGERS: dict[str, tuple[str, Any, Any]] = {
    "an alert switched off": ("alerts > variables.everyAlert.enabled", True, False),
    "an alert that asks for something else": (
        "alerts > resources.poison.properties", "export-jobs-poison", "export-jobs-lost"
    ),
    "another workbook": ("telemetry > variables.$fxv#0", "Segment exports", "Nothing"),
    "Owner for a role": (
        "roles > variables.roleIds.storageBlobDataReader",
        "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
        OWNER,
    ),
    "Owner for a module's parameter": (
        "roles > resources.runReadsSegments.properties.parameters.roleId.value",
        "[variables('roleIds').storageBlobDataReader]",
        OWNER,
    ),
    "a role for somebody else": (
        "roles > resources.runOwnsState.properties.principalId",
        "runPrincipalId",
        "operatorPrincipalId",
    ),
    "storage that is open": (
        "resources.state.properties.parameters.publicAccess.value",
        "[not(parameters('vnetEnabled'))]",
        "[true()]",
    ),
    "sign-in headers that are always believed": (
        "app > resources.settings.properties",
        "if(variables('signIn'), createObject('SIGN_IN', 'entra'), createObject())",
        "createObject('SIGN_IN', 'entra')",
    ),
    "a condition turned round": (
        "resources.network.condition", "parameters('vnetEnabled')", "not(parameters('vnetEnabled'))"
    ),
    "another default": ("parameters.maximumInstanceCount.defaultValue", 40, 1000),
    "another output": ("outputs.consoleUrl.value", "consoleUrl", "signInRedirectUri"),
}  # fmt: skip


@pytest.mark.parametrize("what", DANGERS)
def test_the_comparison_finds_values_and_expressions(what: str, kept: dict[str, Any]) -> None:
    other = copy.deepcopy(kept)
    change(other, *DANGERS[what])

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
    described = {
        *re.findall(r"(?m)^\| ([A-Z_]+) \|", page),
        *re.findall(r"azd env set (\w+)", page),
    }
    assert set(variables) - described == set()


RENAMED = {"principalId": "operatorPrincipalId", "principalType": "operatorPrincipalType"}
"""What azd calls otherwise."""

NOT_BY_AZD = {
    "constantContactClientSecret",  # the hook asks, so that it is in no file
    "packageUri",  # azd deploys the code itself
    "budgetStartDate",  # the month of the first deployment
}


def test_defaults_that_the_page_tells_are_those_of_the_template() -> None:
    page = (DOCS / "deployment.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"(?m)^\| [A-Z_]+ \| `(\w+)`, default (`[^`]*`|empty)", page))
    params = {item.name: item.value for item in read(INFRA / "main.bicep").all("param")}

    assert len(told) > 15
    for name, default in told.items():
        value = params[name]
        assert isinstance(value, Literal)
        written = str(value.value).lower() if isinstance(value.value, bool) else str(value.value)
        assert default == (f"`{written}`" if written else "empty"), name


def test_azd_sets_all_that_can_be_chosen() -> None:
    """Settings are replaced as a whole: what cannot be passed on would be lost each time."""
    main = {item.name: item for item in read(INFRA / "main.bicep").all("param")}
    resources = {item.name: item for item in read(INFRA / "resources.bicep").all("param")}

    assert {RENAMED.get(name, name) for name in main} == set(resources) - NOT_BY_AZD
    for name, item in main.items():
        same = resources[RENAMED.get(name, name)]
        assert (item.type, name == "location" or item.value) == (
            same.type,
            name == "location" or same.value,
        )


def test_defaults_for_azd_are_those_of_the_template() -> None:
    """Its environment fills every parameter, so its defaults are the ones that count."""
    given = (INFRA / "main.parameters.json").read_text(encoding="utf-8")
    defaults = dict(re.findall(r'"(\w+)": \{ "value": "\$\{\w+=([^}]*)\}" \}', given))

    for item in read(INFRA / "main.bicep").all("param"):
        if isinstance(item.value, Literal) and item.name != "principalId":
            written = item.value.value
            text = str(written).lower() if isinstance(written, bool) else str(written)
            assert defaults[item.name] == text, item.name


def test_main_passes_its_parameters_on_under_their_names() -> None:
    (module,) = read(INFRA / "main.bicep").all("module")
    params = module.body["params"]
    assert isinstance(params, Object)
    passed = {
        value.id: getattr(key, "value", None)
        for key, value in params.properties
        if isinstance(value, Name)
    }

    names = {item.name for item in read(INFRA / "main.bicep").all("param")}
    assert passed == {name: RENAMED.get(name, name) for name in names}
