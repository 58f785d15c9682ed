"""The portal's form and its template fit together.

The rules are those of Microsoft's own test kit:
https://learn.microsoft.com/azure/azure-resource-manager/templates/createuidefinition-test-cases
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.infra.sources import INFRA, read_json

FORM = read_json(INFRA / "createUiDefinition.json")
PARAMETERS = read_json(INFRA / "azuredeploy.json")["parameters"]
OUTPUTS: dict[str, str] = FORM["parameters"]["outputs"]
CONTROL = re.compile(r"steps\('(\w+)'\)\.(\w+)|basics\('(\w+)'\)")


def places() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every control with the expression that names its value."""
    for control in FORM["parameters"]["basics"]:
        yield f"basics('{control['name']}')", control
    for step in FORM["parameters"]["steps"]:
        for control in step["elements"]:
            yield f"steps('{step['name']}').{control['name']}", control


CONTROLS = dict(places())
BOXES = {n: c for n, c in CONTROLS.items() if c["type"] == "Microsoft.Common.TextBox"}
TYPED = [c for c in CONTROLS.values() if "regex" in c.get("constraints", {})]


def parameter_of(place: str) -> str:
    """Return the template parameter that a control fills."""
    (name,) = [name for name, value in OUTPUTS.items() if place in value]
    return name


NOT_ASKED = {
    "constantContactApiUrl": "there is one Constant Contact; tests have others",
    "constantContactAuthUrl": "the same",
    "exportContainerName": "another one would leave the app's documents behind",
    "activityPollSeconds": "nobody is helped by another first wait",
    "budgetStartDate": "the month of the first deployment",
    "operatorPrincipalId": "the portal does not know who deploys",
    "operatorPrincipalType": "the same",
}
"""Parameters that the form leaves at their defaults, and why."""


def test_outputs_are_the_parameters_of_the_template_but_for_those_with_a_reason() -> None:
    assert set(OUTPUTS) == set(PARAMETERS) - set(NOT_ASKED)
    assert set(NOT_ASKED) <= set(PARAMETERS)


def test_parameters_without_default_are_asked_for() -> None:
    assert {n for n, p in PARAMETERS.items() if "defaultValue" not in p} <= set(OUTPUTS)


def test_the_location_is_the_one_chosen_at_the_top() -> None:
    assert OUTPUTS["location"] == "[location()]"


def test_expressions_name_controls_that_exist() -> None:
    found = {match.group() for match in CONTROL.finditer(json.dumps(FORM))}

    assert found == set(CONTROLS)


@pytest.mark.parametrize("place", CONTROLS)
def test_a_control_explains_itself(place: str) -> None:
    assert len(CONTROLS[place]["toolTip"]) > 10


@pytest.mark.parametrize("control", TYPED, ids=lambda control: control["label"])
def test_what_is_typed_is_checked_by_a_regex_that_says_what_it_wants(
    control: dict[str, Any],
) -> None:
    constraints = control["constraints"]
    allowed = re.compile(constraints["regex"])

    assert constraints["validationMessage"].endswith(".")
    assert constraints["regex"].startswith("^")
    assert constraints["regex"].endswith("$")
    assert bool(allowed.search("")) is not constraints["required"]
    if "defaultValue" in control:
        assert allowed.search(control["defaultValue"])


def test_every_box_is_checked() -> None:
    assert all("regex" in control["constraints"] for control in BOXES.values())


GOOD_AND_BAD = {
    "segments').account": ("contosolake1", "Contoso_Lake"),
    "segments').container": ("ci-segments", "ci--segments"),
    "segments').subscription": ("6b0c6c1e-2f0a-4d0f-9d3a-0f8f5a9a7c11", "my subscription"),
    "signIn').clientId": ("6b0c6c1e-2f0a-4d0f-9d3a-0f8f5a9a7c11", "6b0c6c1e"),
    "operation').schedule": ("0 */15 * * * *", "*/15 * * * *"),
    "operation').alertEmail": ("crm@example.com", "crm"),
    "operation').logRetention": ("730", "29"),
    "operation').logCap": ("100", "0"),
    "segments').quiet": ("0", "ten"),
    "constantContact').perDay": ("10000", "0"),
    "operation').nothingNew": ("8", "0"),
    "hosting').instances": ("1000", "1001"),
    "hosting').publicUrl": ("https://segments.contoso.com", "https://segments.contoso.com/"),
    "hosting').natGateway": (
        "/subscriptions/6b0c/resourceGroups/rg/providers/Microsoft.Network/natGateways/nat-1",
        "nat-1",
    ),
    "hosting').package": (
        "https://github.com/o/r/releases/download/v1/released-package.zip",
        "http://example.com/a.zip",
    ),
}


@pytest.mark.parametrize("place", GOOD_AND_BAD)
def test_a_box_takes_good_values_and_refuses_bad_ones(place: str) -> None:
    good, bad = GOOD_AND_BAD[place]
    (control,) = [c for name, c in BOXES.items() if name.removeprefix("steps('") == place]
    regex = control["constraints"]["regex"]

    assert re.search(regex, good)
    assert not re.search(regex, bad)


def test_choices_are_allowed_by_the_template() -> None:
    for place, control in CONTROLS.items():
        if control["type"] == "Microsoft.Common.DropDown":
            choices = control["constraints"]["allowedValues"]
            parameter = PARAMETERS[parameter_of(place)]

            assert {c["value"] for c in choices} <= set(parameter["allowedValues"])
            assert control["defaultValue"] in {c["label"] for c in choices}


def test_numbers_are_sent_as_numbers() -> None:
    for name, value in OUTPUTS.items():
        match = CONTROL.search(value)
        if match and CONTROLS[match.group()]["type"] == "Microsoft.Common.TextBox":
            assert value.startswith("[int(") is (PARAMETERS[name]["type"] == "int")


def test_defaults_are_those_of_the_template() -> None:
    for place, control in CONTROLS.items():
        name = parameter_of(place)
        if "defaultValue" not in PARAMETERS[name]:
            continue
        untouched = False if control["type"] == "Microsoft.Common.CheckBox" else None
        default = control.get("defaultValue", untouched)
        for choice in control.get("constraints", {}).get("allowedValues", ()):
            default = choice["value"] if choice["label"] == default else default
        if name != "packageUri":  # the form always installs the code; azd never by this way
            assert str(default) == str(PARAMETERS[name]["defaultValue"])


def test_secrets_are_typed_unseen_and_have_no_default() -> None:
    secret = {n for n, p in PARAMETERS.items() if p["type"] == "securestring"}
    unseen = {
        parameter_of(place)
        for place, control in CONTROLS.items()
        if control["type"] == "Microsoft.Common.PasswordBox"
    }

    assert secret == unseen == {"constantContactClientSecret"}
    assert not any("defaultValue" in PARAMETERS[name] for name in secret)
