"""A whole run against Constant Contact's own limits: four calls a second, answers after 300 ms.

The floor is what the limit costs if nothing else did: one call every 250 ms, and the last answer.
Imports themselves take an hour at the stand-in, so that it has no work of its own meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import requests
from azure.storage.blob import ContainerClient
from azure.storage.queue import QueueClient

from local.azurite import Azurite
from local.constant_contact import ConstantContact
from local.key_vault import KeyVault
from local.segments import Segment
from shared.exports import Export
from shared.product import Product
from shared.roles import LOCAL
from shared.runs import RunState
from shared.settings import Settings
from shared.steps import parse_step
from shared.storage.accounts import QUEUE

PER_SECOND = 4
ANSWER_SECONDS = 0.3
BASE_URL = "https://app.example"


@dataclass(frozen=True)
class Sending:
    """What a run took, in seconds by the run document, and how often it was told to slow down."""

    batches: int
    preparing: float
    sending: float
    throttled: int

    @property
    def floor(self) -> float:
        """Seconds that the rate limit alone makes of so many uploads."""
        return (self.batches - 1) / PER_SECOND + ANSWER_SECONDS


def measured(rows: int) -> Sending:
    """Prepare a segment of *rows* profiles and send it, over Azurite, vault and stand-in."""
    with _product() as (product, constant_contact, storage):
        Segment(rows=rows).upload(ContainerClient.from_connection_string(storage, "segments"))
        list_id = constant_contact.add_list("Spring")
        export = Export.model_validate(
            {
                "id": "spring",
                "display_name": "Spring",
                "connection_id": "main",
                "segments": [{"name": Segment.name, "list_ids": [list_id]}],
                "mapping": {
                    "email": "EMailAddress1",
                    "first_name": "FirstName",
                    "last_name": "LastName",
                    "city": "City",
                },
            }
        )
        product.exports.create(export.id, export)
        run = product.jobs.start(export.id, LOCAL)
        queue = QueueClient.from_connection_string(storage, QUEUE)
        while run.state not in {RunState.FOLLOWING, RunState.FAILED}:
            message = queue.receive_message(visibility_timeout=600)
            if message is None:
                raise AssertionError(f"the run waits: {run.waiting}")
            product.jobs.perform(parse_step(message.content.encode()))
            queue.delete_message(message)
            run, _ = product.ledger.runs.read(run.key)
        return Sending(
            batches=len(constant_contact.imports),
            preparing=run.phases[RunState.PREPARING],
            sending=run.phases[RunState.SENDING],
            throttled=sum(call.status == 429 for call in constant_contact.calls),
        )


@contextmanager
def _product() -> Iterator[tuple[Product, ConstantContact, str]]:
    with (
        Azurite() as azurite,
        KeyVault() as vault,
        ConstantContact(
            redirect_uris=(f"{BASE_URL}/api/oauth/callback",),
            requests_per_second=PER_SECOND,
            latency=ANSWER_SECONDS,
            activity_seconds=3600,
            keep_files=False,
        ) as constant_contact,
    ):
        os.environ.update(vault.environment)
        vault.set("constant-contact-client-secret", "stand-in-secret")
        storage = azurite.new_account()
        for name in ("segments", "exports"):
            ContainerClient.from_connection_string(storage, name).create_container()
        QueueClient.from_connection_string(storage, QUEUE).create_queue()
        product = Product(
            Settings.model_validate(
                {
                    "SEGMENT_STORAGE": storage,
                    "SEGMENT_CONTAINER": "segments",
                    "EXPORT_STORAGE": storage,
                    "KEY_VAULT_URL": vault.url,
                    "CONSTANT_CONTACT_CLIENT_ID": "stand-in-client",
                    "CONSTANT_CONTACT_API_URL": constant_contact.api_url,
                    "CONSTANT_CONTACT_AUTH_URL": constant_contact.auth_url,
                    "PUBLIC_URL": BASE_URL,
                    "SNAPSHOT_QUIET_SECONDS": "0",
                }
            )
        )
        product.connections.create("main", consented=True, who="bench", connection_id="main")
        begun = product.authorizations.authorize("main", "bench")
        back = requests.get(begun.url, allow_redirects=False, timeout=10).headers["Location"]
        values = parse_qs(urlsplit(back).query)
        product.authorizations.callback(
            state=values["state"][0], code=values["code"][0], session=begun.session
        )
        yield product, constant_contact, storage
