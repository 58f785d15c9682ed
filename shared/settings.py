"""The app's settings, read from the environment once and validated at start.

This is the only module that reads the environment. Names and defaults are documented in
``local.settings.sample.json`` and the README; a test keeps the three alike.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    model_validator,
)

from shared import schedules
from shared.errors import SettingInvalid
from shared.ids import CONTAINER

_PORTS = {"http": 80, "https": 443}


def origin_of(url: str) -> tuple[str, str, int] | None:
    """Return scheme, host and port of an http(s) URL, however it is spelled; None if it is none.

    https://www.rfc-editor.org/rfc/rfc6454#section-4
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname:
        return None
    return parts.scheme, parts.hostname, port or _PORTS[parts.scheme]


def _base_url(text: str) -> str:
    """Return *text* without its trailing slash, if it can be the base of URLs."""
    url = text.rstrip("/")
    origin = origin_of(url)
    if origin is None or any(c in url for c in " ?#"):
        raise ValueError("has to be an https URL without query or fragment")
    scheme, host, _ = origin
    if scheme == "http" and host not in {"127.0.0.1", "localhost", "::1"}:
        raise ValueError("has to begin with https://, but for this machine's own address")
    return url


def _pairs(connection_string: str) -> dict[str, str]:
    parts = connection_string.strip().rstrip(";").split(";")
    return dict(part.partition("=")[::2] for part in parts)


def _connection_string(text: str) -> str:
    """Return *text* if the SDK could make an account of it."""
    pairs = _pairs(text)
    named = pairs.keys() & {"AccountName", "BlobEndpoint"}
    proven = pairs.keys() & {"AccountKey", "SharedAccessSignature"}
    if pairs.get("UseDevelopmentStorage") != "true" and not (named and proven):
        raise ValueError("has to be a storage account's connection string")
    return text


def _prefix(text: str) -> str:
    return text.strip().strip("/")


def _ncrontab(text: str) -> str:
    schedules.parse_ncrontab(text)
    return text


Url = Annotated[str, AfterValidator(_base_url)]
Text = Annotated[str, Field(min_length=1)]
ConnectionString = Annotated[str, AfterValidator(_connection_string)]
Container = Annotated[str, Field(pattern=f"^{CONTAINER}$")]
Rate = Annotated[float, Field(ge=0.1, le=1_000)]


class StorageAccount(BaseModel):
    """How to reach a storage account: a connection string, or URIs with the managed identity."""

    model_config = ConfigDict(frozen=True)

    connection_string: str | None = None
    blob_service_uri: Url | None = None
    queue_service_uri: Url | None = None

    @property
    def name(self) -> str:
        """The account's name, or its address where that does not begin with the name."""
        pairs = _pairs(self.connection_string or "")
        if "AccountName" in pairs:
            return pairs["AccountName"]
        address = (pairs.get("BlobEndpoint") or self.blob_service_uri or "").rstrip("/")
        name, _, service = address.removeprefix("https://").partition(".")
        return name if service.startswith("blob.") else address


class Settings(BaseModel):
    """Every setting once; an alias is the name in the environment."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    segment_storage: ConnectionString | None = Field(None, alias="SEGMENT_STORAGE")
    segment_blob_uri: Url | None = Field(None, alias="SEGMENT_STORAGE__blobServiceUri")
    segment_container: Container = Field(alias="SEGMENT_CONTAINER")
    segment_prefix: Annotated[str, AfterValidator(_prefix)] = Field("", alias="SEGMENT_PREFIX")
    export_storage: ConnectionString | None = Field(None, alias="EXPORT_STORAGE")
    export_blob_uri: Url | None = Field(None, alias="EXPORT_STORAGE__blobServiceUri")
    export_queue_uri: Url | None = Field(None, alias="EXPORT_STORAGE__queueServiceUri")
    export_container: Container = Field("exports", alias="EXPORT_CONTAINER")
    export_schedule: Annotated[str, AfterValidator(_ncrontab)] = Field(
        "0 */15 * * * *", alias="EXPORT_SCHEDULE"
    )
    key_vault_url: Url = Field(alias="KEY_VAULT_URL")
    client_id: Text = Field(alias="CONSTANT_CONTACT_CLIENT_ID")
    api_url: Url = Field("https://api.cc.email/v3", alias="CONSTANT_CONTACT_API_URL")
    auth_url: Url = Field(
        "https://authz.constantcontact.com/oauth2/default/v1", alias="CONSTANT_CONTACT_AUTH_URL"
    )
    requests_per_second: Rate = Field(4.0, alias="CONSTANT_CONTACT_REQUESTS_PER_SECOND")
    requests_per_day: PositiveInt = Field(10_000, alias="CONSTANT_CONTACT_REQUESTS_PER_DAY")
    public_url: Url | None = Field(None, alias="PUBLIC_URL")
    sign_in: Literal["entra", "off"] | None = Field(None, alias="SIGN_IN")
    snapshot_quiet_seconds: Annotated[float, Field(ge=0, le=604_800)] = Field(
        600.0, alias="SNAPSHOT_QUIET_SECONDS"
    )
    activity_poll_seconds: Annotated[float, Field(gt=0, le=3_600)] = Field(
        5.0, alias="ACTIVITY_POLL_SECONDS"
    )
    website_hostname: str | None = Field(None, alias="WEBSITE_HOSTNAME")
    website_site_name: str | None = Field(None, alias="WEBSITE_SITE_NAME")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not (self.segment_storage or self.segment_blob_uri):
            raise ValueError("SEGMENT_STORAGE or SEGMENT_STORAGE__blobServiceUri is missing")
        if not self.export_storage:
            for name, value in (
                ("EXPORT_STORAGE__blobServiceUri", self.export_blob_uri),
                ("EXPORT_STORAGE__queueServiceUri", self.export_queue_uri),
            ):
                if not value:
                    raise ValueError(f"{name} is missing (or EXPORT_STORAGE as a whole)")
        if not (self.public_url or self.website_hostname):
            raise ValueError("PUBLIC_URL is missing, and there is no WEBSITE_HOSTNAME")
        if self.sign_in == "off" and self.website_site_name:
            raise ValueError("SIGN_IN must not be off on Azure: everyone would be administrator")
        return self

    @property
    def segments(self) -> StorageAccount:
        """The account that holds the segments; read only."""
        return StorageAccount(
            connection_string=self.segment_storage, blob_service_uri=self.segment_blob_uri
        )

    @property
    def exports(self) -> StorageAccount:
        """The account with the queue and the app's documents."""
        return StorageAccount(
            connection_string=self.export_storage,
            blob_service_uri=self.export_blob_uri,
            queue_service_uri=self.export_queue_uri,
        )

    @property
    def base_url(self) -> str:
        """Where browsers reach this app, without a trailing slash."""
        return self.public_url or f"https://{self.website_hostname}"

    @property
    def origins(self) -> frozenset[tuple[str, str, int] | None]:
        """Where the console's pages come from: the base URL and the host's own name."""
        own = {self.base_url, f"https://{self.website_hostname}" if self.website_hostname else ""}
        return frozenset(origin_of(url) for url in own if url)

    @property
    def redirect_uri(self) -> str:
        """The redirect URI to register at Constant Contact, character for character."""
        return f"{self.base_url}/api/oauth/callback"

    @property
    def deployment_id(self) -> str:
        """Tells this deployment from a copy of it, which has another site, vault or documents."""
        documents = f"{self.exports.name}/{self.export_container}"
        place = "|".join((self.website_site_name or "", self.key_vault_url, documents))
        return hashlib.sha256(place.encode()).hexdigest()[:16]


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings, or raise `SettingInvalid` with one sentence for all that is wrong.

    An empty value counts as not set, which is how the Azure portal clears one. Values are not
    repeated in the sentence: they may be secrets.
    """
    present = {name: value for name, value in environment.items() if value.strip()}
    try:
        return Settings.model_validate(present)
    except ValidationError as error:
        raise SettingInvalid("; ".join(_sentence(fault) for fault in error.errors())) from None


def _sentence(fault: object) -> str:
    match fault:
        case {"type": "missing", "loc": (name, *_)}:
            return f"{name} is missing"
        case {"loc": (name, *_), "msg": str(message)}:
            return f"{name} is not valid: {message.removeprefix('Value error, ')}"
        case {"msg": str(message)}:
            return message.removeprefix("Value error, ")
        case _:
            return "a setting is not valid"
