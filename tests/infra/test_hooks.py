"""Hooks look first, change only what is missing, and can be run again."""

from __future__ import annotations

import json
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from infra.hooks import azure_cli, client_secret, registration, smoke
from infra.hooks.azure_cli import AzFailed
from tests.infra.sources import ROOT

VAULT = "kv-of-a-test"


def at_once(_: float) -> None:
    """Wait for nothing."""


def never() -> str:
    raise AssertionError("nobody should be asked")


@dataclass
class Vault:
    """The commands of ``az keyvault secret``, over one secret."""

    value: str | None = None
    refusals: int = 0
    written: list[str] = field(default_factory=list)

    def __call__(self, *arguments: str) -> Any:
        if self.refusals:
            self.refusals -= 1
            raise AzFailed("(Forbidden) Caller is not authorized to perform action on resource.")
        match arguments:
            case ("keyvault", "secret", "show", *_):
                if self.value is None:
                    raise AzFailed("(SecretNotFound) A secret with this name was not found.")
                return "https://kv/secrets/constant-contact-client-secret/1"
            case ("keyvault", "secret", "set", *rest):
                file = Path(rest[rest.index("--file") + 1])
                assert stat.S_IMODE(file.stat().st_mode) == 0o600
                self.value = file.read_text(encoding="utf-8")
                self.written.append(self.value)
                assert self.value not in arguments
                return "https://kv/secrets/constant-contact-client-secret/2"
        raise AssertionError(arguments)


def test_a_secret_that_is_there_is_never_overwritten() -> None:
    vault = Vault("from last year")

    assert client_secret.provide(VAULT, never, vault, at_once)
    assert vault.written == []


def test_a_missing_secret_is_asked_for_and_stored() -> None:
    vault = Vault()

    assert client_secret.provide(VAULT, lambda: " s3cret \n", vault, at_once)
    assert client_secret.provide(VAULT, never, vault, at_once)

    assert vault.written == ["s3cret"]


def test_without_an_answer_it_says_how_and_leaves_the_vault_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    vault = Vault()

    assert not client_secret.provide(VAULT, str, vault, at_once)
    assert vault.written == []
    assert f"--vault-name {VAULT}" in capsys.readouterr().out


def test_a_role_that_is_not_yet_effective_is_waited_for() -> None:
    vault = Vault("there", refusals=3)

    assert client_secret.provide(VAULT, never, vault, at_once)


def test_a_refusal_that_stays_is_told() -> None:
    with pytest.raises(AzFailed, match="Forbidden"):
        client_secret.provide(VAULT, never, Vault(refusals=1_000), at_once)


@pytest.mark.parametrize("code", ["ForbiddenByConnection", "ForbiddenByFirewall"])
def test_a_vault_that_is_closed_to_this_machine_is_not_waited_for(code: str) -> None:
    """What a role would change, a network does not."""

    def closed(*_: str) -> Any:
        raise AzFailed(f'(Forbidden) Public network access is disabled. Inner error: "{code}"')

    def wait(_: float) -> None:
        raise AssertionError("no wait helps")

    with pytest.raises(AzFailed, match="from inside the network"):
        client_secret.provide(VAULT, never, closed, wait)


AFTER_PROVISIONING = yaml.safe_load((ROOT / "azure.yaml").read_text())["hooks"]["postprovision"]


@pytest.mark.parametrize("failing", ["client_secret", "registration", "neither"])
def test_each_hook_runs_whatever_becomes_of_the_other_and_a_failure_is_reported(
    failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the registration nobody can sign in, secret or not."""
    python = tmp_path / "python3"
    python.write_text(
        f'#!/bin/sh\necho "$2" >> {tmp_path}/ran\n[ "$2" != infra.hooks.{failing} ]\n'
    )
    python.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    done = subprocess.run(
        ["/bin/sh", "-c", AFTER_PROVISIONING["posix"]["run"]],
        check=False,
    )

    assert (tmp_path / "ran").read_text().split() == [
        "infra.hooks.client_secret",
        "infra.hooks.registration",
    ]
    assert (done.returncode == 0) is (failing == "neither")


@dataclass
class Registration:
    """The commands of ``az ad app``, over one registration."""

    redirects: list[str] = field(default_factory=list)
    credentials: list[dict[str, Any]] = field(default_factory=list)
    changes: int = 0

    def __call__(self, *arguments: str) -> Any:
        match arguments:
            case ("ad", "app", "show", *_):
                return list(self.redirects)
            case ("ad", "app", "update", "--id", _, "--web-redirect-uris", *uris):
                self.redirects = uris
            case ("ad", "app", "federated-credential", "list", *_):
                return list(self.credentials)
            case ("ad", "app", "federated-credential", "create", *rest):
                self.credentials.append(json.loads(rest[-1]))
            case _:
                raise AssertionError(arguments)
        self.changes += 1
        return None


ENVIRONMENT = {
    "AUTH_CLIENT_ID": "6b0c6c1e-2f0a-4d0f-9d3a-0f8f5a9a7c11",
    "AZURE_TENANT_ID": "0d1c0c51-3f65-4c6a-8d4d-1f2b8f8b6a10",
    "SIGN_IN_REDIRECT_URI": "https://func-x.azurewebsites.net/.auth/login/aad/callback",
    "SIGN_IN_IDENTITY_PRINCIPAL_ID": "c3b6a1de-7a51-44a6-a0a5-c8f7e8f3a7f9",
}


def test_a_registration_gets_the_address_and_trusts_the_sign_in_identity() -> None:
    entra = Registration(redirects=["https://elsewhere.example/cb"])

    registration.complete(ENVIRONMENT, entra)

    assert entra.redirects == ["https://elsewhere.example/cb", ENVIRONMENT["SIGN_IN_REDIRECT_URI"]]
    (credential,) = entra.credentials
    assert credential["subject"] == ENVIRONMENT["SIGN_IN_IDENTITY_PRINCIPAL_ID"]
    assert credential["issuer"].endswith(f"/{ENVIRONMENT['AZURE_TENANT_ID']}/v2.0")
    assert credential["audiences"] == ["api://AzureADTokenExchange"]


def test_a_complete_registration_is_left_alone() -> None:
    entra = Registration()

    registration.complete(ENVIRONMENT, entra)
    changes = entra.changes
    registration.complete(ENVIRONMENT, entra)

    assert entra.changes == changes


def test_sign_in_with_a_secret_needs_no_trust_in_the_identity() -> None:
    entra = Registration()

    registration.complete(ENVIRONMENT | {"SIGN_IN_WITH_SECRET": "true"}, entra)

    assert entra.credentials == []


def test_without_a_registration_it_says_where_to_make_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    entra = Registration()

    registration.complete({}, entra)

    assert entra.changes == 0
    assert "docs/registering.md" in capsys.readouterr().out


@contextmanager
def app(answer: Callable[[str, bool], tuple[int, str]]) -> Iterator[str]:
    """Serve an app that answers by path and by whether a sign-in header is there."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answer(self.path, "X-MS-CLIENT-PRINCIPAL" in self.headers)
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/.auth/login/aad")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/console/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def listing(*names: str) -> azure_cli.Az:
    return lambda *_: [{"name": f"func-x/{name}"} for name in names]


def guarded(path: str, _: bool) -> tuple[int, str]:
    if path == "/api/health":
        return 200, '{"status": "ok"}'
    return (302, "") if path.startswith("/console") else (401, "")


def look(url: str, run: azure_cli.Az) -> str:
    return "\n".join(smoke.faults(url, "rg", "func-x", run, at_once))


def test_a_sound_app_passes() -> None:
    """A redirect to sign-in is not followed: it counts as refusal."""
    with app(guarded) as url:
        assert look(url, listing(*smoke.FUNCTIONS)) == ""


def test_an_app_that_still_starts_is_waited_for() -> None:
    statuses = iter([503, 503])

    def starting(path: str, forged: bool) -> tuple[int, str]:
        status = next(statuses, None) if path == "/api/health" else None
        return (status, "") if status else guarded(path, forged)

    with app(starting) as url:
        assert look(url, listing(*smoke.FUNCTIONS)) == ""


def test_an_app_that_lets_strangers_in_is_found() -> None:
    with app(lambda *_: (200, '{"status": "ok"}')) as url:
        assert "/api/exports answers 200 to a stranger" in look(url, listing(*smoke.FUNCTIONS))


def test_an_app_that_believes_a_forged_header_is_found() -> None:
    def gullible(path: str, forged: bool) -> tuple[int, str]:
        return (200, "[]") if forged else guarded(path, forged)

    with app(gullible) as url:
        found = look(url, listing(*smoke.FUNCTIONS))

    assert "to a stranger with a forged header" in found
    assert "to a stranger:" not in found


def test_an_app_that_is_ill_is_found() -> None:
    def ill(path: str, forged: bool) -> tuple[int, str]:
        return (500, "") if path == "/api/health" else guarded(path, forged)

    with app(ill) as url:
        assert "Health answers 500" in look(url, listing(*smoke.FUNCTIONS))


def test_functions_that_the_portal_does_not_list_are_found() -> None:
    with app(guarded) as url:
        assert "does not list schedule_exports" in look(
            url, listing(*smoke.FUNCTIONS - {"schedule_exports"})
        )


def test_the_azure_cli_is_run_and_its_refusal_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "az"
    program.write_text(
        '#!/bin/sh\n[ "$1" = ok ] && echo "[\\"$*\\"]" || { echo no >&2; exit 3; }\n'
    )
    program.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    assert azure_cli.az("ok", "a b") == ["ok a b --output json"]
    with pytest.raises(AzFailed, match="no"):
        azure_cli.az("not ok")


def test_a_missing_azure_cli_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(AzFailed, match="was not found"):
        azure_cli.az("account", "show")
