"""Tokens, the secret, codes and verifiers stay where they belong."""

from __future__ import annotations

import json
import logging
import traceback
from datetime import UTC, datetime, timedelta

import pytest

from local.constant_contact import ConstantContact, Fault
from local.key_vault import KeyVault
from shared.errors import ExportError
from tests.conftest import Figure
from tests.scenarios.desk import WHO, Desk, answer_of_consent
from tests.scenarios.test_connection import TOKEN_PATH


def test_no_token_gets_into_a_log_a_document_or_an_error(
    desk: Desk,
    stand_in: ConstantContact,
    key_vault: KeyVault,
    caplog: pytest.LogCaptureFixture,
    figure: Figure,
) -> None:
    """A connection's life with all its troubles, everything logged that any library can log."""
    said: list[str] = []

    def attempt(what: object) -> None:
        assert callable(what)
        try:
            what()
        except ExportError as error:
            said.append("".join(traceback.format_exception(error)) + repr(vars(error)))

    # The browser is not the app, so what it logs does not count.
    answer = answer_of_consent(desk.authorizations.authorize("main", WHO))
    with caplog.at_level(logging.DEBUG):
        attempt(lambda: desk.authorizations.callback(**answer))
        attempt(lambda: desk.authorizations.callback(**answer))
        attempt(desk.client("main").lists)
        stand_in.expire_access_tokens()
        attempt(desk.client("main").lists)
        token = desk.tokens.access_token("main")
        for fault in (
            Fault(path=TOKEN_PATH, status=429, body={"error_key": "throttled"}, times=1),
            Fault(path=TOKEN_PATH, status=400, body="<html></html>", times=1),
            Fault(path=TOKEN_PATH, status=503, body="<html></html>", times=1),
        ):
            stand_in.faults.add(fault)
            attempt(lambda: desk.tokens.rotate("main", token))
        stand_in.faults.clear()
        key_vault.fail("PUT", "connection-main", acts=True)
        later = Desk(desk.places, now=lambda: datetime.now(UTC) + timedelta(minutes=2))
        attempt(lambda: later.tokens.rotate("main", token))
        key_vault.set("connection-main", key_vault.secrets["connection-main"][:-20])
        attempt(lambda: Desk(desk.places).tokens.access_token("main"))
        attempt(lambda: desk.connect("main"))
        stand_in.revoke()
        attempt(desk.client("main").lists)
        attempt(lambda: desk.remove("main"))

    secrets = {"stand-in-secret", "a key of the vault", answer["code"]}
    for version in key_vault.versions("connection-main"):
        try:
            stored = json.loads(version)
        except ValueError:
            continue
        secrets |= {stored["access_token"], stored["refresh_token"]}
    state_and_nonce = {answer["state"], answer["state"].split(".")[0]}
    documents = [desk.documents.read(path).content.decode() for path in desk.documents.paths("")]
    logs = [f"{record.getMessage()} {vars(record)}" for record in caplog.records]
    assert len(secrets) >= 3 + 2 * 4
    assert len(said) >= 5
    assert len(documents) >= 2
    assert len(logs) >= 100
    for text in (*logs, *documents, *said):
        for secret in secrets | state_and_nonce:
            assert secret not in text
            assert secret[:32] not in text or len(secret) < 32
    figure(
        f"{len(secrets)} secrets searched in {len(logs)} log records, {len(documents)} documents"
        f" and {len(said)} errors: none found"
    )
