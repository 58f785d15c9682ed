"""Connecting an account, over real storage, vault and HTTP."""

from __future__ import annotations

import contextlib
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import stamina

from local.constant_contact import ConstantContact, Fault
from local.constant_contact.faults import Drop
from local.key_vault import KeyVault
from shared.connections import ConnectionState
from shared.errors import (
    AccountUnknown,
    ConsentDenied,
    IdTaken,
    Invalid,
    NoRefreshToken,
    NotFound,
    OtherAccount,
    ReconnectRequired,
    ServiceUnavailable,
    SettingInvalid,
    SignInLost,
)
from shared.roles import Role
from tests.scenarios.desk import SOON, WHO, Desk, answer_of_consent, at
from tests.scenarios.processes import kill_during

TOKEN_PATH = "/oauth2/default/v1/token"


def token_requests(stand_in: ConstantContact) -> int:
    return sum(call.path == TOKEN_PATH for call in stand_in.calls)


def test_connecting_takes_one_consent_and_names_the_account(
    desk: Desk, stand_in: ConstantContact, key_vault: KeyVault
) -> None:
    connection = desk.connect("main")

    assert connection.state is ConnectionState.CONNECTED
    assert connection.account is not None
    assert connection.account.id == stand_in.options.encoded_account_id
    assert connection.account.name == "Stand-in Company"
    assert connection.connected_by == WHO
    assert connection.days_left(desk.now()) == 179
    assert connection == desk.connections.read("main")
    stored = json.loads(key_vault.secrets["connection-main"])
    assert stored["deployment_id"] == desk.places.settings.deployment_id
    assert stored["access_token"]
    assert stored["refresh_token"]
    assert len(key_vault.versions("connection-main")) == 1
    assert token_requests(stand_in) == 1


def test_a_connection_can_be_used_at_once(connected: Desk, stand_in: ConstantContact) -> None:
    client = connected.client("main")
    list_id = stand_in.add_list("Spring")
    name = stand_in.add_custom_field("Loyalty tier")

    assert [(found.name, found.count) for found in client.lists()] == [("Spring", 0)]
    assert [field.name for field in client.custom_fields()] == [name]
    activity = client.import_contacts("run-0000.csv", b"email\nana@example.com\n", [list_id])
    assert client.find_import("run-0000.csv") is not None
    assert client.activity(activity.id) is not None
    assert [found.id for found in client.activities()] == [activity.id]
    assert stand_in.members(list_id) == {"ana@example.com"}
    assert client.calls == 6


class TestTheDocument:
    def test_without_consent_there_is_no_connection(self, desk: Desk) -> None:
        with pytest.raises(Invalid) as caught:
            desk.connections.create(" ", consented=False, who=WHO, connection_id="../x")

        assert [fault.field for fault in caught.value.faults] == ["display_name", "id", "consent"]

    def test_the_consent_is_kept_with_its_text(self, desk: Desk) -> None:
        consent = desk.connections.read("main").consent

        assert consent.accepted_by == WHO
        assert "agreed to be contacted" in consent.text

    def test_administrators_may_always_use_it(self, desk: Desk) -> None:
        made = desk.connections.create(
            "Shared", usable_by=[Role.CONTRIBUTOR], consented=True, who=WHO
        )

        assert set(made.usable_by) == {Role.CONTRIBUTOR, Role.ADMINISTRATOR}

    def test_a_chosen_id_is_refused_when_taken_and_a_made_one_avoids_it(self, desk: Desk) -> None:
        with pytest.raises(IdTaken):
            desk.connections.create("Other", consented=True, who=WHO, connection_id="main")

        assert desk.connections.create("Main", consented=True, who=WHO).id.startswith("main-")

    def test_a_removed_connection_makes_room_for_a_new_one(self, connected: Desk) -> None:
        connected.remove("main")

        made = connected.connections.create("Again", consented=True, who=WHO, connection_id="main")

        assert made.state is ConnectionState.NEW
        assert connected.connect("main").state is ConnectionState.CONNECTED

    def test_it_can_be_renamed(self, desk: Desk) -> None:
        desk.connections.change("main", display_name="Newsletter")

        assert desk.connections.read("main").display_name == "Newsletter"

    @pytest.mark.parametrize("unknown", ["other", "../main", "", "MAIN", "a/b"])
    def test_what_is_no_id_is_not_found(self, desk: Desk, unknown: str) -> None:
        with pytest.raises(NotFound):
            desk.connections.read(unknown)
        with pytest.raises(NotFound):
            desk.authorizations.authorize(unknown, WHO)


class TestTheState:
    def test_it_works_once(self, desk: Desk, stand_in: ConstantContact) -> None:
        answer = answer_of_consent(desk.authorizations.authorize("main", WHO))
        desk.authorizations.callback(**answer)

        with pytest.raises(Invalid, match="ended already"):
            desk.authorizations.callback(**answer)
        assert token_requests(stand_in) == 1

    def test_of_two_callbacks_at_once_one_exchanges_the_code(
        self, desk: Desk, stand_in: ConstantContact
    ) -> None:
        answer = answer_of_consent(desk.authorizations.authorize("main", WHO))

        def call_back(_: int) -> bool:
            try:
                desk.authorizations.callback(**answer)
            except Invalid:
                return False
            return True

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(call_back, range(4))) == 1
        assert token_requests(stand_in) == 1

    def test_a_later_authorization_ends_an_earlier_one(self, desk: Desk) -> None:
        first = desk.authorizations.authorize("main", WHO)
        desk.authorizations.authorize("main", WHO)

        with pytest.raises(Invalid):
            desk.authorizations.callback(**answer_of_consent(first))

    def test_it_expires(self, desk: Desk, stand_in: ConstantContact) -> None:
        answer = answer_of_consent(desk.authorizations.authorize("main", WHO))
        later = Desk(desk.places, now=lambda: desk.now() + timedelta(minutes=10))

        with pytest.raises(Invalid, match="ten minutes"):
            later.authorizations.callback(**answer)
        assert token_requests(stand_in) == 0

    @pytest.mark.parametrize("change", [lambda s: s[:-1] + "~", lambda s: "", lambda s: "a.b.c"])
    def test_it_cannot_be_made_up(self, desk: Desk, change: object) -> None:
        answer = answer_of_consent(desk.authorizations.authorize("main", WHO))
        assert callable(change)

        with pytest.raises(Invalid):
            desk.authorizations.callback(**answer | {"state": change(answer["state"])})

        assert desk.authorizations.callback(**answer).state is ConnectionState.CONNECTED

    def test_it_belongs_to_the_browser_it_was_begun_in(
        self, desk: Desk, stand_in: ConstantContact
    ) -> None:
        """Somebody's consent cannot be drawn into another person's connection."""
        answer = answer_of_consent(desk.authorizations.authorize("main", WHO))

        for session in ("", "forged", "\u0663"):
            with pytest.raises(Invalid, match="not begun in this browser"):
                desk.authorizations.callback(**answer | {"session": session})
        assert token_requests(stand_in) == 0
        assert desk.authorizations.callback(**answer).state is ConnectionState.CONNECTED

    def test_it_says_neither_who_asked_nor_anything_secret(self, desk: Desk) -> None:
        begun = desk.authorizations.authorize("main", "ada.lovelace@example.com")
        url = begun.url

        assert begun.session not in url + repr(begun)
        assert "ada" not in url
        assert "stand-in-secret" not in url
        assert "a key of the vault" not in url


class TestConsent:
    def test_it_asks_for_what_is_needed_and_no_more(self, desk: Desk) -> None:
        asked = parse_qs(urlsplit(desk.authorizations.authorize("main", WHO).url).query)

        assert asked["scope"] == ["contact_data account_read offline_access"]
        assert asked["response_type"] == ["code"]
        assert "code_challenge" not in asked

    def test_a_denial_changes_nothing(self, desk: Desk, stand_in: ConstantContact) -> None:
        stand_in.options.change(deny=True)

        with pytest.raises(ConsentDenied):
            desk.connect("main")
        assert desk.connections.read("main").state is ConnectionState.NEW
        assert token_requests(stand_in) == 0

    def test_a_public_application_proves_itself_by_pkce(
        self, desk: Desk, stand_in: ConstantContact, key_vault: KeyVault
    ) -> None:
        """Without a client secret in the vault; the verifier is written down nowhere."""
        stand_in.options.change(client_secret=None)
        desk.secrets.delete("constant-contact-client-secret")
        begun = desk.authorizations.authorize("main", WHO)
        asked = parse_qs(urlsplit(begun.url).query)

        assert asked["code_challenge_method"] == ["S256"]
        assert desk.authorizations.callback(**answer_of_consent(begun)).state == "connected"
        refused = desk.tokens.access_token("main")
        assert desk.tokens.rotate("main", refused) != refused

    def test_without_a_refresh_token_it_is_refused_with_the_reason(
        self, desk: Desk, stand_in: ConstantContact, key_vault: KeyVault
    ) -> None:
        tokens = stand_in.issue_tokens()
        del tokens["refresh_token"]
        stand_in.faults.add(Fault(path=TOKEN_PATH, status=200, body=tokens))

        with pytest.raises(NoRefreshToken) as caught:
            desk.connect("main")
        assert "offline_access" in caught.value.action
        assert "connection-main" not in key_vault.secrets
        assert desk.connections.read("main").state is ConnectionState.NEW

    def test_a_code_is_not_exchanged_again_after_a_lost_answer(
        self, desk: Desk, stand_in: ConstantContact
    ) -> None:
        stand_in.faults.drop(TOKEN_PATH, "after")

        with pytest.raises(SignInLost):
            desk.connect("main")
        assert token_requests(stand_in) == 1

    def test_who_may_not_read_the_account_connects_without_its_name(
        self, desk: Desk, stand_in: ConstantContact
    ) -> None:
        stand_in.options.change(privileges=("contacts:read", "contacts:write"))

        connection = desk.connect("main")

        assert connection.state is ConnectionState.CONNECTED
        assert connection.account is None
        assert desk.client("main").activities() == []


class TestAReconnectThatFails:
    """The exchange of its code has ended the tokens there were."""

    @pytest.fixture
    def broken(self, connected: Desk, stand_in: ConstantContact) -> Desk:
        """A connection whose account could not be read when it was connected again."""
        stand_in.faults.html("/v3/account/summary", 503)
        with stamina.set_testing(True, attempts=2), pytest.raises(ServiceUnavailable):
            connected.connect("main")
        stand_in.faults.clear()
        return connected

    def test_it_is_said_at_once(self, broken: Desk) -> None:
        connection = broken.connections.read("main")

        assert connection.state is ConnectionState.RECONNECT_REQUIRED
        assert connection.problem is not None
        assert connection.problem.code == "consent_interrupted"

    def test_connecting_again_resumes(self, broken: Desk) -> None:
        assert broken.connect("main").state is ConnectionState.CONNECTED
        assert broken.client("main").lists() == []

    def test_killed_in_it_the_timer_finds_out(
        self, connected: Desk, stand_in: ConstantContact
    ) -> None:
        kill_during(connected, "stop_in_consent")
        later = at(connected, SOON)

        with pytest.raises(ReconnectRequired):
            later.tokens.care(connected.connections.read("main"), later.now())
        assert connected.connections.read("main").state is ConnectionState.RECONNECT_REQUIRED

    @pytest.mark.parametrize(
        ("lost", "state"), [("before", "connected"), ("after", "reconnect_required")]
    )
    def test_whether_a_lost_answer_ended_the_tokens_the_timer_finds_out(
        self, connected: Desk, stand_in: ConstantContact, lost: Drop, state: str
    ) -> None:
        stand_in.faults.drop(TOKEN_PATH, lost, times=1)
        with pytest.raises(SignInLost):
            connected.connect("main")
        assert connected.connections.read("main").state is ConnectionState.CONNECTED
        later = at(connected, SOON)

        with contextlib.suppress(ReconnectRequired):
            later.tokens.care(connected.connections.read("main"), later.now())

        assert connected.connections.read("main").state == state

    def test_a_code_that_was_refused_ended_nothing(
        self, connected: Desk, stand_in: ConstantContact, key_vault: KeyVault
    ) -> None:
        before = key_vault.secrets["connection-main"]
        key_vault.set("constant-contact-client-secret", "mistyped")

        with pytest.raises(SettingInvalid):
            connected.connect("main")
        assert key_vault.secrets["connection-main"] == before
        assert connected.connections.read("main").state is ConnectionState.CONNECTED


class TestTheSameAccountTwice:
    """Consent for an account ends the tokens that earlier ones gave."""

    @pytest.fixture
    def second(self, connected: Desk) -> Desk:
        connected.connections.create("Second", consented=True, who=WHO)
        return connected

    def test_the_connection_from_before_says_that_it_was_replaced(
        self, second: Desk, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO, "events"):
            second.connect("second")

        replaced = second.connections.read("main")
        assert replaced.state is ConnectionState.RECONNECT_REQUIRED
        assert replaced.problem is not None
        assert replaced.problem.code == "replaced"
        assert "for the connection Second" in replaced.problem.message
        events = [vars(record).get("event") for record in caplog.records]
        assert events.count("reconnect_required") == 1
        assert second.client("second").lists() == []

    def test_also_when_it_was_connected_by_mistake(
        self, second: Desk, stand_in: ConstantContact
    ) -> None:
        """Whoever connected ``main`` again was signed in to the account of ``second``."""
        stand_in.options.change(encoded_account_id="another")
        second.connect("second")

        with pytest.raises(OtherAccount, match="another connection is of that account"):
            second.connect("main")

        assert second.connections.read("main").state is ConnectionState.CONNECTED
        problem = second.connections.read("second").problem
        assert problem is not None
        assert problem.code == "replaced"

    def test_one_of_another_account_is_left_alone(
        self, second: Desk, stand_in: ConstantContact
    ) -> None:
        stand_in.options.change(encoded_account_id="another")
        second.connect("second")

        assert second.connections.read("main").state is ConnectionState.CONNECTED


class TestAnotherAccount:
    def test_it_is_refused_and_the_old_tokens_stay(
        self, connected: Desk, stand_in: ConstantContact, key_vault: KeyVault
    ) -> None:
        before = key_vault.secrets["connection-main"]
        stand_in.options.change(encoded_account_id="another")

        with pytest.raises(OtherAccount, match="not the Constant Contact account"):
            connected.connect("main")
        assert key_vault.secrets["connection-main"] == before
        assert connected.connections.read("main").state is ConnectionState.CONNECTED

    def test_one_that_cannot_be_told_apart_is_refused_before_anybody_consents(
        self, desk: Desk, stand_in: ConstantContact
    ) -> None:
        """Which account was connected at first could not be read."""
        allowed = stand_in.options.privileges
        stand_in.options.change(privileges=("contacts:read", "contacts:write"))
        desk.connect("main")
        stand_in.options.change(privileges=allowed)

        with pytest.raises(AccountUnknown):
            desk.connect("main")
        assert desk.connections.read("main").state is ConnectionState.CONNECTED
        connection = desk.connect("main", replace_account=True)
        assert connection.account is not None

    def test_one_that_cannot_be_read_now_is_refused_and_a_person_is_needed(
        self, connected: Desk, stand_in: ConstantContact
    ) -> None:
        """If it is the same, the consent has ended the tokens there were."""
        stand_in.options.change(privileges=("contacts:read", "contacts:write"))

        with pytest.raises(AccountUnknown):
            connected.connect("main")
        assert connected.connections.read("main").state is ConnectionState.RECONNECT_REQUIRED

    def test_it_takes_the_place_when_asked_for(
        self, connected: Desk, stand_in: ConstantContact
    ) -> None:
        """An instance that still has the old account's token does not use it any more."""
        elsewhere = Desk(connected.places)
        old = elsewhere.tokens.access_token("main")
        stand_in.options.change(encoded_account_id="another")

        connection = connected.connect("main", replace_account=True)

        assert connection.account is not None
        assert connection.account.id == "another"
        assert elsewhere.tokens.access_token("main") != old

    def test_tokens_that_do_not_fit_the_document_are_not_used(
        self, connected: Desk, key_vault: KeyVault
    ) -> None:
        """What a kill between storing and noting leaves, when the account is replaced."""
        stored = json.loads(key_vault.secrets["connection-main"]) | {"account_id": "another"}
        key_vault.set("connection-main", json.dumps(stored))

        with pytest.raises(ReconnectRequired, match="interrupted"):
            Desk(connected.places).tokens.access_token("main")


class TestNotConnected:
    def test_a_new_connection_says_so(self, desk: Desk) -> None:
        with pytest.raises(ReconnectRequired, match="not been connected"):
            desk.tokens.access_token("main")

    def test_missing_and_unreadable_tokens_need_a_person(
        self, connected: Desk, key_vault: KeyVault
    ) -> None:
        key_vault.set("connection-main", "not json")

        with pytest.raises(ReconnectRequired, match="cannot be read"):
            Desk(connected.places).tokens.access_token("main")

        connected.connect("main")
        connected.secrets.delete("connection-main")
        with pytest.raises(ReconnectRequired, match="no longer in Key Vault"):
            Desk(connected.places).tokens.access_token("main")
        problem = connected.connections.read("main").problem
        assert problem is not None
        assert problem.code == "tokens_missing"

    def test_a_copied_environment_neither_uses_nor_renews_the_tokens(
        self, connected: Desk, stand_in: ConstantContact, key_vault: KeyVault
    ) -> None:
        """Another deployment id wrote them; the document is left as the original needs it."""
        copy = Desk(replace(connected.places, site="deployment-2"))
        before = (connected.connections.read("main"), key_vault.secrets["connection-main"])
        stand_in.calls.clear()

        for use in (
            lambda: copy.tokens.access_token("main"),
            lambda: copy.tokens.rotate("main", "any"),
            lambda: copy.client("main").lists(),
        ):
            with pytest.raises(ReconnectRequired, match="Another deployment"):
                use()
        assert not copy.tokens.care(before[0], copy.now() + timedelta(days=150))
        assert stand_in.calls == []
        assert before == (connected.connections.read("main"), key_vault.secrets["connection-main"])

    def test_a_copy_whose_document_was_forged_still_refuses(self, connected: Desk) -> None:
        """The tokens themselves say who wrote them."""
        copy = Desk(replace(connected.places, site="deployment-2"))
        there = copy.places.settings.deployment_id
        connected.records.update("main", lambda it: it.having(deployment_id=there))

        with pytest.raises(ReconnectRequired, match="another deployment"):
            copy.tokens.access_token("main")
