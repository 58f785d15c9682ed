"""Bulk jobs of the Constant Contact stand-in: their states, and lists as sets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.local.caller import Caller, connected

CSV = "email\nana@example.com\nbo@example.net\n"


@pytest.fixture
def app() -> Iterator[Caller]:
    with connected() as caller:
        yield caller


@pytest.fixture
def slow() -> Iterator[Caller]:
    """Activities take 100 seconds of a clock that only a test moves."""
    with connected(activity_seconds=100) as caller:
        yield caller


def begin(app: Caller, kind: str, **body: Any) -> requests.Response:
    return app.post(f"/activities/{kind}", body)


def carried_out(app: Caller, kind: str, **body: Any) -> dict[str, Any]:
    answer = begin(app, kind, **body)
    assert answer.status_code == 201, answer.text
    return app.activity(answer)


def list_of(app: Caller, name: str, *emails: str) -> str:
    list_id = app.cc.add_list(name)
    for email in emails:
        app.cc.add_contact(email, lists=[*lists_of(app, email), list_id])
    return list_id


def lists_of(app: Caller, email: str) -> list[str]:
    contact = app.cc.contact(email)
    return sorted(contact.lists) if contact else []


# States


def test_an_activity_waits_then_runs_then_is_done(slow: Caller) -> None:
    spring = slow.cc.add_list("Spring")
    answer = slow.upload(CSV, spring)
    seen = []
    for _ in range(5):
        activity = slow.activity(answer)
        seen.append((activity["state"], activity["percent_done"], len(slow.cc.members(spring))))
        slow.clock.advance(seconds=25)

    assert seen == [
        ("initialized", 0, 0),
        ("processing", 0, 0),
        ("processing", 33, 0),
        ("processing", 66, 0),
        ("completed", 100, 2),
    ]


def test_times_appear_once_they_are_known(slow: Caller) -> None:
    answer = slow.upload(CSV, slow.cc.add_list("Spring"))
    waiting = slow.activity(answer)
    slow.clock.advance(seconds=50)
    running = slow.activity(answer)
    slow.clock.advance(seconds=50)
    done = slow.activity(answer)

    assert {"started_at", "completed_at"}.isdisjoint(waiting)
    assert running["started_at"] == "2026-11-23T06:00:25Z"
    assert "completed_at" not in running
    assert done["completed_at"] == done["updated_at"] == "2026-11-23T06:01:40Z"


def test_activities_of_an_account_run_one_after_the_other(slow: Caller) -> None:
    spring = slow.cc.add_list("Spring")
    answers = [slow.upload(CSV, spring) for _ in range(2)]
    slow.clock.advance(seconds=100)
    states = [slow.activity(answer)["state"] for answer in answers]
    slow.clock.advance(seconds=75)

    assert states == ["completed", "processing"]
    assert slow.activity(answers[1])["state"] == "completed"


def test_activities_can_run_side_by_side(slow: Caller) -> None:
    slow.cc.options.serial_activities = False
    spring = slow.cc.add_list("Spring")
    answers = [slow.upload(CSV, spring) for _ in range(3)]
    slow.clock.advance(seconds=100)

    assert {slow.activity(answer)["state"] for answer in answers} == {"completed"}


def test_the_collection_pages_from_the_newest_on(app: Caller) -> None:
    spring = app.cc.add_list("Spring")
    for number in range(5):
        app.upload(CSV, spring, name=f"part-{number}.csv")

    pages = list(app.pages("/activities", limit=2))

    names = [[each["source_file_name"] for each in page["activities"]] for page in pages]
    assert names == [["part-4.csv", "part-3.csv"], ["part-2.csv", "part-1.csv"], ["part-0.csv"]]


def test_the_collection_is_filtered_by_state_but_not_by_initialized(slow: Caller) -> None:
    spring = slow.cc.add_list("Spring")
    slow.upload(CSV, spring)
    slow.clock.advance(seconds=100)
    slow.upload(CSV, spring)
    slow.clock.advance(seconds=50)

    for state, found in {"processing": 1, "completed": 1, "failed": 0, "timed_out": 0}.items():
        assert len(slow.get("/activities", state=state).json()["activities"]) == found
    assert slow.get("/activities", state="initialized").status_code == 400
    assert slow.get("/activities", limit=501).status_code == 400
    assert slow.get("/activities", limit=0).status_code == 400


def test_records_vanish_after_ten_days(app: Caller) -> None:
    app.cc.options.expires_in = 20 * 86_400
    app.use(app.cc.issue_tokens())
    answer = app.upload(CSV, app.cc.add_list("Spring"))
    app.clock.advance(days=10)
    assert app.activity(answer)["state"] == "completed"

    app.clock.advance(seconds=1)

    gone = app.get(f"/activities/{answer.json()['activity_id']}")
    assert gone.status_code == 404
    assert app.get("/activities").json() == {"activities": []}


def test_a_full_queue_takes_no_more_until_something_is_done(slow: Caller) -> None:
    slow.cc.options.queued_activities = 2
    spring = slow.cc.add_list("Spring")
    for _ in range(2):
        assert slow.upload(CSV, spring).status_code == 201

    assert slow.upload(CSV, spring).status_code == 429
    assert begin(slow, "list_delete", list_ids=[spring]).status_code == 429
    assert slow.get("/activities").status_code == 200
    slow.clock.advance(seconds=100)
    slow.get("/activities")
    assert slow.upload(CSV, spring).status_code == 201


# What goes wrong on purpose


@pytest.mark.parametrize("state", ["failed", "timed_out", "cancelled"])
def test_an_activity_can_end_otherwise_with_some_rows_applied(app: Caller, state: str) -> None:
    app.cc.faults.end("contacts_file_import", nth=(2,), state=state, share=0.5)
    spring, autumn = app.cc.add_list("Spring"), app.cc.add_list("Autumn")

    first = app.imported(CSV, spring)
    second = app.imported(CSV, autumn)

    assert (first["state"], second["state"]) == ("completed", state)
    assert app.cc.members(autumn) == {"ana@example.com"}
    assert app.imported(CSV, autumn)["state"] == "completed"


def test_an_activity_can_stay_initialized_and_take_its_place_in_the_queue(app: Caller) -> None:
    app.cc.faults.end("contacts_file_import", nth=(1,), stuck=True)
    app.cc.options.queued_activities = 1
    spring = app.cc.add_list("Spring")
    answer = app.upload(CSV, spring)
    app.clock.advance(hours=20)

    assert app.activity(answer)["state"] == "initialized"
    assert app.upload(CSV, spring).status_code == 429


def test_an_activity_can_end_in_a_state_nobody_documented(app: Caller) -> None:
    app.cc.faults.end(state="archiving")

    activity = app.imported(CSV, app.cc.add_list("Spring"))

    assert activity["state"] == "archiving"
    assert "completed_at" not in activity


def test_errors_can_come_as_objects(app: Caller) -> None:
    app.cc.faults.end(error_objects=True)

    activity = app.imported("email\nana\n", app.cc.add_list("Spring"))

    assert activity["activity_errors"] == [{"message": "Line 2: Invalid email address"}]


def test_one_activity_can_take_longer(app: Caller) -> None:
    app.cc.faults.end("contacts_file_import", nth=(1,), seconds=100)
    answer = app.upload(CSV, app.cc.add_list("Spring"))
    app.clock.advance(seconds=99)
    assert app.activity(answer)["state"] == "processing"

    app.clock.advance(seconds=1)

    assert app.activity(answer)["state"] == "completed"


# Lists as sets

PEOPLE = [f"p{number}@example.com" for number in range(6)]
some_people = st.sets(st.sampled_from(PEOPLE))


@given(target=some_people, kept=some_people)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_mirror_leaves_exactly_whoever_was_kept(target: set[str], kept: set[str]) -> None:
    """Copy the target, take away those kept, take the rest off the target."""
    with connected() as app:
        goal = list_of(app, "Target", *target)
        keep = list_of(app, "Keep", *kept)
        stale = app.cc.add_list("Stale")
        carried_out(app, "add_list_memberships", source={"list_ids": [goal]}, list_ids=[stale])
        carried_out(app, "remove_list_memberships", source={"list_ids": [keep]}, list_ids=[stale])

        assert app.cc.members(stale) == target - kept
        carried_out(app, "remove_list_memberships", source={"list_ids": [stale]}, list_ids=[goal])

        assert app.cc.members(goal) == target & kept


def test_members_can_be_moved_by_id_with_the_counts_told(app: Caller) -> None:
    ids = [app.cc.add_contact(email) for email in PEOPLE[:3]]
    first, second = app.cc.add_list("One"), app.cc.add_list("Two")

    added = carried_out(
        app, "add_list_memberships", source={"contact_ids": ids}, list_ids=[first, second]
    )
    removed = carried_out(
        app, "remove_list_memberships", source={"contact_ids": ids[:1]}, list_ids=[first]
    )

    assert added["status"] == {
        "items_total_count": 3,
        "items_completed_count": 3,
        "list_count": 2,
    }
    assert removed["status"]["items_completed_count"] == 1
    assert app.cc.members(first) == set(PEOPLE[1:3])
    assert app.cc.members(second) == set(PEOPLE[:3])


def test_all_active_contacts_leaves_out_the_unsubscribed_and_deleted(app: Caller) -> None:
    for email in PEOPLE:
        app.cc.add_contact(email)
    app.cc.unsubscribe(PEOPLE[0])
    app.cc.delete_contact(PEOPLE[1])
    everybody = app.cc.add_list("Everybody")

    carried_out(
        app, "add_list_memberships", source={"all_active_contacts": True}, list_ids=[everybody]
    )

    assert app.cc.members(everybody) == set(PEOPLE[2:])


def test_the_unsubscribed_cannot_be_added_but_can_be_removed(app: Caller) -> None:
    spring = list_of(app, "Spring", *PEOPLE[:2])
    keep = app.cc.add_list("Keep")
    app.cc.unsubscribe(PEOPLE[0])

    carried_out(app, "add_list_memberships", source={"list_ids": [spring]}, list_ids=[keep])
    assert app.cc.members(keep) == {PEOPLE[1]}
    assert app.cc.members(spring) == set(PEOPLE[:2])

    carried_out(app, "remove_list_memberships", source={"list_ids": [spring]}, list_ids=[spring])
    assert app.cc.members(spring) == set()


def test_whoever_is_on_50_lists_is_not_added_to_another(app: Caller) -> None:
    lists = [app.cc.add_list(f"List {number}") for number in range(50)]
    app.cc.add_contact(PEOPLE[0], lists=lists)
    app.cc.add_contact(PEOPLE[1], lists=lists[:1])
    extra = app.cc.add_list("Extra")

    carried_out(app, "add_list_memberships", source={"list_ids": lists[:1]}, list_ids=[extra])

    assert app.cc.members(extra) == {PEOPLE[1]}


def test_contacts_can_be_excluded_from_lists_and_from_all(app: Caller) -> None:
    first = app.cc.add_contact(PEOPLE[0])
    spring = list_of(app, "Spring", *PEOPLE[:3])
    other = app.cc.add_list("Other")
    exclude = {"contact_ids": [first]}

    carried_out(
        app,
        "add_list_memberships",
        source={"list_ids": [spring]},
        exclude=exclude,
        list_ids=[other],
    )

    assert app.cc.members(other) == set(PEOPLE[1:3])
    refused = begin(
        app,
        "add_list_memberships",
        source={"contact_ids": [first]},
        exclude=exclude,
        list_ids=[other],
    )
    assert refused.status_code == 400


def test_a_source_is_exactly_one_thing(app: Caller) -> None:
    spring, other = app.cc.add_list("Spring"), app.cc.add_list("Other")
    contact = app.cc.add_contact(PEOPLE[0])
    faulty: list[dict[str, Any]] = [
        {},
        {"emails": PEOPLE},
        {"list_ids": [spring], "contact_ids": [contact]},
        {"list_ids": [spring], "all_active_contacts": True},
        {"list_ids": []},
        {"list_ids": "all"},
        {"contact_ids": [contact] * 501},
        {"contact_ids": PEOPLE},
    ]
    for source in faulty:
        for kind in ("add_list_memberships", "remove_list_memberships"):
            assert begin(app, kind, source=source, list_ids=[other]).status_code == 400
    assert begin(app, "add_list_memberships", list_ids=[other]).status_code == 400


def test_a_segment_is_a_source_for_adding_only(app: Caller) -> None:
    spring = app.cc.add_list("Spring")
    source = {"segment_id": 12}

    added = begin(app, "add_list_memberships", source=source, list_ids=[spring])
    removed = begin(app, "remove_list_memberships", source=source, list_ids=[spring])

    assert (added.status_code, removed.status_code) == (201, 400)


def test_unknown_lists_are_refused_as_the_contract_has_it(app: Caller) -> None:
    """Only where members are removed does it declare a 404."""
    spring, gone = app.cc.add_list("Spring"), app.cc.add_list("Gone")
    app.cc.delete_list(gone)
    body: dict[str, Any] = {"source": {"list_ids": [spring]}, "list_ids": [gone]}

    assert begin(app, "add_list_memberships", **body).status_code == 400
    assert begin(app, "remove_list_memberships", **body).status_code == 404


def test_lists_are_deleted_and_their_contacts_stay(app: Caller) -> None:
    first = list_of(app, "One", *PEOPLE[:2])
    second = list_of(app, "Two", *PEOPLE[:2])

    activity = carried_out(app, "list_delete", list_ids=[first, second])

    assert activity["status"]["list_count"] == 2
    assert app.get(f"/contact_lists/{first}").status_code == 404
    assert lists_of(app, PEOPLE[0]) == []
    assert app.get("/contacts/counts").json()["total"] == 2
    assert begin(app, "list_delete", list_ids=[first] * 101).status_code == 400


def test_contacts_are_deleted_by_id_or_by_list(app: Caller) -> None:
    ids = [app.cc.add_contact(email) for email in PEOPLE]
    spring = list_of(app, "Spring", *PEOPLE[4:])

    carried_out(app, "contact_delete", contact_ids=ids[:1])
    carried_out(app, "contact_delete", list_ids=[spring])

    left = {x["email_address"]["address"] for x in app.get("/contacts").json()["contacts"]}
    assert left == set(PEOPLE[1:4])
    both = begin(app, "contact_delete", contact_ids=ids, list_ids=[spring])
    assert both.status_code == 400
