"""The vault stand-in, seen through Microsoft's unmodified client."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import requests
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.identity import DefaultAzureCredential
from azure.keyvault.secrets import SecretClient

from local.key_vault import KeyVault


@pytest.fixture
def client(key_vault: KeyVault) -> Iterator[SecretClient]:
    with (
        DefaultAzureCredential() as credential,
        SecretClient(key_vault.url, credential, retry_backoff_factor=0) as client,
    ):
        yield client


def test_a_secret_is_read_as_it_was_written(client: SecretClient, key_vault: KeyVault) -> None:
    client.set_secret("connection-main", '{"refresh_token": "r"}', content_type="application/json")
    secret = client.get_secret("connection-main")

    assert secret.value == '{"refresh_token": "r"}'
    assert secret.properties.content_type == "application/json"
    assert key_vault.secrets == {"connection-main": '{"refresh_token": "r"}'}


def test_the_newest_version_answers_and_older_ones_stay(
    client: SecretClient, key_vault: KeyVault
) -> None:
    first = client.set_secret("connection-main", "1")
    client.set_secret("connection-main", "2")

    assert client.get_secret("connection-main").value == "2"
    assert client.get_secret("connection-main", first.properties.version).value == "1"
    assert key_vault.versions("connection-main") == ["1", "2"]
    assert len(list(client.list_properties_of_secret_versions("connection-main"))) == 2


def test_a_secret_nobody_wrote_is_not_found(client: SecretClient) -> None:
    with pytest.raises(ResourceNotFoundError):
        client.get_secret("connection-main")


def test_a_deleted_secret_keeps_its_name_until_it_is_purged(client: SecretClient) -> None:
    client.set_secret("connection-main", "1")
    client.begin_delete_secret("connection-main").wait()
    with pytest.raises(ResourceNotFoundError):
        client.get_secret("connection-main")
    with pytest.raises(ResourceExistsError, match="deleted but recoverable"):
        client.set_secret("connection-main", "2")
    assert client.get_deleted_secret("connection-main").name == "connection-main"

    client.purge_deleted_secret("connection-main")
    client.set_secret("connection-main", "2")

    assert client.get_secret("connection-main").value == "2"


def test_a_recovered_secret_has_its_value_again(client: SecretClient) -> None:
    client.set_secret("connection-main", "1")
    client.begin_delete_secret("connection-main").wait()
    client.begin_recover_deleted_secret("connection-main").wait()

    assert client.get_secret("connection-main").value == "1"


def test_an_expired_secret_is_still_given(client: SecretClient) -> None:
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    client.set_secret("constant-contact-client-secret", "s", expires_on=long_ago)

    assert client.get_secret("constant-contact-client-secret").properties.expires_on == long_ago


def test_a_disabled_secret_is_not_given(client: SecretClient) -> None:
    client.set_secret("memory-hash-key", "k", enabled=False)

    with pytest.raises(HttpResponseError) as refused:
        client.get_secret("memory-hash-key")
    assert refused.value.status_code == 403

    client.update_secret_properties("memory-hash-key", enabled=True)
    assert client.get_secret("memory-hash-key").value == "k"


def test_names_are_the_same_in_any_case(client: SecretClient) -> None:
    client.set_secret("Memory-Hash-Key", "k")

    assert client.get_secret("memory-hash-key").value == "k"


def test_a_value_longer_than_25k_is_refused(client: SecretClient) -> None:
    with pytest.raises(HttpResponseError) as refused:
        client.set_secret("connection-main", "x" * 25_601)
    assert refused.value.status_code == 400


def test_a_listing_gives_every_secret_over_its_pages(
    client: SecretClient, key_vault: KeyVault
) -> None:
    names = {f"connection-{number}" for number in range(60)}
    for name in names:
        key_vault.set(name, "t")

    assert {secret.name for secret in client.list_properties_of_secrets()} == names


def test_without_a_token_it_asks_for_one(key_vault: KeyVault) -> None:
    key_vault.set("memory-hash-key", "k")
    answer = requests.get(f"{key_vault.url}/secrets/memory-hash-key", timeout=5)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer authorization=")
    assert key_vault.calls == []


def test_a_token_needs_the_identity_header(key_vault: KeyVault) -> None:
    endpoint = key_vault.environment["IDENTITY_ENDPOINT"]

    assert requests.get(endpoint, headers={"X-IDENTITY-HEADER": "x"}, timeout=5).status_code == 401


@pytest.mark.parametrize("status", [503, None])
def test_a_request_can_fail_before_it_acts(
    client: SecretClient, key_vault: KeyVault, status: int | None
) -> None:
    """The SDK repeats it by itself."""
    key_vault.fail("PUT", "connection-main", status=status)
    client.set_secret("connection-main", "1")

    assert key_vault.versions("connection-main") == ["1"]


def test_an_answer_can_be_lost_after_the_write(client: SecretClient, key_vault: KeyVault) -> None:
    """The SDK repeats the write, so the value has two versions."""
    key_vault.fail("PUT", "connection-main", acts=True)
    client.set_secret("connection-main", "1")

    assert key_vault.versions("connection-main") == ["1", "1"]


def test_the_nth_request_can_fail(client: SecretClient, key_vault: KeyVault) -> None:
    key_vault.set("memory-hash-key", "k")
    key_vault.fail("GET", "memory-hash-key", skip=1, status=403)
    client.get_secret("memory-hash-key")

    with pytest.raises(HttpResponseError):
        client.get_secret("memory-hash-key")
    assert client.get_secret("memory-hash-key").value == "k"


def test_as_a_process_it_prints_what_a_client_needs() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "local.key_vault"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        lines = dict(process.stdout.readline().strip().split("=", 1) for _ in range(4))
        answer = requests.get(
            f"{lines['KEY_VAULT_URL']}/secrets", verify=lines["REQUESTS_CA_BUNDLE"], timeout=5
        )
        process.terminate()

    assert answer.status_code == 401
    assert process.returncode == 0
