"""Azure's answers, and which of them a run waits for."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import ChainedTokenCredential, CredentialUnavailableError

from shared.errors import AccessRefused, ServiceUnavailable
from shared.storage.trouble import translated


class Unavailable:
    """A credential whose endpoint does not answer."""

    def get_token(self, *_: str, **__: object) -> None:
        raise CredentialUnavailableError("The managed identity endpoint answered 500.")


def test_an_identity_endpoint_that_does_not_answer_is_trouble_that_passes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "events")

    with pytest.raises(ServiceUnavailable), translated():
        Unavailable().get_token()

    assert caplog.records == []


def test_it_passes_as_well_where_no_credential_of_the_chain_has_answered_yet() -> None:
    """So it is in a fresh process, which does not know yet which credential works."""
    chain = ChainedTokenCredential(Unavailable())  # type: ignore[arg-type]

    with pytest.raises(ServiceUnavailable), translated():
        chain.get_token("https://vault.azure.net/.default")


def test_a_service_that_answers_401_has_refused_the_app(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "events")
    answer = SimpleNamespace(status_code=401, reason="Unauthorized", headers={})

    with pytest.raises(AccessRefused), translated("vault"):
        raise ClientAuthenticationError(response=answer)

    assert [vars(record)["event"] for record in caplog.records] == ["access_refused"]
