"""Tokens, the secret, codes and verifiers stay where they belong."""

from __future__ import annotations

import contextlib
import logging
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from local.constant_contact import ConstantContact, Fault
from local.key_vault import KeyVault
from shared.errors import ExportError, ReconnectRequired
from tests.conftest import Figure
from tests.scenarios.desk import SOON, WHO, Desk, answer_of_consent, at
from tests.scenarios.processes import kill_during, run_all, workers
from tests.scenarios.secrecy import documents_of, everything_of, let_out, search, tokens_in
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
    secrets |= tokens_in(key_vault) | {answer["state"]}
    documents = documents_of(desk)
    logs = [everything_of(record) for record in caplog.records]
    assert len(secrets) >= 4 + 2 * 4
    assert len(said) >= 5
    assert len(documents) >= 2
    assert len(logs) >= 100
    assert let_out(secrets, [*logs, *documents, *said]) == []
    figure(
        f"{len(secrets)} secrets searched in {len(logs)} log records, {len(documents)} documents"
        f" and {len(said)} errors: none found"
    )


@pytest.mark.parametrize("task", ["stop_after_mark", "stop_before_store", "stop_after_store"])
def test_a_killed_instance_lets_no_token_out(
    connected: Desk,
    stand_in: ConstantContact,
    key_vault: KeyVault,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    figure: Figure,
    task: str,
) -> None:
    """Nor does the one that finds out what it has left."""
    caplog.set_level(logging.DEBUG)
    old = connected.tokens.access_token("main")
    with (tmp_path / "log").open("w+") as log:
        kill_during(connected, task, log)
        with contextlib.suppress(ReconnectRequired):
            at(connected, SOON).tokens.rotate("main", old)
        log.seek(0)
        figure(f"{task}: {search(connected, key_vault, caplog.records, log.read())}")


def test_24_callers_that_meet_a_401_let_no_token_out(
    connected: Desk,
    stand_in: ConstantContact,
    key_vault: KeyVault,
    tmp_path: Path,
    figure: Figure,
) -> None:
    with (tmp_path / "log").open("w+") as log:
        with workers(connected.places, "call_from_eight_threads", 3, log) as processes:
            stand_in.expire_access_tokens()
            run_all(processes)
        log.seek(0)
        figure(f"8 threads x 3 processes: {search(connected, key_vault, [], log.read())}")
