"""The API over HTTP as callers meet it: the app's own functions behind the local host."""

from __future__ import annotations

import base64
import http.client
import json
import runpy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import azure.functions as func
import pytest
import requests

from shared.bootstrap import product
from shared.product import Product
from shared.roles import Role
from tests.runs.app import App

ROOT = Path(__file__).parent.parent.parent
LONG_ROLE_TYPE = "http://schemas.microsoft.com/ws/2008/06/identity/claims/role"
DISABLED = {f"AzureWebJobs.{name}.Disabled": "true" for name in ("perform_step", "abandon_step")}
"""Tests carry runs on themselves, with `App.drain`."""

Headers = Mapping[str, str]


def sample_settings() -> dict[str, str]:
    """Return the settings that the repository proposes for one machine."""
    sample = json.loads((ROOT / "local.settings.sample.json").read_text(encoding="utf-8"))
    values: dict[str, str] = sample["Values"]
    return values


def load_app() -> func.FunctionApp:
    """Return the app as ``function_app.py`` registers it; each one lists its functions once."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in sample_settings().items():
            patch.setenv(name, value)
        app: func.FunctionApp = runpy.run_path(str(ROOT / "function_app.py"))["app"]
    return app


def principal_headers(
    *roles: str, who: str = "ada", role_type: str = "roles", declared: str = "roles"
) -> dict[str, str]:
    """Return what the platform's sign-in adds for somebody with *roles*.

    Args:
        role_type: ``typ`` of the claims; *declared*: what ``role_typ`` says it is.
    """
    claims = [
        {"typ": "preferred_username", "val": f"{who}@contoso.example"},
        *({"typ": role_type, "val": role} for role in roles),
    ]
    content = {"auth_typ": "aad", "name_typ": "name", "role_typ": declared, "claims": claims}
    return {
        "X-MS-CLIENT-PRINCIPAL": base64.b64encode(json.dumps(content).encode()).decode(),
        "X-MS-CLIENT-PRINCIPAL-ID": f"id-of-{who}",
        "X-MS-CLIENT-PRINCIPAL-NAME": f"{who}@contoso.example",
    }


ADMINISTRATOR = principal_headers(Role.ADMINISTRATOR)
CONTRIBUTOR = principal_headers(Role.CONTRIBUTOR, who="carla")
VIEWER = principal_headers(Role.VIEWER, who="vera")


@dataclass
class Service:
    """The API, served at *url*; *app* moves what happens behind it."""

    app: App
    url: str
    set_environment: Callable[[str, str | None], None]

    def __post_init__(self) -> None:
        self._session = requests.Session()
        self._session.trust_env = False

    def sign_in(self, mode: str | None) -> None:
        """Serve under ``SIGN_IN=mode`` from now on."""
        self.set_environment("SIGN_IN", mode)
        product.cache_clear()

    def product(self) -> Product:
        """Return the product that the functions use."""
        return product()

    def call(
        self,
        method: str,
        path: str,
        who: Headers = ADMINISTRATOR,
        *,
        json: object = None,
        body: bytes | None = None,
        headers: Headers | None = None,
    ) -> requests.Response:
        """Send a request as *who*, without following redirects."""
        return self._session.request(
            method,
            self.url + path,
            headers={**who, **(headers or {})},
            json=json,
            data=body,
            allow_redirects=False,
            timeout=30,
        )

    def call_raw(self, method: str, path: str, who: Headers = ADMINISTRATOR) -> tuple[int, bytes]:
        """Send *path* exactly as it is, dots and all."""
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=30)
        try:
            connection.putrequest(method, path, skip_host=False)
            for name, value in who.items():
                connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def create_export(self, name: str, who: Headers = ADMINISTRATOR, **changes: Any) -> str:
        """Save an export of the segment ``Spring`` under the id *name*."""
        answer = self.call("POST", "/api/exports", who, json=self.order(name, **changes))
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def order(self, name: str, **changes: Any) -> dict[str, Any]:
        """Return an export that can be saved."""
        return {
            "id": name,
            "display_name": f"Export {name}",
            "connection_id": "main",
            "segments": [{"name": "Spring", "list_ids": [self.list_id]}],
            "mapping": {"email": "EMailAddress1", "first_name": "FirstName"},
            **changes,
        }

    @property
    def list_id(self) -> str:
        """The id of the list ``Everyone``."""
        lists = self.app.constant_contact.lists()
        return next(key for key, name in lists.items() if name == "Everyone")


def problem_of(answer: requests.Response) -> dict[str, Any]:
    """Return the problem that *answer* tells; it must tell one completely."""
    assert answer.headers["Content-Type"].startswith("application/problem+json"), answer.text
    content: dict[str, Any] = answer.json()
    assert content["status"] == answer.status_code
    assert content["code"]
    assert content["detail"].endswith((".", ")"))
    return content


def fields_of(answer: requests.Response) -> set[str]:
    """Return the fields that an answer finds fault with."""
    return {str(error["field"]) for error in problem_of(answer)["errors"]}


def texts_of(records: Iterable[Any]) -> str:
    """Return everything that log records say, attributes and all."""
    return "\n".join(str(vars(record)) for record in records)
