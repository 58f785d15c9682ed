"""Settings are the same set wherever they are read, set or described."""

from __future__ import annotations

import re

from infra.check.syntax import Literal, Template, read, walk
from shared.settings import Settings
from tests.infra.sources import DOCS, INFRA, ROOT, app_settings, read_json

PLATFORM = {
    "AzureWebJobsStorage__blobServiceUri",
    "AzureWebJobsStorage__queueServiceUri",
    "AzureWebJobsStorage__credential",
    "AzureWebJobsStorage__clientId",
    "AzureWebJobsDisableHomepage",
    "AZURE_CLIENT_ID",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY",
    "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS",
    "EXPORT_STORAGE__credential",  # with __clientId, for the queue trigger's connection
    "EXPORT_STORAGE__clientId",
    "OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID",
    "MICROSOFT_PROVIDER_AUTHENTICATION_SECRET",
}
"""What the Functions host, the telemetry exporter and sign-in read."""

GIVEN_BY_AZURE = {"WEBSITE_HOSTNAME", "WEBSITE_SITE_NAME"}
CONNECTION_STRINGS = {"SEGMENT_STORAGE", "EXPORT_STORAGE"}
ONLY_LOCAL = {"FUNCTIONS_WORKER_RUNTIME", "AzureWebJobsStorage"}
MOVED = re.compile(
    r"FUNCTIONS_EXTENSION_VERSION|FUNCTIONS_WORKER_\w+|WEBSITE_(RUN_FROM_PACKAGE|CONTENT\w*|"
    r"MAX_DYNAMIC\w+|VNET_ROUTE_ALL|TIME_ZONE)|SCM_DO_BUILD\w+|ENABLE_ORYX_BUILD|AzureWebJobsStorage"
)
"""Settings that Flex Consumption refuses, or that would bring a shared key back."""


def product_settings() -> set[str]:
    """Return the names the code reads, less those that the platform gives."""
    return {str(field.alias) for field in Settings.model_fields.values()} - GIVEN_BY_AZURE


def test_azure_sets_what_the_code_reads() -> None:
    """Connection strings are for local use; on Azure the URIs take their place."""
    assert set(app_settings()) - PLATFORM == product_settings() - CONNECTION_STRINGS


def test_azure_sets_what_the_platform_reads() -> None:
    assert set(app_settings()) & PLATFORM == PLATFORM


def test_azure_sets_nothing_that_flex_consumption_refuses() -> None:
    assert not [name for name in app_settings() if MOVED.fullmatch(name)]


def test_the_sample_has_what_the_code_reads() -> None:
    sample = read_json(ROOT / "local.settings.sample.json")["Values"]

    assert set(sample) - ONLY_LOCAL == product_settings()


def test_the_readme_describes_what_the_code_reads() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\|([^|]+)\|", readme)
    described = {name for row in rows for name in re.findall(r"`([A-Z][A-Z_]+(?:__\w+)?)`", row)}

    assert described == product_settings()


def test_the_page_for_existing_apps_lists_every_setting() -> None:
    page = (DOCS / "deployment.md").read_text(encoding="utf-8")
    table = page.partition("## A function app you already have")[2].partition("\n## ")[0]

    named = set(re.findall(r"(?m)^\| `(\w+)`", table))

    assert named == (product_settings() | PLATFORM) - CONNECTION_STRINGS


def test_defaults_are_those_of_the_code() -> None:
    params = {item.name: item.value for item in read(INFRA / "resources.bicep").all("param")}
    defaults = {str(f.alias): f.default for f in Settings.model_fields.values()}
    where = {
        "EXPORT_CONTAINER": "exportContainerName",
        "EXPORT_SCHEDULE": "exportSchedule",
        "CONSTANT_CONTACT_API_URL": "constantContactApiUrl",
        "CONSTANT_CONTACT_AUTH_URL": "constantContactAuthUrl",
        "CONSTANT_CONTACT_REQUESTS_PER_SECOND": "constantContactRequestsPerSecond",
        "CONSTANT_CONTACT_REQUESTS_PER_DAY": "constantContactRequestsPerDay",
        "SNAPSHOT_QUIET_SECONDS": "snapshotQuietSeconds",
        "ACTIVITY_POLL_SECONDS": "activityPollSeconds",
        "SEGMENT_PREFIX": "segmentPrefix",
    }
    for setting, param in where.items():
        value = params[param]
        assert isinstance(value, Literal)
        assert value.value == defaults[setting], setting


def test_no_setting_holds_a_secret() -> None:
    """A reference into the vault is the only way for one."""
    secrets = {
        item.name for item in read(INFRA / "app.bicep").all("param") if item.decorator("secure")
    }
    assert secrets == set()
    for name, value in app_settings().items():
        for part in walk(value):
            if isinstance(part, Template) and "SECRET" in name:
                assert str(part.parts[0]).startswith("@Microsoft.KeyVault(")
