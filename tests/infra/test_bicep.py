"""The Bicep files are what Azure would take, as far as that can be known here."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.check.checker import check
from tests.infra.sources import BICEP, TYPES

SOUND = """\
@description('Where')
param location string
@secure()
param secret string

var kind = 'StorageV2'

resource account 'Microsoft.Storage/storageAccounts@2025-01-01' = {
  name: 'st${uniqueString(resourceGroup().id)}'
  location: location
  kind: kind
  sku: { name: 'Standard_LRS' }
  properties: { allowSharedKeyAccess: empty(secret) }
}

module role 'container-role.bicep' = {
  name: 'role'
  params: { accountName: account.name, containerName: 'c', principalId: 'p', roleId: 'r' }
}

output id string = account.id
"""

BROKEN = {
    "not Bicep": ("sku: { name", "sku: { name = "),
    "cannot be set": ("allowSharedKeyAccess", "allowSharedKeys"),
    "has to be a boolean": ("empty(secret)", "'no'"),
    "has to be an object": ("{ allowSharedKeyAccess: empty(secret) }", "['no']"),
    "is none of": ("'Standard_LRS'", "'Standard_LSR'"),
    "sku is missing": ("  sku: { name: 'Standard_LRS' }\n", ""),
    "no type data": ("storageAccounts@2025-01-01", "storageAccounts@2031-01-01"),
    "locations is not declared": ("location: location", "location: locations"),
    "location is not used": ("location: location", "location: 'westeurope'"),
    "is declared twice": ("var kind", "var location"),
    "uniqueStrings() is not known": ("uniqueString(", "uniqueStrings("),
    "@secured() is not known": ("@secure", "@secured"),
    "carries a secret": ("= account.id", "= secret"),
    "there is no file": ("'container-role.bicep'", "'container-roles.bicep'"),
    "has no parameter role": ("roleId:", "role:"),
    "needs the parameter roleId": (", roleId: 'r'", ""),
    "has a default": ("param secret string", "param secret string = 'hunter2'"),
    "is not of type": ("param location string", "param location string = 3"),
}


@pytest.mark.parametrize("file", BICEP, ids=lambda path: path.name)
def test_a_bicep_file_is_free_of_faults(file: Path) -> None:
    assert check(file, TYPES) == []


@pytest.fixture
def checked(tmp_path: Path) -> Path:
    """A folder with a module that a file under test may use."""
    module = next(path for path in BICEP if path.name == "container-role.bicep")
    (tmp_path / module.name).write_text(module.read_text())
    return tmp_path / "main.bicep"


def test_the_checks_accept_a_sound_file(checked: Path) -> None:
    checked.write_text(SOUND)
    assert check(checked, TYPES) == []


@pytest.mark.parametrize("sentence", BROKEN)
def test_the_checks_find_what_is_wrong(sentence: str, checked: Path) -> None:
    """Each fault is put into the sound file alone."""
    right, wrong = BROKEN[sentence]
    assert right in SOUND
    checked.write_text(SOUND.replace(right, wrong, 1))

    assert sentence in "\n".join(map(str, check(checked, TYPES)))


def test_objects_joined_by_union_are_checked_as_one(checked: Path) -> None:
    checked.write_text(
        SOUND.replace(
            "{ allowSharedKeyAccess: empty(secret) }", "union(more, { accessTier: 'Hut' })"
        )
        .replace(
            "var kind = 'StorageV2'", "var kind = 'StorageV2'\nvar more = { allowKeys: false }"
        )
        .replace("account.name, containerName: 'c'", "account.name, containerName: secret")
    )

    sentences = "\n".join(map(str, check(checked, TYPES)))

    assert "allowKeys cannot be set" in sentences
    assert "Hut is none of Hot" in sentences
