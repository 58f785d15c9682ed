"""Settings are read once, and what is wrong is named in one sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from shared.errors import SettingInvalid
from shared.settings import Settings, read_settings

ROOT = Path(__file__).parents[2]
GOOD = {
    "SEGMENT_STORAGE": "UseDevelopmentStorage=true",
    "SEGMENT_CONTAINER": "segments",
    "EXPORT_STORAGE": "UseDevelopmentStorage=true",
    "KEY_VAULT_URL": "https://vault.example/",
    "CONSTANT_CONTACT_CLIENT_ID": "client",
    "PUBLIC_URL": "https://app.example",
}


def test_what_is_not_set_has_its_documented_default() -> None:
    settings = read_settings(GOOD)

    assert settings.export_container == "exports"
    assert settings.export_schedule == "0 */15 * * * *"
    assert settings.requests_per_second == 4
    assert settings.requests_per_day == 10_000
    assert settings.sign_in is None
    assert settings.redirect_uri == "https://app.example/api/oauth/callback"


@pytest.mark.parametrize("name", sorted(set(GOOD) - {"EXPORT_STORAGE"}))
def test_a_missing_setting_is_named(name: str) -> None:
    with pytest.raises(SettingInvalid, match=name):
        read_settings({**GOOD, name: " "})


def test_a_missing_export_account_names_both_uris() -> None:
    with pytest.raises(SettingInvalid, match="EXPORT_STORAGE__blobServiceUri"):
        read_settings({**GOOD, "EXPORT_STORAGE": ""})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KEY_VAULT_URL", "vault"),
        ("KEY_VAULT_URL", "http://vault.example"),
        ("CONSTANT_CONTACT_API_URL", "http://api.cc.email/v3"),
        ("SEGMENT_STORAGE", "garbage"),
        ("EXPORT_STORAGE", "AccountName=contoso"),
        ("EXPORT_CONTAINER", "Not A Container!"),
        ("CONSTANT_CONTACT_REQUESTS_PER_SECOND", "1e-300"),
        ("ACTIVITY_POLL_SECONDS", "inf"),
        ("SNAPSHOT_QUIET_SECONDS", "nan"),
        ("PUBLIC_URL", "https://"),
        ("PUBLIC_URL", "https://app.example:many"),
        ("EXPORT_SCHEDULE", "*/15 * * * *"),
        ("EXPORT_SCHEDULE", "0 0 0 * * 7"),
        ("CONSTANT_CONTACT_REQUESTS_PER_SECOND", "0"),
        ("CONSTANT_CONTACT_REQUESTS_PER_DAY", "many"),
        ("SIGN_IN", "yes"),
        ("SNAPSHOT_QUIET_SECONDS", "-1"),
    ],
)
def test_a_malformed_setting_is_named_and_its_value_is_not_repeated(name: str, value: str) -> None:
    with pytest.raises(SettingInvalid, match=name) as raised:
        read_settings({**GOOD, name: f"{value}"})

    assert "UseDevelopmentStorage" not in str(raised.value)


def test_sign_in_cannot_be_switched_off_on_azure() -> None:
    with pytest.raises(SettingInvalid, match="SIGN_IN"):
        read_settings({**GOOD, "SIGN_IN": "off", "WEBSITE_SITE_NAME": "func-1"})


ACCOUNT = "DefaultEndpointsProtocol=https;AccountName=contoso;AccountKey=a2V5;"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WEBSITE_SITE_NAME", "func-2"),
        ("KEY_VAULT_URL", "https://another.vault.azure.net"),
        ("EXPORT_CONTAINER", "others"),
        ("EXPORT_STORAGE", ACCOUNT.replace("contoso", "fabrikam")),
    ],
)
def test_a_copy_of_the_app_is_another_deployment(name: str, value: str) -> None:
    here = {**GOOD, "WEBSITE_SITE_NAME": "func-1", "EXPORT_STORAGE": ACCOUNT}

    ids = {read_settings(each).deployment_id for each in (here, {**here, name: value})}
    assert len(ids) == 2


def test_another_way_into_the_same_account_is_the_same_deployment() -> None:
    """A new key, a signature, or the managed identity."""
    ways: list[dict[str, str]] = [
        {"EXPORT_STORAGE": ACCOUNT},
        {"EXPORT_STORAGE": ACCOUNT.replace("a2V5", "b3RoZXI=")},
        {
            "EXPORT_STORAGE": "BlobEndpoint=https://contoso.blob.core.windows.net/;"
            "SharedAccessSignature=sv"
        },
        {
            "EXPORT_STORAGE": "",
            "EXPORT_STORAGE__blobServiceUri": "https://contoso.blob.core.windows.net",
            "EXPORT_STORAGE__queueServiceUri": "https://contoso.queue.core.windows.net",
        },
    ]

    assert len({read_settings({**GOOD, **way}).deployment_id for way in ways}) == 1


def test_the_sample_has_every_setting_and_no_other() -> None:
    sample = json.loads((ROOT / "local.settings.sample.json").read_text(encoding="utf-8"))
    known = {str(field.alias) for field in Settings.model_fields.values()}

    platform = {"FUNCTIONS_WORKER_RUNTIME", "AzureWebJobsStorage"}
    assert set(sample["Values"]) - platform == {n for n in known if not n.startswith("WEBSITE_")}


def test_a_bad_setting_stops_the_start_with_one_sentence() -> None:
    environment = {**GOOD, "KEY_VAULT_URL": "", "PATH": "/usr/bin:/bin"}

    started = subprocess.run(
        [sys.executable, "-c", "import function_app"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert started.returncode != 0
    assert started.stderr.strip().splitlines()[-1].endswith("KEY_VAULT_URL is missing")
