"""Who may do what in Azure: exactly this, each with its reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from infra.check.syntax import Call, Declaration, Literal, Member, Name, Object, read
from tests.infra.sources import BICEP, DOCS, INFRA, plain, read_json

NAMES: dict[str, str] = read_json(Path(__file__).parent / "roles.json")["roles"]
ASSIGNMENT = "Microsoft.Authorization/roleAssignments@2022-04-01"
ROLES = read(INFRA / "roles.bicep")

GRANTED = {
    ("runPrincipalId", "Storage Blob Data Owner", "state"),
    ("runPrincipalId", "Storage Queue Data Contributor", "jobs"),
    ("runPrincipalId", "Storage Queue Data Contributor", "poison"),
    ("runPrincipalId", "Key Vault Secrets Officer", "vault"),
    ("runPrincipalId", "Monitoring Metrics Publisher", "insights"),
    ("operatorPrincipalId", "Key Vault Secrets Officer", "vault"),
}
"""Who, as what, on what: within the app's own resource group."""


def role_ids() -> dict[str, str]:
    ids: dict[str, str] = plain(ROLES.symbols()["roleIds"].body)
    return ids


def assignments() -> list[Declaration]:
    return [item for item in ROLES.all("resource") if item.type == ASSIGNMENT]


def granted(item: Declaration) -> tuple[str, str, str]:
    properties = item.body["properties"]
    assert isinstance(properties, Object)
    match properties["principalId"], properties["roleDefinitionId"], item.body["scope"]:
        case Name(who), Call("subscriptionResourceId", (_, Member(_, role))), Name(where):
            return who, NAMES[role_ids()[role]], where
    raise AssertionError(item.name)


def test_the_app_is_granted_these_roles_and_no_others() -> None:
    found = [granted(item) for item in assignments()]

    assert set(found) == GRANTED
    assert len(found) == len(GRANTED)


def test_role_ids_carry_the_names_azure_gives_them() -> None:
    for name, id_ in role_ids().items():
        assert NAMES[id_].replace(" ", "").lower() == name.lower()


def test_segments_are_read_on_their_container_only() -> None:
    (module,) = ROLES.all("module")
    params = module.body["params"]
    assert isinstance(params, Object)

    assert module.type == "container-role.bicep"
    assert params["roleId"] == Member(Name("roleIds", line=0), "storageBlobDataReader", line=0)
    (item,) = [r for r in read(INFRA / module.type).all("resource") if r.type == ASSIGNMENT]
    assert item.body["scope"] == Name("container", line=0)


def test_roles_are_assigned_in_one_file() -> None:
    """container-role.bicep only carries out what roles.bicep says, in another resource group."""
    files = {path.name for path in BICEP if ASSIGNMENT in path.read_text(encoding="utf-8")}

    assert files == {"roles.bicep", "container-role.bicep"}


@pytest.mark.parametrize("item", assignments(), ids=lambda item: item.name)
def test_an_assignment_says_its_reason_and_has_a_lasting_name(item: Declaration) -> None:
    lines = (INFRA / "roles.bicep").read_text(encoding="utf-8").splitlines()
    who, _, where = granted(item)
    properties = item.body["properties"]
    assert isinstance(properties, Object)

    assert lines[item.line - 2].startswith("// ")
    match item.body["name"]:
        case Call("guid", (Member(Name(scope), "id"), Name(principal), Member(_, _))):
            assert (scope, principal) == (where, who)
        case other:
            raise AssertionError(other)
    wanted = Literal("ServicePrincipal", line=0)
    if who == "runPrincipalId":
        assert properties["principalType"] == wanted
    else:
        assert properties["principalType"] == Name("operatorPrincipalType", line=0)


def test_the_sign_in_identity_has_no_role() -> None:
    assert not re.search(r"(?i)sign-?in(principal|client)", (INFRA / "roles.bicep").read_text())


def test_the_page_lists_the_same_roles() -> None:
    page = (DOCS / "deployment.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"\| (?:Storage|Key Vault|Monitoring)[\w ]+ \|", page))
    roles = {role for _, role, _ in GRANTED} | {"Storage Blob Data Reader"}

    assert {row.strip("| ") for row in listed} == roles
