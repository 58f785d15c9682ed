"""Key Vault's secrets and the managed identity's tokens, over TLS, for the real SDK.

``SecretClient(vault.url, DefaultAzureCredential())`` works unmodified in a process that has
``vault.environment``. As a process of its own: ``python -m local.key_vault`` prints that
environment and serves until it is stopped.

What is kept of the real service: the challenge, versions, soft delete, disabled and expired
secrets, pages. Contract: https://learn.microsoft.com/rest/api/keyvault/secrets/
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import secrets
import signal
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode

import certifi
import trustme
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from local.web import serve

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

NAME = re.compile(r"[0-9A-Za-z-]{1,127}")
MAX_VALUE_BYTES = 25_600
PAGE = 25
RECOVERABLE_DAYS = 90
TOKEN_SECONDS = 3600
TENANT = "11111111-1111-1111-1111-111111111111"


@dataclass
class Version:
    """One value a secret has had. Times are Unix seconds."""

    id: str
    value: str
    content_type: str | None
    tags: dict[str, str]
    created: int
    updated: int
    enabled: bool = True
    expires: int | None = None
    not_before: int | None = None


@dataclass
class Fault:
    """What goes wrong, once: see `KeyVault.fail`."""

    method: str
    secret: str
    skip: int
    acts: bool
    status: int | None


@dataclass
class Secret:
    """A name with its versions, oldest first; kept while deleted until purged."""

    name: str
    versions: list[Version] = field(default_factory=list)
    deleted_at: int | None = None


class Refused(Exception):
    """An answer in Key Vault's error shape."""

    def __init__(self, status: int, code: str, message: str, inner: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.inner = status, code, inner


class KeyVault:
    """A vault that lives in this process.

    Attributes:
        url: Of the vault.
        environment: What a process needs to trust the vault and to get a token for it.
        calls: Method and path of every request that carried a token, in order.
        latency: Seconds every answer waits.
    """

    def __init__(self, *, port: int = 0, latency: float = 0) -> None:
        self.latency = latency
        self.calls: list[tuple[str, str]] = []
        self.url = ""
        self.environment: dict[str, str] = {}
        self._port = port
        self._secrets: dict[str, Secret] = {}
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._identity_header = secrets.token_urlsafe()
        self._tokens: dict[str, float] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="key-vault-"))
            authority = trustme.CA()
            # `requests` reads one bundle: ours and everybody else's.
            bundle = Path(folder) / "authorities.pem"
            bundle.write_bytes(authority.cert_pem.bytes() + Path(certifi.where()).read_bytes())
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert("127.0.0.1").configure_cert(tls)
            port = stack.enter_context(serve(self._answer, port=self._port, tls=tls))
            self.url = f"https://127.0.0.1:{port}"
            self.environment = {
                "REQUESTS_CA_BUNDLE": str(bundle),
                "IDENTITY_ENDPOINT": f"{self.url}/msi/token",
                "IDENTITY_HEADER": self._identity_header,
            }
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def secrets(self) -> Mapping[str, str]:
        """The newest value of every secret that is not deleted."""
        with self._lock:
            return {
                secret.name: secret.versions[-1].value
                for secret in self._secrets.values()
                if secret.deleted_at is None
            }

    def set(self, name: str, value: str, *, expires: int | None = None) -> None:
        """Write a secret as an operator would with the portal."""
        with self._lock:
            self._set(name, {"value": value, "attributes": {"exp": expires}})

    def versions(self, name: str) -> Sequence[str]:
        """Return every value a secret has had, oldest first."""
        with self._lock:
            return [version.value for version in self._secrets[name.lower()].versions]

    def fail(
        self,
        method: str,
        secret: str = "",
        *,
        skip: int = 0,
        acts: bool = False,
        status: int | None = None,
    ) -> None:
        """Let one request fail: the one after *skip* others of this method and secret.

        Args:
            method: ``GET``, ``PUT``, …; other than that the SDK's own retries come into play.
            secret: Its name; empty for any.
            skip: How many matching requests go well before.
            acts: Whether the request takes effect before it fails: a lost answer.
            status: Of the answer; None drops the connection.
        """
        with self._lock:
            self._faults.append(Fault(method, secret.lower(), skip, acts, status))

    # The service: everything below answers requests.

    _routes = Map(
        [
            Rule("/msi/token", endpoint="token", methods=["GET"]),
            Rule("/secrets", endpoint="list", methods=["GET"]),
            Rule("/secrets/<name>", endpoint="set", methods=["PUT"]),
            Rule("/secrets/<name>", endpoint="get", methods=["GET"]),
            Rule("/secrets/<name>", endpoint="update", methods=["PATCH"]),
            Rule("/secrets/<name>", endpoint="delete", methods=["DELETE"]),
            Rule("/secrets/<name>/versions", endpoint="list_versions", methods=["GET"]),
            Rule("/secrets/<name>/<version>", endpoint="get", methods=["GET"]),
            Rule("/secrets/<name>/<version>", endpoint="update", methods=["PATCH"]),
            Rule("/deletedsecrets", endpoint="list_deleted", methods=["GET"]),
            Rule("/deletedsecrets/<name>", endpoint="get_deleted", methods=["GET"]),
            Rule("/deletedsecrets/<name>", endpoint="purge", methods=["DELETE"]),
            Rule("/deletedsecrets/<name>/recover", endpoint="recover", methods=["POST"]),
        ],
        strict_slashes=False,  # the SDK asks for the newest version with an empty last segment
        merge_slashes=False,
    )

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return self._respond(Request(environ))(environ, start_response)

    def _respond(self, request: Request) -> Response:
        time.sleep(self.latency)
        try:
            endpoint, values = self._routes.bind_to_environ(request.environ).match()
            if endpoint == "token":
                return self._issue_token(request)
            if not self._knows_token(request):
                return self._challenge()
            return self._act(request, str(endpoint), dict(values))
        except Refused as refusal:
            return _problem(refusal)
        except HTTPException as error:
            return _problem(Refused(error.code or 500, "BadParameter", error.name))

    def _act(self, request: Request, endpoint: str, values: dict[str, Any]) -> Response:
        with self._lock:
            self.calls.append((request.method, request.path.rstrip("/")))
            fault = self._next_fault(request.method, str(values.get("name", "")).lower())
            if fault and not fault.acts:
                return _failure(request, fault)
            if "name" in values and not NAME.fullmatch(values["name"]):
                raise Refused(400, "BadParameter", "The request URI contains an invalid name.")
            body = request.get_json() if request.method in {"PUT", "PATCH"} else {}
            found = self._perform(endpoint, values, body, request)
            if fault:
                return _failure(request, fault)
        if found is None:
            return Response(status=204)
        return Response(json.dumps(found), mimetype="application/json")

    def _perform(
        self, endpoint: str, values: dict[str, Any], body: dict[str, Any], request: Request
    ) -> dict[str, Any] | None:
        name, version = values.get("name", ""), values.get("version", "")
        match endpoint:
            case "set":
                return self._set(name, body)
            case "get":
                return self._get(name, version)
            case "update":
                return self._update(name, version, body)
            case "delete":
                return self._delete(name)
            case "get_deleted":
                return self._deleted_bundle(self._find_deleted(name))
            case "purge":
                del self._secrets[self._find_deleted(name).name.lower()]
                return None
            case "recover":
                secret = self._find_deleted(name)
                secret.deleted_at = None
                return self._bundle(secret, secret.versions[-1], value=False)
            case "list_versions":
                secret = self._find(name)
                items = [self._bundle(secret, each, value=False) for each in secret.versions]
            case "list_deleted":
                items = [self._deleted_bundle(each) for each in self._sorted() if each.deleted_at]
            case _:
                items = [
                    self._bundle(each, each.versions[-1], value=False, version_in_id=False)
                    for each in self._sorted()
                    if each.deleted_at is None
                ]
        return self._page(items, request)

    def _set(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        value, attributes = body.get("value"), body.get("attributes") or {}
        if not isinstance(value, str):
            raise Refused(400, "BadParameter", "The request body must have a string value.")
        if len(value.encode()) > MAX_VALUE_BYTES:
            raise Refused(400, "BadParameter", "The secret's value is longer than 25k bytes.")
        secret = self._secrets.setdefault(name.lower(), Secret(name))
        if secret.deleted_at is not None:
            raise Refused(
                409,
                "Conflict",
                f"Secret {name} is currently in a deleted but recoverable state, and its name "
                "cannot be reused; in this state, the secret can only be recovered or purged.",
                inner="ObjectIsDeletedButRecoverable",
            )
        now = int(time.time())
        version = Version(
            id=secrets.token_hex(16),
            value=value,
            content_type=body.get("contentType"),
            tags=body.get("tags") or {},
            created=now,
            updated=now,
            enabled=attributes.get("enabled", True),
            expires=attributes.get("exp"),
            not_before=attributes.get("nbf"),
        )
        secret.versions.append(version)
        return self._bundle(secret, version)

    def _get(self, name: str, version_id: str) -> dict[str, Any]:
        secret = self._find(name)
        version = self._find_version(secret, version_id)
        if not version.enabled:
            raise Refused(
                403,
                "Forbidden",
                "Operation get is not allowed on a disabled secret.",
                inner="SecretDisabled",
            )
        # An expired secret is given all the same; so does the service.
        return self._bundle(secret, version)

    def _update(self, name: str, version_id: str, body: dict[str, Any]) -> dict[str, Any]:
        secret = self._find(name)
        version = self._find_version(secret, version_id)
        attributes = body.get("attributes") or {}
        version.enabled = attributes.get("enabled", version.enabled)
        version.expires = attributes.get("exp", version.expires)
        version.not_before = attributes.get("nbf", version.not_before)
        version.content_type = body.get("contentType", version.content_type)
        version.tags = body.get("tags", version.tags)
        version.updated = int(time.time())
        return self._bundle(secret, version, value=False)

    def _delete(self, name: str) -> dict[str, Any]:
        secret = self._find(name)
        secret.deleted_at = int(time.time())
        return self._deleted_bundle(secret)

    def _find(self, name: str) -> Secret:
        secret = self._secrets.get(name.lower())
        if secret is None or secret.deleted_at is not None:
            raise Refused(
                404,
                "SecretNotFound",
                f"A secret with (name/id) {name} was not found in this key vault.",
            )
        return secret

    def _find_deleted(self, name: str) -> Secret:
        secret = self._secrets.get(name.lower())
        if secret is None or secret.deleted_at is None:
            raise Refused(404, "SecretNotFound", f"Deleted Secret not found: {name}")
        return secret

    def _find_version(self, secret: Secret, version_id: str) -> Version:
        if not version_id:
            return secret.versions[-1]
        for version in secret.versions:
            if version.id == version_id:
                return version
        raise Refused(
            404,
            "SecretNotFound",
            f"A secret with (name/id) {secret.name}/{version_id} was not found in this key vault.",
        )

    def _sorted(self) -> list[Secret]:
        return [self._secrets[name] for name in sorted(self._secrets)]

    def _bundle(
        self, secret: Secret, version: Version, *, value: bool = True, version_in_id: bool = True
    ) -> dict[str, Any]:
        attributes = {
            "enabled": version.enabled,
            "created": version.created,
            "updated": version.updated,
            "exp": version.expires,
            "nbf": version.not_before,
            "recoveryLevel": "Recoverable+Purgeable",
            "recoverableDays": RECOVERABLE_DAYS,
        }
        bundle = {
            "id": f"{self.url}/secrets/{secret.name}" + f"/{version.id}" * version_in_id,
            "value": version.value if value else None,
            "contentType": version.content_type,
            "tags": version.tags or None,
            "attributes": {key: each for key, each in attributes.items() if each is not None},
        }
        return {key: each for key, each in bundle.items() if each is not None}

    def _deleted_bundle(self, secret: Secret) -> dict[str, Any]:
        deleted_at = secret.deleted_at or 0
        return self._bundle(secret, secret.versions[-1], value=False) | {
            "recoveryId": f"{self.url}/deletedsecrets/{secret.name}",
            "deletedDate": deleted_at,
            "scheduledPurgeDate": deleted_at + RECOVERABLE_DAYS * 86400,
        }

    def _page(self, items: list[dict[str, Any]], request: Request) -> dict[str, Any]:
        start = request.args.get("$skiptoken", 0, type=int)
        end = start + min(request.args.get("maxresults", PAGE, type=int), PAGE)
        query = request.args.to_dict() | {"$skiptoken": str(end)}
        more = f"{self.url}{request.path}?{urlencode(query)}" if end < len(items) else None
        return {"value": items[start:end], "nextLink": more}

    def _next_fault(self, method: str, secret: str) -> Fault | None:
        for fault in self._faults:
            if fault.method == method and fault.secret in {"", secret}:
                if fault.skip:
                    fault.skip -= 1
                    continue
                self._faults.remove(fault)
                return fault
        return None

    def _issue_token(self, request: Request) -> Response:
        """Answer as the identity endpoint of App Service does, version 2019-08-01."""
        if request.headers.get("X-IDENTITY-HEADER") != self._identity_header:
            return Response(status=401)
        token = secrets.token_urlsafe(32)
        expires_on = time.time() + TOKEN_SECONDS
        self._tokens[token] = expires_on
        answer = {
            "access_token": token,
            "expires_on": str(int(expires_on)),
            "resource": request.args.get("resource", ""),
            "token_type": "Bearer",
        }
        return Response(json.dumps(answer), mimetype="application/json")

    def _knows_token(self, request: Request) -> bool:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        return kind == "Bearer" and self._tokens.get(token, 0) > time.time()

    def _challenge(self) -> Response:
        """Ask for a token; the SDK takes a resource that ends the vault's host name."""
        resource = self.url.replace("https://127.", "https://")
        return Response(
            json.dumps({"error": {"code": "Unauthorized", "message": "AKV10000: No token."}}),
            status=401,
            mimetype="application/json",
            headers={
                "WWW-Authenticate": "Bearer "
                f'authorization="https://login.microsoftonline.com/{TENANT}", '
                f'resource="{resource}"'
            },
        )


def _problem(refusal: Refused) -> Response:
    error: dict[str, Any] = {"code": refusal.code, "message": str(refusal)}
    if refusal.inner:
        error["innererror"] = {"code": refusal.inner}
    return Response(
        json.dumps({"error": error}), status=refusal.status, mimetype="application/json"
    )


def _failure(request: Request, fault: Fault) -> Response:
    if fault.status is None:
        request.environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    return _problem(Refused(fault.status or 500, "ServiceUnavailable", "Failed on purpose."))


def main() -> None:
    """Serve until SIGTERM or Ctrl-C, after printing the environment a process needs."""
    parser = argparse.ArgumentParser(prog="python -m local.key_vault")
    parser.add_argument("--port", type=int, default=0, help="a free one unless named")
    parser.add_argument("--latency", type=float, default=0, help="seconds every answer waits")
    arguments = parser.parse_args()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with KeyVault(port=arguments.port, latency=arguments.latency) as vault:
        for name, value in ({"KEY_VAULT_URL": vault.url} | vault.environment).items():
            print(f"{name}={value}", flush=True)
        stopped.wait()


if __name__ == "__main__":
    main()
