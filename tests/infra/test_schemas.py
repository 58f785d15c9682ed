"""Configuration files are valid by their publishers' schemas."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import jsonschema
import pytest
import yaml
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

from infra.package import write
from tests.infra.sources import INFRA, ROOT, SCHEMAS, read_json

FORM_SCHEMA = "https://schema.management.azure.com/schemas/0.1.2-preview/"


def validator(schema: str) -> Any:
    """Return a validator that finds the schemas kept here and fetches nothing."""
    content = read_json(SCHEMAS / schema)
    near = [
        (path.name, Resource.from_contents(read_json(path), default_specification=DRAFT4))
        for path in (SCHEMAS / "0.1.2-preview").glob("*.json")
    ]
    registry: Registry[Any] = Registry().with_resources(
        [*near, *((FORM_SCHEMA + name, resource) for name, resource in near)]
    )
    kind: Any = jsonschema.validators.validator_for(content, default=jsonschema.Draft4Validator)
    return kind(content, registry=registry)


def faults(schema: str, content: Any) -> list[str]:
    return [f"{e.json_path}: {e.message[:200]}" for e in validator(schema).iter_errors(content)]


CASES: dict[str, tuple[str, Callable[[], Any]]] = {
    "host.json": ("host.json", lambda: read_json(ROOT / "host.json")),
    "azure.yaml": ("azure.yaml.json", lambda: yaml.safe_load((ROOT / "azure.yaml").read_text())),
    "workbook.json": ("workbook.json", lambda: read_json(INFRA / "workbook.json")),
    "createUiDefinition.json": (
        "0.1.2-preview/CreateUIDefinition.MultiVm.json",
        lambda: read_json(INFRA / "createUiDefinition.json"),
    ),
}


@pytest.mark.parametrize("file", CASES)
def test_a_file_follows_its_schema(file: str) -> None:
    schema, content = CASES[file]

    assert faults(schema, content()) == []


def test_the_schemas_find_what_is_wrong() -> None:
    host = read_json(ROOT / "host.json")
    host["extensions"]["queues"]["batchSize"] = 64
    service = yaml.safe_load((ROOT / "azure.yaml").read_text())
    service["hooks"]["postprovision"]["posix"]["shell"] = "fish"
    workbook = read_json(INFRA / "workbook.json")
    del workbook["items"]
    form = read_json(INFRA / "createUiDefinition.json")
    form["parameters"]["steps"][0]["elements"][0]["type"] = "Microsoft.Common.TextBocks"

    assert faults("host.json", host)
    assert faults("azure.yaml.json", service)
    assert faults("workbook.json", workbook)
    assert faults("0.1.2-preview/CreateUIDefinition.MultiVm.json", form)


def test_the_workbook_belongs_to_no_subscription() -> None:
    text = (INFRA / "workbook.json").read_text(encoding="utf-8")

    assert "/subscriptions/" not in text
    assert json.loads(text)["fallbackResourceIds"] == []


def test_workflows_test_on_every_supported_python_and_pin_what_they_use() -> None:
    """Actions of others are pinned to a commit; a tag can be moved."""
    folder = ROOT / ".github" / "workflows"
    test = yaml.safe_load((folder / "test.yml").read_text())

    assert test["jobs"]["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    for path in folder.glob("*.yml"):
        workflow = yaml.safe_load(path.read_text())
        assert workflow["permissions"] == {"contents": "read"}
        for step in (step for job in workflow["jobs"].values() for step in job.get("steps", ())):
            if "uses" in step:
                assert re.match(r"actions/[\w-]+@v\d+$|[\w./-]+@[0-9a-f]{40}$", step["uses"])


def test_nothing_is_released_that_did_not_pass_every_check() -> None:
    """Every Python and the parity with the real compiler, on the commit that is released."""
    folder = ROOT / ".github" / "workflows"
    checks = yaml.safe_load((folder / "test.yml").read_text())
    release = yaml.safe_load((folder / "release.yml").read_text())["jobs"]

    assert "workflow_call" in checks[True]  # `on`, as YAML reads it
    assert release["checks"]["uses"] == "./.github/workflows/test.yml"
    assert release["release"]["needs"] == "checks"
    assert any("parity" in step.get("run", "") for step in checks["jobs"]["templates"]["steps"])


def test_the_button_leads_to_a_release_whose_notes_open_its_form() -> None:
    """A relative link, since the README does not know which repository it will be read in."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    release = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")

    assert (
        "[![Deploy to Azure](https://aka.ms/deploytoazurebutton)](../../releases/latest)" in readme
    )
    assert "https://portal.azure.com/#create/Microsoft.Template/uri/" in release
    assert "released-package.zip" in release


def test_azd_is_new_enough_for_what_the_templates_use() -> None:
    """`@onlyIfNotExists()` needs the Bicep compiler that azd has from then on."""
    needed = yaml.safe_load((ROOT / "azure.yaml").read_text())["requiredVersions"]["azd"]
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")

    assert needed == ">= 1.20.0"
    assert "1.20 or later" in page


FROM_GIT = pytest.mark.skipif(
    not (ROOT / ".git").exists(), reason="a package is made of what git tracks; this is no clone"
)


@FROM_GIT
def test_the_package_holds_what_the_app_runs_and_nothing_else(tmp_path: Path) -> None:
    """.funcignore decides, for azd and for releases alike."""
    write(ROOT, tmp_path / "package.zip")
    with ZipFile(tmp_path / "package.zip") as package:
        names = set(package.namelist())

    tops = {name.partition("/")[0] for name in names}
    assert {"function_app.py", "host.json", "requirements.txt", "functions", "shared"} <= tops
    assert not tops & {"infra", "tests", "docs", "local", "azure.yaml", "local.settings.json"}
    assert not [name for name in names if "__pycache__" in name]


@FROM_GIT
def test_the_same_sources_make_the_same_package(tmp_path: Path) -> None:
    one, other = tmp_path / "one.zip", tmp_path / "other.zip"
    write(ROOT, one)
    write(ROOT, other)

    assert one.read_bytes() == other.read_bytes()
