"""Completes the Entra registration that people sign in with.

``python -m infra.hooks.registration``, with the outputs of the deployment in the environment.
Adds the redirect URI and lets the sign-in identity stand in for a client secret:
https://learn.microsoft.com/azure/app-service/configure-authentication-provider-aad
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping

from infra.hooks.azure_cli import Az, AzFailed, az, say

CREDENTIAL = "segment-exports-sign-in"


def complete(environment: Mapping[str, str], run: Az = az) -> None:
    """Add what the registration lacks; without a registration, say what to do."""
    client_id = environment.get("AUTH_CLIENT_ID", "")
    if not client_id:
        say(
            "Nobody can sign in yet: there is no Entra registration. docs/registering.md makes\n"
            "one; then `azd env set AUTH_CLIENT_ID <client id>` and `azd provision`."
        )
        return
    _add_redirect(client_id, environment["SIGN_IN_REDIRECT_URI"], run)
    if environment.get("SIGN_IN_WITH_SECRET", "false").lower() != "true":
        _add_credential(
            client_id,
            environment["AZURE_TENANT_ID"],
            environment["SIGN_IN_IDENTITY_PRINCIPAL_ID"],
            run,
        )


def _add_redirect(client_id: str, uri: str, run: Az) -> None:
    known = run("ad", "app", "show", "--id", client_id, "--query", "web.redirectUris") or []
    if uri in known:
        say("The registration knows the app's address.")
        return
    run("ad", "app", "update", "--id", client_id, "--web-redirect-uris", *known, uri)
    say("Added the app's address to the registration.")


def _add_credential(client_id: str, tenant: str, principal: str, run: Az) -> None:
    known = run("ad", "app", "federated-credential", "list", "--id", client_id) or []
    if any(credential["subject"] == principal for credential in known):
        say("The registration trusts the sign-in identity.")
        return
    # A name is taken for good; a new identity gets a name of its own.
    credential = {
        "name": f"{CREDENTIAL}-{principal[:8]}",
        "issuer": f"https://login.microsoftonline.com/{tenant}/v2.0",
        "subject": principal,
        "audiences": ["api://AzureADTokenExchange"],
    }
    run(
        "ad", "app", "federated-credential", "create", "--id", client_id,
        "--parameters", json.dumps(credential),
    )  # fmt: skip
    say("The registration now trusts the sign-in identity; no client secret is needed.")


if __name__ == "__main__":
    try:
        complete(os.environ)
    except AzFailed as refusal:
        sys.exit(
            f"{refusal}\nThe registration was not completed; somebody with rights in Entra can do "
            "what docs/registering.md says."
        )
