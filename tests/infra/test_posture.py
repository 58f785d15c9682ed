"""What the resources promise: private data, no shared keys, no anonymous way in."""

from __future__ import annotations

import re

import pytest

from infra.check.syntax import Array, Call, Literal, Object, Operation, Template, read, walk
from shared.ledger import STAGED_TAG
from shared.storage.accounts import QUEUE
from tests.infra.sources import BICEP, INFRA, ROOT, app_settings, at, plain, resource, resources

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
    enabled = at(
        resource("app.bicep", CONFIG, "authsettingsV2"),
        "properties.identityProviders.azureActiveDirectory.enabled",
    )
    (condition,) = [
        part.operands[0]
        for part in walk(settings)
        if isinstance(part, Operation)
        and part.operator == "?"
        and isinstance(part.operands[1], Object)
        and part.operands[1].get("SIGN_IN")
    ]

    assert files == ["app.bicep"]
    assert condition == enabled
    assert plain(app_settings()["SIGN_IN"]) == "entra"


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
    "an account key": r"AccountKey=[A-Za-z0-9+/]{20}",
    "a shared access signature": r"[?&]sig=[A-Za-z0-9%]{20}",
    "a private key": r"BEGIN [A-Z ]*PRIVATE KEY",
    "an instrumentation key": r"(?i)instrumentationkey=[0-9a-f]{8}-",
    "a call for keys": r"\blistKeys\(|\blistAccountSas\(",
    "a token": r"\beyJ[A-Za-z0-9_-]{20}",
    "a GitHub token": r"\bgh[pousr]_[A-Za-z0-9]{20}",
}


@pytest.mark.parametrize("what", SECRETS)
def test_no_file_about_deployment_holds(what: str) -> None:
    files = [
        path
        for folder in ("infra", ".github", "docs")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".bicep", ".json", ".md", ".yml", ".py"}
    ]
    assert len(files) > 20
    for path in (*files, ROOT / "azure.yaml", ROOT / "local.settings.sample.json"):
        assert not re.search(SECRETS[what], path.read_text(encoding="utf-8")), path.name


def test_a_default_is_never_a_secret() -> None:
    for path in BICEP:
        for item in read(path).all("param"):
            if item.decorator("secure"):
                assert item.value in (None, Literal("", line=0))
