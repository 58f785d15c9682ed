"""What the resources promise: private data, no shared keys, no anonymous way in."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.__main__ import PEAK_LIMIT_MEMORY_MB
from infra.check.syntax import Array, Call, Literal, Name, Object, Operation, Template, read, walk
from shared.ledger import STAGED_TAG
from shared.storage.accounts import QUEUE
from tests.infra.sources import (
    BICEP,
    INFRA,
    ROOT,
    app_settings,
    at,
    kept_files,
    plain,
    read_json,
    resource,
    resources,
)

SITE = "Microsoft.Web/sites"
CONFIG = "Microsoft.Web/sites/config"
ACCOUNT = "Microsoft.Storage/storageAccounts"


def test_storage_knows_no_keys_and_no_public_blobs() -> None:
    account = resource("state.bicep", ACCOUNT)

    assert plain(at(account, "properties.allowSharedKeyAccess")) is False
    assert plain(at(account, "properties.allowBlobPublicAccess")) is False
    assert plain(at(account, "properties.minimumTlsVersion")) == "TLS1_2"


def test_deleted_people_are_gone() -> None:
    """Soft delete and versions would keep staged files."""
    blobs = resource("state.bicep", f"{ACCOUNT}/blobServices")

    assert plain(at(blobs, "properties.deleteRetentionPolicy.enabled")) is False
    assert plain(at(blobs, "properties.isVersioningEnabled")) is False


def test_staged_files_live_seven_days_at_most() -> None:
    """The rule looks for the tag that the code sets, below the runs."""
    policy = resource("state.bicep", f"{ACCOUNT}/managementPolicies")
    rules = at(policy, "properties.policy.rules")
    assert isinstance(rules, Array)
    (rule,) = rules.items
    assert isinstance(rule, Object)
    name, value = STAGED_TAG

    assert plain(at(rule, "definition.filters.blobIndexMatch")) == [
        {"name": name, "op": "==", "value": value}
    ]
    (prefix,) = plain(at(rule, "definition.filters.prefixMatch"))
    assert isinstance(prefix, Template)
    assert prefix.parts[-1] == "/runs/"
    assert plain(at(rule, "definition.actions.baseBlob.delete")) == {
        "daysAfterModificationGreaterThan": 7
    }


def test_the_queues_are_those_of_the_code() -> None:
    """The poison queue too: the app may not create one."""
    made = {
        plain(item.body["name"])
        for item in resources("state.bicep", f"{ACCOUNT}/queueServices/queues")
    }

    assert made == {QUEUE, f"{QUEUE}-poison"}


def test_the_vault_goes_by_roles_keeps_what_is_deleted_and_is_audited() -> None:
    vault = resource("vault.bicep", "Microsoft.KeyVault/vaults")
    audit = resource("vault.bicep", "Microsoft.Insights/diagnosticSettings")

    assert plain(at(vault, "properties.enableRbacAuthorization")) is True
    assert plain(at(vault, "properties.enablePurgeProtection")) is True
    assert plain(at(audit, "properties.logs")) == [{"category": "AuditEvent", "enabled": True}]


def test_no_deployment_overwrites_a_secret_with_nothing() -> None:
    """The only secret a deployment writes is the one it is given."""
    written = resources("vault.bicep", "Microsoft.KeyVault/vaults/secrets")

    assert [plain(item.body["name"]) for item in written] == ["constant-contact-client-secret"]
    assert written[0].condition == Operation(
        "!",
        (Call("empty", (at(written[0].body, "properties.value"),), line=0),),
        line=0,
    )


def test_sign_in_is_asked_everywhere_but_for_health_and_the_callback() -> None:
    sign_in = resource("app.bicep", CONFIG, "authsettingsV2")

    assert plain(at(sign_in, "properties.platform.enabled")) is True
    assert plain(at(sign_in, "properties.globalValidation.requireAuthentication")) is True
    assert plain(at(sign_in, "properties.globalValidation.excludedPaths")) == [
        "/api/health",
        "/api/oauth/callback",
    ]
    assert plain(at(sign_in, "properties.login.tokenStore.enabled")) is False


def test_sign_in_headers_are_believed_only_where_sign_in_is_switched_on() -> None:
    """One file sets both, on the same condition."""
    files = [path.name for path in BICEP if "SIGN_IN:" in path.read_text(encoding="utf-8")]
    settings = resource("app.bicep", CONFIG, "appsettings")["properties"]
    providers = at(resource("app.bicep", CONFIG, "authsettingsV2"), "properties.identityProviders")
    assert isinstance(providers, Operation)
    switched_on, provider, nobody = providers.operands
    (condition,) = [
        part.operands[0]
        for part in walk(settings)
        if isinstance(part, Operation)
        and part.operator == "?"
        and isinstance(part.operands[1], Object)
        and part.operands[1].get("SIGN_IN")
    ]

    assert files == ["app.bicep"]
    assert condition == switched_on
    assert isinstance(provider, Object)
    assert plain(at(provider, "azureActiveDirectory.enabled")) is True
    assert plain(nobody) == {}
    assert plain(app_settings()["SIGN_IN"]) == "entra"


def test_every_address_people_are_led_to_is_that_of_the_setting() -> None:
    """Behind a domain of its own the app refuses what comes from another one."""
    outputs = {item.name: item.value for item in read(INFRA / "app.bicep").all("output")}

    assert app_settings()["PUBLIC_URL"] == Name("baseUrl", line=0)
    for name in ("consoleUrl", "constantContactRedirectUri", "signInRedirectUri"):
        address = outputs[name]
        assert isinstance(address, Template)
        assert address.parts[0] == Name("baseUrl", line=0), name


def test_names_of_others_private_endpoints_are_looked_up_outside() -> None:
    """Else a segment account with an endpoint elsewhere could not be found from the network."""
    link = resource(
        "private-endpoint.bicep", "Microsoft.Network/privateDnsZones/virtualNetworkLinks"
    )

    assert plain(at(link, "properties.resolutionPolicy")) == "NxDomainRedirect"


def test_the_segment_accounts_firewall_can_allow_the_apps_subnet() -> None:
    network = resource("network.bicep", "Microsoft.Network/virtualNetworks")
    subnets = at(network, "properties.subnets")
    assert isinstance(subnets, Array)
    (app,) = [s for s in subnets.items if isinstance(s, Object) and plain(s["name"]) == "app"]

    assert plain(at(app, "properties.serviceEndpoints")) == [{"service": "Microsoft.Storage"}]


def test_an_instance_prepares_one_segment_at_a_time_within_the_smallest_memory() -> None:
    """Steps at once share an instance's memory; more work means more instances."""
    queues = read_json(ROOT / "host.json")["extensions"]["queues"]
    (sizes,) = [
        plain(call.arguments[0])
        for item in read(INFRA / "resources.bicep").all("param")
        if item.name == "instanceMemoryMB" and (call := item.decorator("allowed"))
    ]
    steps_at_once = queues["batchSize"] + queues["newBatchThreshold"]

    assert steps_at_once * PEAK_LIMIT_MEMORY_MB <= min(sizes)


def test_telemetry_is_taken_from_entra_identities_only() -> None:
    insights = resource("telemetry.bicep", "Microsoft.Insights/components")

    assert plain(at(insights, "properties.DisableLocalAuth")) is True


def test_publishing_passwords_are_off() -> None:
    policies = resources("app.bicep", f"{SITE}/basicPublishingCredentialsPolicies")

    assert {plain(p.body["name"]): plain(at(p.body, "properties.allow")) for p in policies} == {
        "ftp": False,
        "scm": False,
    }


def test_exactly_one_resource_is_the_service_that_azd_deploys_to() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in BICEP)

    assert re.findall(r"'azd-service-name': '(\w+)'", text) == ["export"]


def test_outputs_that_azd_keeps_are_named_like_environment_variables() -> None:
    names = [item.name for item in read(INFRA / "main.bicep").all("output")]

    assert all(re.fullmatch(r"[A-Z][A-Z_]+", name) for name in names)
    assert not [name for name in names if re.search("SECRET|KEY$|PASSWORD|TOKEN", name)]


SECRETS = {
    "an account key": r"(?i)AccountKey=[A-Za-z0-9+/]{20}|\b[A-Za-z0-9+/]{86}==",
    "a shared access signature": r"[?&]sig=[A-Za-z0-9%]{20}",
    "a private key": r"BEGIN [A-Z ]*PRIVATE KEY",
    "an instrumentation key": r"(?i)instrumentationkey=[0-9a-f]{8}-",
    "a call for keys": r"\blistKeys\(|\blistAccountSas\(",
    "a token": r"\beyJ[A-Za-z0-9_-]{20}",
    "a GitHub token": r"\bgh[pousr]_[A-Za-z0-9]{20}|\bgithub_pat_\w{20}",
    "a client secret of Entra": r"\b[\w~.-]{3}[0-9]Q~[\w~.-]{31,34}",
    "a secret as it is": r"(?i)(?:client_?secret|password|access_?key|api_?key)[\"']?\s*[:=]\s*"
    r"[\"'](?=[^\"']*[0-9])[A-Za-z0-9+/_~.-]{20,}[\"']",
}


@pytest.mark.parametrize("what", SECRETS)
def test_no_file_holds(what: str) -> None:
    files = kept_files()

    assert len(files) > 200
    assert [str(path) for path in files if holds(path, SECRETS[what])] == []


def holds(path: Path, pattern: str) -> bool:
    text = (ROOT / path).read_bytes().decode("utf-8", errors="replace")
    return re.search(pattern, text) is not None


EXAMPLES = {
    "an account key": "A" * 86 + "==",
    "a shared access signature": "?sv=1&sig=" + "a" * 24,
    "a private key": "-----BEGIN " + "PRIVATE KEY-----",
    "an instrumentation key": "InstrumentationKey" + "=0c7d2f1a-",
    "a call for keys": "account.list" + "Keys()",
    "a token": "ey" + "J" + "h" * 24,
    "a GitHub token": "gh" + "p_" + "a" * 36,
    "a client secret of Entra": "abc8Q" + "~" + "d" * 34,
    "a secret as it is": "CLIENT_SECRET" + " = '" + "a1" * 12 + "'",
}
"""Put together at run time, so that this file holds none."""


@pytest.mark.parametrize("what", SECRETS)
def test_a_secret_would_be_found(what: str) -> None:
    assert re.search(SECRETS[what], EXAMPLES[what])


def test_a_default_is_never_a_secret() -> None:
    for path in BICEP:
        for item in read(path).all("param"):
            if item.decorator("secure"):
                assert item.value in (None, Literal("", line=0))
