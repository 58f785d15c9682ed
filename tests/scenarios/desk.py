"""One instance of the app, as far as connections go, over real services.

Made from plain texts only, so that another process can make the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Self
from urllib.parse import parse_qs, urlsplit

import requests
from azure.storage.blob import ContainerClient

from shared.authorization import Begun
from shared.connections import Connection
from shared.constant_contact.budget import Purpose
from shared.constant_contact.client import Client
from shared.product import Product
from shared.roles import Principal, Role
from shared.settings import Settings

BASE_URL = "https://app.example"
REDIRECT_URI = f"{BASE_URL}/api/oauth/callback"
CONTAINER = "exports"
WHO = "ada"

SOON = timedelta(minutes=2)
"""Later than any token request can be under way."""

TOMORROW = timedelta(days=1, minutes=1)
"""Later than an access token lives."""


@dataclass(frozen=True)
class Places:
    """Where everything is; *site* tells one deployment from another."""

    storage: str
    vault_url: str
    api_url: str
    auth_url: str
    site: str = "deployment-1"
    per_second: float = 4.0
    per_day: int = 10_000

    def to_json(self) -> str:
        """Return what `from_json` reads, for another process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the places in *text*."""
        return cls(**json.loads(text))

    @property
    def settings(self) -> Settings:
        """The app's settings for these places."""
        return Settings.model_validate(
            {
                "SEGMENT_STORAGE": self.storage,
                "SEGMENT_CONTAINER": "segments",
                "EXPORT_STORAGE": self.storage,
                "EXPORT_CONTAINER": CONTAINER,
                "KEY_VAULT_URL": self.vault_url,
                "CONSTANT_CONTACT_CLIENT_ID": "stand-in-client",
                "CONSTANT_CONTACT_API_URL": self.api_url,
                "CONSTANT_CONTACT_AUTH_URL": self.auth_url,
                "CONSTANT_CONTACT_REQUESTS_PER_SECOND": self.per_second,
                "CONSTANT_CONTACT_REQUESTS_PER_DAY": self.per_day,
                "PUBLIC_URL": BASE_URL,
                "WEBSITE_SITE_NAME": self.site,
            }
        )


class Desk:
    """The product's parts for connections, and what an administrator does with them."""

    def __init__(
        self, places: Places, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.places = places
        self.now = now
        self.product = Product(places.settings, now)
        # Calls are made in real time, also by an instance that lives in another.
        self.product.__dict__["budget"] = Product(places.settings).budget
        self.container = ContainerClient.from_connection_string(places.storage, CONTAINER)
        self.documents = self.product.documents
        self.records = self.product.connection_records
        self.connections = self.product.connections
        self.secrets = self.product.secrets
        self.budget = self.product.budget
        self.endpoint = self.product.token_endpoint
        self.tokens = self.product.tokens
        self.authorizations = self.product.authorizations

    def client(self, connection_id: str, purpose: Purpose = Purpose.RUN) -> Client:
        """Return a client that speaks for a connection."""
        return self.product.client(connection_id, purpose)

    def connect(self, connection_id: str, *, replace_account: bool = False) -> Connection:
        """Connect an account as a person does in a browser."""
        begun = self.authorizations.authorize(connection_id, WHO, replace_account=replace_account)
        return self.authorizations.callback(**answer_of_consent(begun))

    def remove(self, connection_id: str, who: str = WHO) -> Connection:
        """Remove a connection as an administrator does."""
        principal = Principal(who, who, frozenset({Role.ADMINISTRATOR}))
        return self.product.removal.remove(connection_id, principal)


def at(desk: Desk, later: timedelta) -> Desk:
    """Return another instance of the app, *later*."""
    return Desk(desk.places, now=lambda: datetime.now(UTC) + later)


def answer_of_consent(begun: Begun) -> dict[str, str]:
    """Return what comes back after a person gave consent: state, session, and code or error."""
    answer = requests.get(begun.url, allow_redirects=False, timeout=10)
    back = answer.headers["Location"]
    assert back.startswith(REDIRECT_URI)
    values = {name: values[0] for name, values in parse_qs(urlsplit(back).query).items()}
    values["session"] = begun.session
    return {name: values[name] for name in ("state", "code", "error", "session") if name in values}
