"""Refreshing tokens: no crash, race or lost answer burns a connection.

Every test has real storage, a real vault client and Constant Contact's strictest mode: rotating
refresh tokens, of which one used twice revokes the newest set as well.
"""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise

import pytest
import stamina
from azure.storage.blob import BlobLeaseClient

from local.constant_contact import ConstantContact, Fault
from local.key_vault import KeyVault
from shared.connections import ConnectionState
from shared.constant_contact.budget import TOKEN_SPACING, Purpose
from shared.constant_contact.oauth import GrantRefused
from shared.errors import (
    Busy,
    ExportError,
    RateLimited,
    ReconnectRequired,
    ServiceUnavailable,
    SettingInvalid,
)
from shared.storage.leases import Leases
from shared.tokens import TokenSet
from tests.conftest import Figure
from tests.scenarios.desk import SOON, TOMORROW, WHO, Desk, at
from tests.scenarios.processes import kill_during, run_all, workers
from tests.scenarios.test_connection import TOKEN_PATH, token_requests


class TestWhen:
    def test_a_fresh_token_is_used_without_a_request(
        self, connected: Desk, stand_in: ConstantContact, key_vault: KeyVault
    ) -> None:
        first = connected.tokens.access_token("main")
        key_vault.calls.clear()

        assert connected.tokens.access_token("main") == first
        assert token_requests(stand_in) == 1
        assert key_vault.calls == []

    def test_it_is_renewed_a_margin_before_it_expires(
        self, connected: Desk, stand_in: ConstantContact
    ) -> None:
        old = connected.tokens.access_token("main")

        assert at(connected, timedelta(hours=23, minutes=54)).tokens.access_token("main") == old
        assert at(connected, timedelta(hours=23, minutes=56)).tokens.access_token("main") != old
        assert token_requests(stand_in) == 2

    def test_a_short_life_is_believed_and_does_not_mean_a_request_per_call(
        self, desk: Desk, stand_in: ConstantContact
    ) -> None:
        stand_in.options.change(expires_in=240)
        desk.connect("main")
        old = desk.tokens.access_token("main")

        assert at(desk, timedelta(seconds=200)).tokens.access_token("main") == old
        assert at(desk, timedelta(seconds=220)).tokens.access_token("main") != old
        assert token_requests(stand_in) == 2

    def test_one_401_renews_it_and_the_call_is_repeated_once(
        self, connected: Desk, stand_in: ConstantContact
    ) -> None:
        stand_in.expire_access_tokens()
        client = connected.client("main")

        assert client.lists() == []
        assert client.calls == 2
        assert token_requests(stand_in) == 2
        shown = connected.connections.read("main")
        assert shown.last_refresh is not None
        assert shown.connected_at is not None
        assert shown.last_refresh > shown.connected_at

    def test_a_new_token_that_is_refused_as_well_needs_a_person(
        self, connected: Desk, stand_in: ConstantContact
    ) -> None:
        unauthorized = {"error_key": "unauthorized", "error_message": "Unauthorized"}
        stand_in.faults.add(Fault(path="/v3/contact_lists", status=401, body=unauthorized))

        for _ in range(2):
            with pytest.raises(ReconnectRequired):
                connected.client("main").lists()
        assert token_requests(stand_in) == 2
        assert connected.connections.read("main").state is ConnectionState.RECONNECT_REQUIRED

    def test_the_refused_token_decides_whether_the_work_is_done(
        self, connected: Desk, stand_in: ConstantContact
    ) -> None:
        old = connected.tokens.access_token("main")
        new = connected.tokens.rotate("main", old)

        assert connected.tokens.rotate("main", old) == new
        assert Desk(connected.places).tokens.rotate("main", old) == new
        assert token_requests(stand_in) == 2

    def test_a_token_that_is_still_good_is_used_on_while_renewing_fails(
        self, connected: Desk, stand_in: ConstantContact
    ) -> None:
        old = connected.tokens.access_token("main")
        stand_in.faults.html(TOKEN_PATH, 503)

        assert at(connected, timedelta(hours=23, minutes=56)).tokens.access_token("main") == old
        with pytest.raises(ServiceUnavailable):
            at(connected, TOMORROW).tokens.access_token("main")


class TestOneRefresher:
    def test_eight_threads_in_three_processes_meet_a_401_at_once(
        self, connected: Desk, stand_in: ConstantContact, figure: Figure
    ) -> None:
        stand_in.options.change(latency=0.4)  # so that all are under way before the first answer
        with workers(connected.places, "call_from_eight_threads", 3) as processes:
            stand_in.expire_access_tokens()
            stand_in.calls.clear()
            outcomes = run_all(processes)

        refused = sum(call.status == 401 for call in stand_in.calls)
        assert outcomes == [["ok"] * 8] * 3
        assert refused >= 8
        assert token_requests(stand_in) == 1
        figure(
            f"8 threads x 3 processes: {refused} answers 401, 1 refresh, 24 of 24 calls answered"
        )

    def test_it_is_stored_before_it_is_used(
        self, connected: Desk, stand_in: ConstantContact, key_vault: KeyVault
    ) -> None:
        """The vault loses the answer to the write; what was handed out is in it all the same."""
        old = connected.tokens.access_token("main")
        key_vault.fail("PUT", "connection-main", skip=1, acts=True)

        new = connected.tokens.rotate("main", old)

        assert json.loads(key_vault.secrets["connection-main"])["access_token"] == new
        assert token_requests(stand_in) == 2

    def test_no_token_is_spent_while_the_vault_takes_no_writes(
        self, connected: Desk, stand_in: ConstantContact, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = connected.tokens.access_token("main")

        def refuse(name: str, value: str) -> None:
            raise ServiceUnavailable("Azure's Key Vault answered 503.")

        with monkeypatch.context() as patch:
            patch.setattr(connected.secrets, "write", refuse)
            with pytest.raises(ServiceUnavailable):
                connected.tokens.rotate("main", old)
        assert token_requests(stand_in) == 1
        assert connected.tokens.rotate("main", old) != old

    def test_a_vault_that_fails_after_the_rotation_is_asked_for_long(
        self, connected: Desk, stand_in: ConstantContact, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The new set exists nowhere else."""
        old = connected.tokens.access_token("main")
        write, troubles = connected.secrets.write, [2]

        def falter(name: str, value: str) -> None:
            if TokenSet.model_validate_json(value).access_token != old and troubles[0]:
                troubles[0] -= 1
                raise ServiceUnavailable("Azure's Key Vault answered 503.")
            write(name, value)

        monkeypatch.setattr(connected.secrets, "write", falter)
        with stamina.set_testing(True, attempts=3):  # repeats do not wait
            new = connected.tokens.rotate("main", old)

        assert troubles == [0]
        assert new == Desk(connected.places).tokens.access_token("main")

    def test_a_process_that_stalled_past_its_lease_sends_and_writes_nothing(
        self, connected: Desk, stand_in: ConstantContact, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It knows by the time alone; another instance has renewed the tokens meanwhile."""
        old = connected.tokens.access_token("main")
        stalled, seconds = Desk(connected.places), [0.0]
        stalled.tokens._leases = Leases(stalled.container, lambda: seconds[0])
        take = stalled.budget.take
        renewed: list[str] = []

        def stall(purpose: Purpose) -> None:
            take(purpose)
            seconds[0] += 61
            lease = connected.container.get_blob_client("leases/connections/main")
            BlobLeaseClient(lease).break_lease(lease_break_period=0)
            renewed.append(at(connected, SOON).tokens.rotate("main", old))

        monkeypatch.setattr(stalled.budget, "take", stall)
        with pytest.raises(Busy):
            stalled.tokens.rotate("main", old)

        assert token_requests(stand_in) == 2  # the consent's and the other instance's
        assert Desk(connected.places).tokens.access_token("main") == renewed[0]
        assert connected.client("main").lists() == []

    def test_a_lease_that_is_renewed_is_certain_again(
        self, connected: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("shared.storage.leases._RENEWAL", 0.05)
        seconds = [0.0]
        with Leases(connected.container, lambda: seconds[0]).hold("anything") as lease:
            lease.check()
            seconds[0] = 30.0
            for attempt in stamina.retry_context(on=Busy, attempts=None, timeout=20, wait_max=0.1):
                with attempt:
                    lease.check()

    def test_a_slow_read_does_not_bring_back_what_was_renewed_meanwhile(
        self, connected: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The timer reads the vault while a run of the same process renews the tokens."""
        old = connected.tokens.access_token("main")
        read = connected.secrets.read
        renewed: list[str] = []

        def read_slowly(name: str) -> str:
            value = read(name)
            if not renewed:
                renewed.append("")  # what comes next reads as well
                renewed[0] = connected.tokens.rotate("main", old)
            return value

        monkeypatch.setattr(connected.secrets, "read", read_slowly)
        connected.tokens.care(connected.connections.read("main"), connected.now())

        assert connected.tokens.access_token("main") == renewed[0] != old

    def test_a_token_that_is_refused_again_needs_nobody_if_it_is_not_the_stored_one(
        self, connected: Desk
    ) -> None:
        old = connected.tokens.access_token("main")
        connected.tokens.rotate("main", old)

        assert isinstance(connected.tokens.give_up("main", old), ServiceUnavailable)
        assert connected.connections.read("main").state is ConnectionState.CONNECTED

    def test_somebody_elses_rotation_is_found_after_invalid_grant(
        self, connected: Desk, stand_in: ConstantContact, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The vault is read once more before a person is asked."""
        old = connected.tokens.access_token("main")
        elsewhere = Desk(connected.places)
        stale = elsewhere.secrets.read("connection-main")
        new = connected.tokens.rotate("main", old)
        current = connected.secrets.read("connection-main")
        connected.secrets.write("connection-main", stale)

        def too_late(refresh_token: str, still_alone: object) -> None:
            connected.secrets.write("connection-main", current)
            raise GrantRefused("Spent.")

        monkeypatch.setattr(elsewhere.endpoint, "refresh", too_late)

        assert elsewhere.tokens.rotate("main", old) == new
        assert connected.connections.read("main").state is ConnectionState.CONNECTED

    def test_token_requests_keep_a_second_apart(
        self,
        desk: Desk,
        stand_in: ConstantContact,
        monkeypatch: pytest.MonkeyPatch,
        figure: Figure,
    ) -> None:
        """Of all connections and instances together: the limit belongs to the key."""
        ids = ["main", "second", "third"]
        for name in ids[1:]:
            desk.connections.create(name, consented=True, who=WHO)
        for number, name in enumerate(ids):
            stand_in.options.change(encoded_account_id=f"account-{number}")
            if name == ids[-1]:
                monkeypatch.setattr("shared.constant_contact.budget.TOKEN_SPACING", TOKEN_SPACING)
            desk.connect(name)
        stand_in.options.change(token_requests_per_second=1)
        stand_in.calls.clear()

        def rotate(name: str) -> str:
            instance = Desk(desk.places)
            return instance.tokens.rotate(name, instance.tokens.access_token(name))

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(rotate, ids))

        times = [call.monotonic for call in stand_in.calls if call.path == TOKEN_PATH]
        gaps = [b - a for a, b in pairwise(times)]
        assert len(times) == 3
        assert all(call.status == 200 for call in stand_in.calls)
        figure(f"3 refreshes at once: {min(gaps):.2f} s apart at least, none refused")


class TestKilled:
    def test_between_the_mark_and_the_request_it_goes_on(
        self, connected: Desk, stand_in: ConstantContact, figure: Figure
    ) -> None:
        """Constant Contact has not acted, so the stored refresh token still works."""
        old = connected.tokens.access_token("main")
        kill_during(connected, "stop_after_mark")
        assert token_requests(stand_in) == 1

        assert at(connected, SOON).tokens.rotate("main", old) != old
        assert token_requests(stand_in) == 2
        figure("killed between mark and request: goes on with 1 token request")

    def test_between_rotated_and_stored_a_person_is_told_why(
        self,
        connected: Desk,
        stand_in: ConstantContact,
        caplog: pytest.LogCaptureFixture,
        figure: Figure,
    ) -> None:
        """The documented outcome: the set is lost; one more try, one event, and no loop."""
        old = connected.tokens.access_token("main")
        kill_during(connected, "stop_before_store")
        assert token_requests(stand_in) == 2

        later = at(connected, SOON)
        with caplog.at_level(logging.INFO, "events"):
            for _ in range(5):
                with pytest.raises(ReconnectRequired, match="stopped, or lost the answer"):
                    later.tokens.rotate("main", old)
        assert token_requests(stand_in) == 3
        assert [vars(record).get("event") for record in caplog.records].count(
            "reconnect_required"
        ) == 1
        problem = connected.connections.read("main").problem
        assert problem is not None
        assert problem.code == "refresh_interrupted"
        assert "connect it again" in problem.action

        connected.connect("main")
        assert later.client("main").lists() == []
        figure(
            "killed between rotated and stored: reconnect_required after 1 further token request,"
            " 1 event, 5 uses; reconnecting resumes"
        )

    def test_a_throttled_try_in_between_does_not_change_why(
        self, connected: Desk, stand_in: ConstantContact
    ) -> None:
        old = connected.tokens.access_token("main")
        kill_during(connected, "stop_before_store")
        stand_in.faults.throttle(TOKEN_PATH, times=1)
        later = at(connected, SOON)

        with pytest.raises(RateLimited):
            later.tokens.rotate("main", old)
        with pytest.raises(ReconnectRequired, match="stopped, or lost the answer"):
            later.tokens.rotate("main", old)

    def test_between_stored_and_used_the_new_token_is_used(
        self, connected: Desk, stand_in: ConstantContact, figure: Figure
    ) -> None:
        old = connected.tokens.access_token("main")
        kill_during(connected, "stop_after_store")
        assert token_requests(stand_in) == 2

        new = Desk(connected.places).tokens.rotate("main", old)

        assert new != old
        assert token_requests(stand_in) == 2
        assert connected.client("main").lists() == []
        figure("killed between stored and used: goes on with the new token, 0 further requests")

    def test_the_timer_finds_out_whether_a_person_is_needed(
        self, connected: Desk, stand_in: ConstantContact
    ) -> None:
        """Within a round, not when the access token expires."""
        kill_during(connected, "stop_before_store")
        later = at(connected, SOON)

        with pytest.raises(ReconnectRequired):
            later.tokens.care(connected.connections.read("main"), later.now())
        assert connected.connections.read("main").state is ConnectionState.RECONNECT_REQUIRED

    def test_between_stored_and_noted_the_timer_notes_it(self, connected: Desk) -> None:
        kill_during(connected, "stop_after_store")
        before = connected.connections.read("main")

        assert not connected.tokens.care(before, connected.now())

        after = connected.connections.read("main")
        assert before.last_refresh is not None
        assert after.last_refresh is not None
        assert after.last_refresh > before.last_refresh


class TestLostAnswer:
    @pytest.mark.parametrize("fault", ["before", "after", "html"])
    def test_it_is_not_asked_for_again_at_once(
        self, connected: Desk, stand_in: ConstantContact, fault: str
    ) -> None:
        old = connected.tokens.access_token("main")
        if fault == "html":
            stand_in.faults.html(TOKEN_PATH, 502)
        else:
            stand_in.faults.add(Fault(path=TOKEN_PATH, drop=fault))  # type: ignore[arg-type]

        for _ in range(3):
            with pytest.raises(ServiceUnavailable):
                connected.tokens.rotate("main", old)
        assert token_requests(stand_in) == 2

    def test_lost_before_acting_the_next_try_succeeds(
        self, connected: Desk, stand_in: ConstantContact
    ) -> None:
        old = connected.tokens.access_token("main")
        stand_in.faults.drop(TOKEN_PATH, "before", times=1)
        with pytest.raises(ServiceUnavailable):
            connected.tokens.rotate("main", old)

        assert at(connected, SOON).tokens.rotate("main", old) != old

    def test_lost_after_acting_a_person_is_told_why(
        self, connected: Desk, stand_in: ConstantContact
    ) -> None:
        old = connected.tokens.access_token("main")
        stand_in.faults.drop(TOKEN_PATH, "after", times=1)
        with pytest.raises(ServiceUnavailable):
            connected.tokens.rotate("main", old)

        with pytest.raises(ReconnectRequired, match="lost the answer"):
            at(connected, SOON).tokens.rotate("main", old)

    def test_with_long_lived_tokens_nothing_is_lost(
        self, connected: Desk, stand_in: ConstantContact
    ) -> None:
        stand_in.options.change(refresh_tokens="long_lived")
        connected.connect("main")
        old = connected.tokens.access_token("main")
        stand_in.faults.drop(TOKEN_PATH, "after", times=1)
        with pytest.raises(ServiceUnavailable):
            connected.tokens.rotate("main", old)

        assert at(connected, SOON).tokens.rotate("main", old) != old

    def test_throttled_it_can_be_asked_for_again_at_once(
        self, connected: Desk, stand_in: ConstantContact
    ) -> None:
        """429 says that nothing was done."""
        old = connected.tokens.access_token("main")
        stand_in.faults.throttle(TOKEN_PATH, times=1)
        with pytest.raises(ExportError) as caught:
            connected.tokens.rotate("main", old)
        assert caught.value.code == "throttled"

        assert connected.tokens.rotate("main", old) != old


class TestLongLived:
    @pytest.mark.parametrize("omit", [False, True])
    def test_the_same_refresh_token_goes_on(
        self, desk: Desk, stand_in: ConstantContact, key_vault: KeyVault, *, omit: bool
    ) -> None:
        """Whether the answer repeats it or leaves it out."""
        stand_in.options.change(refresh_tokens="long_lived")
        desk.connect("main")
        stand_in.options.change(omit_refresh_token=omit)
        before = json.loads(key_vault.secrets["connection-main"])["refresh_token"]
        token = desk.tokens.access_token("main")

        for _ in range(3):
            token = desk.tokens.rotate("main", token)

        assert json.loads(key_vault.secrets["connection-main"])["refresh_token"] == before
        assert desk.client("main").lists() == []


class TestConsentEnded:
    def test_a_withdrawn_consent_is_said_once_and_stops_everything(
        self, connected: Desk, stand_in: ConstantContact, caplog: pytest.LogCaptureFixture
    ) -> None:
        stand_in.revoke()
        stand_in.calls.clear()

        with caplog.at_level(logging.INFO, "events"):
            for _ in range(3):
                with pytest.raises(ReconnectRequired, match="withdrawn"):
                    connected.client("main").lists()

        assert [call.path for call in stand_in.calls] == ["/v3/contact_lists", TOKEN_PATH]
        assert [vars(record).get("event") for record in caplog.records] == ["reconnect_required"]
        assert connected.connections.read("main").state is ConnectionState.RECONNECT_REQUIRED

    def test_reconnecting_resumes_without_other_changes(
        self, connected: Desk, stand_in: ConstantContact
    ) -> None:
        elsewhere = Desk(connected.places)
        elsewhere.tokens.access_token("main")
        stand_in.revoke()
        with pytest.raises(ReconnectRequired):
            connected.client("main").lists()

        connection = connected.connect("main")

        assert connection.problem is None
        assert elsewhere.client("main").lists() == []
        assert connected.client("main").lists() == []

    def test_a_refused_client_secret_is_not_a_lost_connection(
        self, connected: Desk, stand_in: ConstantContact, key_vault: KeyVault
    ) -> None:
        """An operator corrects it in the vault, and it goes on without a restart."""
        old = connected.tokens.access_token("main")
        key_vault.set("constant-contact-client-secret", "mistyped")
        with pytest.raises(SettingInvalid, match="client id and secret"):
            connected.tokens.rotate("main", old)
        assert connected.connections.read("main").state is ConnectionState.CONNECTED

        key_vault.set("constant-contact-client-secret", "stand-in-secret")
        assert connected.tokens.rotate("main", old) != old


class TestCare:
    def test_an_idle_connection_is_refreshed_long_before_its_token_dies(
        self, connected: Desk, stand_in: ConstantContact, caplog: pytest.LogCaptureFixture
    ) -> None:
        later = at(connected, timedelta(days=121))

        assert not connected.tokens.care(
            connected.connections.read("main"), connected.now() + timedelta(days=119)
        )
        with caplog.at_level(logging.INFO, "events"):
            assert later.tokens.care(connected.connections.read("main"), later.now())
        assert [vars(record).get("event") for record in caplog.records] == ["connection_refreshed"]
        shown = connected.connections.read("main")
        assert shown.days_left(later.now()) == 179
        assert not later.tokens.care(shown, later.now())
        assert token_requests(stand_in) == 2

    def test_what_is_not_connected_is_left_alone(
        self, desk: Desk, stand_in: ConstantContact
    ) -> None:
        assert not desk.tokens.care(desk.connections.read("main"), desk.now())
        assert stand_in.calls == []
