"""The whole product, put together from settings; the only module that knows every part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial

from shared.authorization import Authorizations
from shared.catalogue import Catalogue
from shared.connections import Connection, Connections
from shared.constant_contact.budget import Budget, Limits, Purpose
from shared.constant_contact.client import Client, GivenToken, TokenSource
from shared.constant_contact.oauth import StateSigner
from shared.constant_contact.token_endpoint import TokenEndpoint
from shared.constant_contact.transport import Transport
from shared.editing import Editor
from shared.exports import Export
from shared.finishing import Finishing
from shared.jobs import Jobs
from shared.ledger import Ledger
from shared.mirroring import Mirroring
from shared.opt_outs import OptOuts
from shared.preparing import Preparing
from shared.remembering import Remembering
from shared.removal import Removal
from shared.rounds import Round
from shared.settings import Settings
from shared.storage.accounts import Accounts
from shared.storage.documents import Documents, Records
from shared.storage.hash_key import HashKey
from shared.storage.leases import Leases
from shared.storage.queue import StepQueue
from shared.storage.secrets import Secrets
from shared.storage.segments import SegmentContainer
from shared.tokens import Tokens


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Product:
    """Every part, made when it is first asked for; making one connects to nothing."""

    settings: Settings
    now: Callable[[], datetime] = utc_now

    @cached_property
    def _accounts(self) -> Accounts:
        return Accounts(self.settings)

    @cached_property
    def documents(self) -> Documents:
        """Everything the app writes down."""
        return Documents(self._accounts.documents)

    @cached_property
    def leases(self) -> Leases:
        """Who may act alone."""
        return Leases(self._accounts.documents)

    @cached_property
    def secrets(self) -> Secrets:
        """What is in Key Vault."""
        return Secrets(self._accounts.vault)

    @cached_property
    def hash_key(self) -> HashKey:
        """The key of hashes and signatures."""
        return HashKey(self.secrets, self.leases)

    @cached_property
    def queue(self) -> StepQueue:
        """The queue of steps."""
        return StepQueue(self._accounts.queue)

    @cached_property
    def source(self) -> SegmentContainer:
        """Where the segments lie; read only."""
        return SegmentContainer(self._accounts.segments)

    @cached_property
    def catalogue(self) -> Catalogue:
        """The segments that are there."""
        return Catalogue(
            self.source,
            self.settings.segment_prefix,
            timedelta(seconds=self.settings.snapshot_quiet_seconds),
        )

    @cached_property
    def exports(self) -> Records[Export]:
        """The standing orders."""
        return Records(self.documents, Export, "exports/{}.json")

    @cached_property
    def connection_records(self) -> Records[Connection]:
        """The connections' documents."""
        return Records(self.documents, Connection, "connections/{}.json")

    @cached_property
    def connections(self) -> Connections:
        """The connections, as they are made and change."""
        return Connections(self.connection_records, self.now)

    @cached_property
    def budget(self) -> Budget:
        """The calls that the API key has left."""
        return Budget(self.documents, self.settings.client_id, self._limits, now=self.now)

    @property
    def _limits(self) -> Limits:
        return Limits(self.settings.requests_per_second, self.settings.requests_per_day)

    @cached_property
    def _transport(self) -> Transport:
        return Transport()

    @cached_property
    def token_endpoint(self) -> TokenEndpoint:
        """Where tokens come from."""
        return TokenEndpoint(
            self._transport,
            self.secrets,
            self.budget,
            auth_url=self.settings.auth_url,
            client_id=self.settings.client_id,
            redirect_uri=self.settings.redirect_uri,
            now=self.now,
        )

    @cached_property
    def tokens(self) -> Tokens:
        """The connections' tokens."""
        return Tokens(
            self.connections,
            self.secrets,
            self.leases,
            self.token_endpoint,
            self.settings.deployment_id,
            now=self.now,
        )

    @cached_property
    def authorizations(self) -> Authorizations:
        """How people connect accounts."""
        return Authorizations(
            self.connections,
            self.tokens,
            self.token_endpoint,
            lambda: StateSigner(self.hash_key.read()),
            lambda token: self._client("", GivenToken(token), Purpose.RUN).account(),
            now=self.now,
        )

    def client(self, connection_id: str, purpose: Purpose) -> Client:
        """Return a client that acts for a connection and counts its own calls."""
        return self._client(connection_id, self.tokens, purpose)

    def _client(self, connection_id: str, tokens: TokenSource, purpose: Purpose) -> Client:
        return Client(
            connection_id,
            self._transport,
            tokens,
            self.budget,
            api_url=self.settings.api_url,
            purpose=purpose,
            now=self.now,
        )

    @cached_property
    def ledger(self) -> Ledger:
        """The runs."""
        return Ledger(self.documents, self.now)

    @cached_property
    def remembering(self) -> Remembering:
        """What was accepted."""
        return Remembering(self.documents, self.ledger, self.hash_key)

    @cached_property
    def finishing(self) -> Finishing:
        """Closes runs."""
        return Finishing(
            ledger=self.ledger,
            remembering=self.remembering,
            opt_outs=self._opt_outs,
        )

    @cached_property
    def _opt_outs(self) -> OptOuts:
        return OptOuts(
            lambda name: Documents(self._accounts.beside_documents(name)),
            {self.settings.export_container, self.settings.segment_container},
        )

    @cached_property
    def jobs(self) -> Jobs:
        """Starts runs and carries them on."""
        return Jobs(
            exports=self.exports,
            connections=self.connection_records,
            ledger=self.ledger,
            leases=self.leases,
            queue=self.queue,
            client_for=partial(self.client, purpose=Purpose.RUN),
            preparing=Preparing(
                source=self.source,
                catalogue=self.catalogue,
                connections=self.connection_records,
                ledger=self.ledger,
                remembering=self.remembering,
                finishing=self.finishing,
                limits=self._limits,
            ),
            mirroring=Mirroring(self.ledger, self.remembering),
            finishing=self.finishing,
            poll=timedelta(seconds=self.settings.activity_poll_seconds),
            deployment_id=self.settings.deployment_id,
            now=self.now,
        )

    @cached_property
    def editor(self) -> Editor:
        """Saves exports."""
        return Editor(
            exports=self.exports,
            connections=self.connection_records,
            catalogue=self.catalogue,
            client_for=partial(self.client, purpose=Purpose.LOOK_UP),
            ledger=self.ledger,
            forget=self.remembering.forget,
            opt_outs=self._opt_outs,
            now=self.now,
        )

    @cached_property
    def removal(self) -> Removal:
        """Takes connections away."""
        return Removal(self.connections, self.jobs, self.tokens)

    @cached_property
    def round(self) -> Round:
        """What the timer does."""
        return Round(
            jobs=self.jobs,
            catalogue=self.catalogue,
            tokens=self.tokens,
            budget=self.budget,
            removal=self.removal,
            quiet=timedelta(seconds=self.settings.snapshot_quiet_seconds),
            now=self.now,
        )
