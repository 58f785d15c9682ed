"""The client's calls, over HTTP against the stand-in; tokens and budget are ten-line fakes."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
import stamina

from local.constant_contact import ConstantContact, Fault
from shared.constant_contact.budget import Purpose
from shared.constant_contact.client import Client
from shared.constant_contact.transport import Transport
from shared.errors import (
    ActivityQueueFull,
    AnswerLost,
    ExportError,
    QuotaExceeded,
    RateLimited,
    ReconnectRequired,
    RequestRefused,
    ServiceUnavailable,
    SettingInvalid,
)

IMPORT = "/v3/activities/contacts_file_import"
CSV = b"email\nana@example.com\n"
MIDNIGHT = datetime(2026, 11, 24, tzinfo=UTC)


class Keys:
    """A token source: hands out *tokens* one after the other."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens)
        self.refused: list[str] = []
        self.given_up = False

    def access_token(self, connection_id: str) -> str:
        return self.tokens[0]

    def rotate(self, connection_id: str, refused: str) -> str:
        self.refused.append(refused)
        self.tokens.pop(0)
        return self.tokens[0]

    def give_up(self, connection_id: str, refused: str) -> ReconnectRequired:
        self.given_up = True
        return ReconnectRequired("Refused.")


class Slots:
    """A budget that has no limits and remembers what it was told."""

    def __init__(self) -> None:
        self.taken: list[Purpose] = []
        self.pauses: list[float] = []

    def take(self, purpose: Purpose, *, unused: int = 0) -> None:
        del self.taken[len(self.taken) - unused :]
        self.taken.append(purpose)

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def exhausted(self) -> datetime:
        return MIDNIGHT


@pytest.fixture
def stand_in() -> Iterator[ConstantContact]:
    with ConstantContact(requests_per_second=1000, activity_seconds=0) as running:
        yield running


@pytest.fixture
def keys(stand_in: ConstantContact) -> Keys:
    return Keys(stand_in.issue_tokens()["access_token"], "spare")


@pytest.fixture
def slots() -> Slots:
    return Slots()


@pytest.fixture
def client(stand_in: ConstantContact, keys: Keys, slots: Slots) -> Iterator[Client]:
    with stamina.set_testing(True, attempts=4):  # repeats do not wait
        yield Client(
            "main",
            Transport(),
            keys,
            slots,
            api_url=stand_in.api_url,
            purpose=Purpose.RUN,
            clock=lambda: 0.0,
        )


class TestLookUps:
    def test_lists_are_read_over_all_pages(self, client: Client, stand_in: ConstantContact) -> None:
        stand_in.options.change(lists_per_account=1000)
        ids = {stand_in.add_list(f"List {number}") for number in range(501)}

        found = client.lists()

        assert {each.id for each in found} == ids
        assert {each.count for each in found} == {0}
        assert {each.count for each in client.lists(counts=False)} == {None}
        assert client.calls == 4

    def test_custom_fields_are_read_over_all_pages(
        self, client: Client, stand_in: ConstantContact
    ) -> None:
        stand_in.options.change(fields_per_account=101)
        names = {stand_in.add_custom_field(f"Field {number}") for number in range(101)}

        assert {each.name for each in client.custom_fields()} == names

    def test_an_import_is_found_beyond_the_first_page(
        self, client: Client, stand_in: ConstantContact
    ) -> None:
        list_id = stand_in.add_list("Spring")
        for number in range(502):
            client.import_contacts(f"{number}.csv", CSV, [list_id])
        before = client.calls

        first = client.find_import("0.csv")

        assert first is not None
        assert first.file_name == "0.csv"
        assert client.calls - before == 2
        assert len(client.activities()) == 500
        assert client.calls - before == 3
        assert client.find_import("none.csv") is None

    def test_what_does_not_exist_is_none(self, client: Client) -> None:
        assert client.activity("7a1d5f04-2c0e-11f0-9d3a-0242ac120002") is None
        assert client.contact_list("7a1d5f04-2c0e-11f0-9d3a-0242ac120002", count=True) is None

    def test_what_cannot_be_an_id_is_not_asked_for(self, client: Client) -> None:
        assert client.contact_list("../account/summary", count=False) is None
        assert client.calls == 0

    def test_an_old_list_number_is_translated(
        self, client: Client, stand_in: ConstantContact
    ) -> None:
        list_id = stand_in.add_list("Spring")
        number = stand_in.list_number(list_id)

        assert client.translate_list_ids([number, 999_999]) == {number: list_id}

    def test_a_link_out_of_the_api_is_not_followed(
        self, client: Client, stand_in: ConstantContact
    ) -> None:
        """The token goes nowhere else."""
        body = {"lists": [], "_links": {"next": {"href": "//elsewhere.example/v3/lists"}}}
        stand_in.faults.add(Fault(path="/v3/contact_lists", status=200, body=body))

        with pytest.raises(ServiceUnavailable):
            client.lists()

    def test_a_redirect_is_not_followed(self, client: Client, stand_in: ConstantContact) -> None:
        stand_in.faults.add(
            Fault(path="/v3/contact_lists", status=302, headers={"Location": "/v3/activities"})
        )

        with pytest.raises(RequestRefused):
            client.lists()
        assert len(stand_in.calls) == 1

    @pytest.mark.parametrize("status", [500, 503])
    def test_trouble_is_waited_out_in_place(
        self, client: Client, stand_in: ConstantContact, status: int
    ) -> None:
        stand_in.faults.html("/v3/contact_lists", status, times=2)

        assert client.lists() == []
        assert client.calls == 3

    def test_a_lost_answer_to_a_look_up_is_asked_for_again(
        self, client: Client, stand_in: ConstantContact
    ) -> None:
        stand_in.faults.drop("/v3/contact_lists", "after", times=1)

        assert client.lists() == []

    def test_trouble_that_lasts_is_left_to_the_queue(
        self, client: Client, stand_in: ConstantContact
    ) -> None:
        stand_in.faults.html("/v3/contact_lists", 503)

        with pytest.raises(ServiceUnavailable):
            client.lists()
        assert client.calls == 4


class TestTurns:
    @pytest.mark.parametrize(("late", "slots_taken"), [(0.05, 1), (0.15, 2)])
    def test_whoever_comes_late_to_a_slot_takes_another(
        self, stand_in: ConstantContact, late: float, slots_taken: int
    ) -> None:
        """The token took long, say; the day gets the slot back that was not used."""
        taken: list[int] = []
        moments = iter([0.0, late, late])

        class Unused(Slots):
            def take(self, purpose: Purpose, *, unused: int = 0) -> None:
                taken.append(unused)

        client = Client(
            "main",
            Transport(),
            Keys(stand_in.issue_tokens()["access_token"]),
            Unused(),
            api_url=stand_in.api_url,
            purpose=Purpose.RUN,
            clock=lambda: next(moments),
        )

        client.activities()
        assert taken == [0, 1][:slots_taken]

    def test_what_takes_long_comes_before_the_slot(
        self, client: Client, keys: Keys, slots: Slots, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A token that has to be renewed is, while the slot is still to come."""
        asked: list[int] = []
        access_token = keys.access_token

        def remember(connection_id: str) -> str:
            asked.append(len(slots.taken))
            return access_token(connection_id)

        monkeypatch.setattr(keys, "access_token", remember)

        client.activities()
        assert asked == [0, 1]


class TestLists:
    def test_the_mirrors_steps_are_there(self, client: Client, stand_in: ConstantContact) -> None:
        target, keep = client.create_list("target"), client.create_list("keep")
        stand_in.add_contact("ana@example.com", [target.id])

        client.add_memberships([target.id], [keep.id])
        client.activities()
        assert stand_in.members(keep.id) == {"ana@example.com"}
        client.remove_memberships([keep.id], [target.id])
        assert stand_in.members(target.id) == set()
        counted = client.contact_list(keep.id, count=True)
        assert counted is not None
        assert counted.count == 1
        client.delete_lists([keep.id])
        assert [each.name for each in client.lists(counts=False)] == ["target"]

    def test_a_list_is_never_removed_from_itself(self, client: Client) -> None:
        with pytest.raises(ValueError, match="itself"):
            client.remove_memberships(["a", "b"], ["b"])
        assert client.calls == 0

    def test_a_name_that_is_taken_is_refused(self, client: Client) -> None:
        client.create_list("Spring")

        with pytest.raises(RequestRefused) as caught:
            client.create_list("Spring")
        assert caught.value.status == 409


class TestImport:
    @pytest.fixture
    def send(self, client: Client, stand_in: ConstantContact) -> Callable[[], object]:
        list_id = stand_in.add_list("Spring")
        return lambda: client.import_contacts("0.csv", CSV, [list_id])

    @pytest.mark.parametrize("when", ["before", "after"])
    def test_a_lost_answer_is_never_repeated(
        self,
        send: Callable[[], object],
        stand_in: ConstantContact,
        client: Client,
        when: str,
    ) -> None:
        """Whether it was received is looked up by its name."""
        stand_in.faults.add(Fault(path=IMPORT, drop=when))  # type: ignore[arg-type]

        with pytest.raises(AnswerLost):
            send()
        assert client.calls == 1
        assert (client.find_import("0.csv") is not None) == (when == "after")

    @pytest.mark.parametrize("status", [500, 502, 503])
    def test_neither_is_a_5xx(
        self, send: Callable[[], object], stand_in: ConstantContact, client: Client, status: int
    ) -> None:
        stand_in.faults.html(IMPORT, status)

        with pytest.raises(AnswerLost):
            send()
        assert client.calls == 1

    def test_throttled_it_pauses_everybody_and_is_sent_again(
        self,
        send: Callable[[], object],
        stand_in: ConstantContact,
        client: Client,
        slots: Slots,
    ) -> None:
        """429 says that it was not received."""
        stand_in.faults.throttle(IMPORT, times=2)

        send()

        assert slots.pauses == [1.0, 1.0]
        assert client.calls == 3
        assert len(stand_in.imports) == 1

    def test_a_long_retry_after_is_left_to_the_queue(
        self, send: Callable[[], object], stand_in: ConstantContact, client: Client
    ) -> None:
        body = {"error_key": "throttled", "error_message": "Too Many Requests"}
        stand_in.faults.add(
            Fault(path=IMPORT, status=429, body=body, headers={"Retry-After": "300"})
        )

        with pytest.raises(RateLimited) as caught:
            send()
        assert caught.value.retry_after == 300
        assert client.calls == 1

    def test_a_spent_quota_stops_everybody_until_midnight(
        self, send: Callable[[], object], stand_in: ConstantContact, client: Client
    ) -> None:
        stand_in.faults.exceed_quota(IMPORT)

        with pytest.raises(QuotaExceeded) as caught:
            send()
        assert caught.value.until == MIDNIGHT
        assert client.calls == 1

    def test_a_full_queue_of_activities_is_told_from_too_many_calls(
        self, send: Callable[[], object], stand_in: ConstantContact
    ) -> None:
        stand_in.faults.fill_queue()

        with pytest.raises(ActivityQueueFull):
            send()

    def test_a_refusal_is_final_and_names_the_request(
        self, client: Client, stand_in: ConstantContact
    ) -> None:
        with pytest.raises(RequestRefused) as caught:
            client.import_contacts("0.csv", CSV, ["7a1d5f04-2c0e-11f0-9d3a-0242ac120002"])
        assert caught.value.request_id
        assert client.calls == 1

    def test_what_is_no_longer_wanted_is_not_sent(
        self, client: Client, stand_in: ConstantContact, slots: Slots
    ) -> None:
        """It is asked after the wait for a slot."""

        class Cancelled(Exception):
            pass

        def still_wanted() -> None:
            assert slots.taken
            raise Cancelled

        client.still_wanted = still_wanted
        with pytest.raises(Cancelled):
            client.import_contacts("0.csv", CSV, ["any"])
        assert stand_in.calls == []

    def test_without_a_connection_it_had_no_effect(self, keys: Keys, slots: Slots) -> None:
        with socket.socket() as closed, stamina.set_testing(True, attempts=2):
            closed.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{closed.getsockname()[1]}/v3"
            client = Client("main", Transport(), keys, slots, api_url=url, purpose=Purpose.RUN)

            with pytest.raises(ServiceUnavailable):
                client.import_contacts("0.csv", CSV, ["any"])
        assert client.calls == 2

    def test_an_upload_may_take_longer_than_connecting(
        self, keys: Keys, slots: Slots, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """On a new connection, too; this server is slow to begin to read."""
        monkeypatch.setattr("shared.constant_contact.transport.CONNECT_SECONDS", 0.1)
        with socket.create_server(("127.0.0.1", 0)) as slow:
            url = f"http://127.0.0.1:{slow.getsockname()[1]}/v3"
            client = Client("main", Transport(), keys, slots, api_url=url, purpose=Purpose.RUN)
            with ThreadPoolExecutor(1) as pool:
                pool.submit(answer_late, slow, seconds=0.5)

                activity = client.import_contacts("0.csv", b"x" * 16_000_000, ["any"])

        assert activity.id == "a"


def answer_late(server: socket.socket, seconds: float) -> None:
    """Take one request *seconds* after its connection, and answer it."""
    connection, _ = server.accept()
    with connection:
        threading.Event().wait(seconds)
        received = b""
        while not received.endswith(b"--\r\n"):
            content = connection.recv(1_000_000)
            if not content:
                return  # the client has given up
            received = received[-4:] + content
        body = b'{"activity_id": "a", "state": "initialized"}'
        head = f"HTTP/1.1 201 Created\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode() + body)


class TestTokens:
    def test_a_401_is_answered_by_one_new_token(
        self, client: Client, stand_in: ConstantContact, keys: Keys, slots: Slots
    ) -> None:
        good = keys.tokens[0]
        keys.tokens = ["old", good]

        assert client.lists() == []
        assert keys.refused == ["old"]
        assert len(slots.taken) == 2

    def test_a_second_401_is_the_end(self, client: Client, keys: Keys) -> None:
        keys.tokens = ["old", "just as bad", "never used"]

        with pytest.raises(ReconnectRequired):
            client.lists()
        assert keys.given_up
        assert keys.refused == ["old"]
        assert client.calls == 2

    def test_tokens_are_not_sent_in_clear(self, keys: Keys, slots: Slots) -> None:
        client = Client(
            "main",
            Transport(),
            keys,
            slots,
            api_url="http://api.example/v3",
            purpose=Purpose.RUN,
        )

        with pytest.raises(SettingInvalid, match="https"):
            client.lists()

    def test_a_netrc_does_not_take_their_place(
        self,
        client: Client,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path_factory: pytest.TempPathFactory,
    ) -> None:
        netrc = tmp_path_factory.mktemp("home") / "netrc"
        netrc.write_text("machine 127.0.0.1 login somebody password else\n")
        monkeypatch.setenv("NETRC", str(netrc))

        assert client.lists() == []


class TestForbidden:
    def test_a_missing_privilege_is_named(self, client: Client, stand_in: ConstantContact) -> None:
        stand_in.options.change(privileges=("contacts:read", "account:read"))

        with pytest.raises(RequestRefused) as caught:
            client.lists()
        assert "contacts:lists:read" in caught.value.action
        assert "contacts:read," not in caught.value.action

    def test_a_missing_scope_is_told_from_that(
        self, client: Client, stand_in: ConstantContact, keys: Keys
    ) -> None:
        keys.tokens = [stand_in.issue_tokens(("account_read", "offline_access"))["access_token"]]

        with pytest.raises(RequestRefused) as caught:
            client.lists()
        assert "scope contact_data" in caught.value.action

    def test_so_is_a_deactivated_application(
        self, client: Client, stand_in: ConstantContact
    ) -> None:
        stand_in.options.change(deactivated=True)

        with pytest.raises(RequestRefused) as caught:
            client.lists()
        assert "deactivated" in caught.value.action


def test_calls_of_many_threads_share_connections(
    client: Client, stand_in: ConstantContact, caplog: pytest.LogCaptureFixture
) -> None:
    """Not one connection per call: a handshake costs as much as a call."""
    with caplog.at_level(logging.DEBUG, "urllib3"), ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: client.lists(), range(30)))

    opened = [record for record in caplog.records if "Starting new" in record.getMessage()]
    assert client.calls == 30
    assert len(opened) <= 3


def test_no_log_or_error_quotes_what_was_sent(
    client: Client, stand_in: ConstantContact, keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    list_id = stand_in.add_list("Spring")
    token = keys.tokens[0]
    said = []
    with caplog.at_level(logging.DEBUG):
        stand_in.faults.throttle(IMPORT, nth=(1,))
        stand_in.faults.drop(IMPORT, "after", nth=(3,))
        stand_in.faults.html(IMPORT, 400, nth=(4,))
        for _ in range(3):
            try:
                client.import_contacts("0.csv", CSV, [list_id])
            except ExportError as error:
                said.append(f"{error!r} {vars(error)} {error.__cause__!r}")

    assert len(said) == 2
    logged = "\n".join(str(vars(record)) for record in caplog.records)
    for private in ("ana@example.com", token, token[:40]):
        assert private not in logged
        assert private not in "\n".join(said)
