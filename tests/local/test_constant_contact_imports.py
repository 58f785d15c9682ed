"""What the Constant Contact stand-in imports, refuses and silently drops."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.constant_contact.imports import cut, read_csv
from tests.local.caller import Caller, connected

SPRING = "email,first_name,last_name\nana@example.com,Ana,Ruiz\nbo@example.net,Bo,\n"


@pytest.fixture
def app() -> Iterator[Caller]:
    with connected() as caller:
        yield caller


@pytest.fixture
def spring(app: Caller) -> str:
    return app.cc.add_list("Spring")


def counts(activity: dict[str, Any]) -> list[int]:
    """Return items, persons, errors, correctables and suppressed."""
    status = activity["status"]
    return [
        status["items_total_count"],
        status["person_count"],
        status["error_count"],
        status["correctable_count"],
        status["cannot_add_to_list_count"],
    ]


# What is taken


def test_an_import_puts_its_people_on_the_list(app: Caller, spring: str) -> None:
    activity = app.imported(SPRING, spring)

    assert activity["state"] == "completed"
    assert counts(activity) == [3, 2, 0, 0, 0]
    assert app.cc.members(spring) == {"ana@example.com", "bo@example.net"}


def test_the_answer_says_queued_and_nothing_more(app: Caller, spring: str) -> None:
    answer = app.upload(SPRING, spring, name="part-00007.csv")

    body = answer.json()
    assert answer.status_code == 201
    assert body == {
        "activity_id": body["activity_id"],
        "state": "initialized",
        "created_at": "2026-11-23T06:00:00Z",
        "updated_at": "2026-11-23T06:00:00Z",
        "source_file_name": "part-00007.csv",
        "percent_done": 0,
        "activity_errors": [],
        "status": {
            "items_total_count": 0,
            "person_count": 0,
            "error_count": 0,
            "correctable_count": 0,
            "cannot_add_to_list_count": 0,
        },
        "_links": {"self": {"href": f"/v3/activities/{body['activity_id']}"}},
    }


def test_a_new_contact_is_implicit_and_from_the_account(app: Caller, spring: str) -> None:
    app.imported("email,first_name,phone\nAna.Ruiz@Example.com,Ana,617-555-0101\n", spring)

    ana = app.cc.contact("ana.ruiz@example.com")
    assert ana is not None
    assert ana.email == "Ana.Ruiz@Example.com"
    assert (ana.permission, ana.opt_in_source) == ("implicit", "Account")
    assert ana.values == {"first_name": "Ana", "phone": "617-555-0101"}


def test_addresses_match_whatever_their_case(app: Caller, spring: str) -> None:
    app.imported("email,first_name\nana@example.com,Ana\nANA@example.COM,Anna\n", spring)

    ana = app.cc.contact("ana@example.com")
    assert app.cc.members(spring) == {"ana@example.com"}
    assert ana is not None
    assert ana.values == {"first_name": "Anna"}


def test_only_supplied_values_that_are_not_blank_change(app: Caller, spring: str) -> None:
    app.imported("email,first_name,city\nana@example.com,Ana,Bonn\n", spring)
    app.imported("email,first_name,city\nana@example.com,,Köln\n", spring)
    app.imported("email,last_name\nana@example.com,Ruiz\n", spring)

    ana = app.cc.contact("ana@example.com")
    assert ana is not None
    assert ana.values == {"first_name": "Ana", "city": "Köln", "last_name": "Ruiz"}


@pytest.mark.parametrize("permission", ["explicit", "not_set", "pending_confirmation", "temp_hold"])
def test_an_import_never_changes_permission(app: Caller, spring: str, permission: str) -> None:
    app.cc.add_contact("ana@example.com", permission=permission)

    app.imported(SPRING, spring)

    ana = app.cc.contact("ana@example.com")
    assert ana is not None
    assert ana.permission == permission
    assert ana.lists == {spring}


def test_the_unsubscribed_are_counted_and_not_put_on_the_list(app: Caller, spring: str) -> None:
    app.cc.add_contact("ana@example.com")
    app.cc.unsubscribe("ana@example.com")

    activity = app.imported(SPRING, spring)

    assert counts(activity) == [3, 2, 0, 0, 1]
    assert app.cc.members(spring) == {"bo@example.net"}
    ana = app.cc.contact("ana@example.com")
    assert ana is not None
    assert ana.permission == "unsubscribed"
    assert ana.opt_out_source == "Contact"
    assert ana.values["last_name"] == "Ruiz"


def test_lists_are_only_ever_added(app: Caller, spring: str) -> None:
    autumn, winter = app.cc.add_list("Autumn"), app.cc.add_list("Winter")
    app.imported(SPRING, autumn)

    app.imported(SPRING, spring, winter)

    ana = app.cc.contact("ana@example.com")
    assert ana is not None
    assert ana.lists == {spring, autumn, winter}


def test_a_deleted_contact_comes_back_unless_told_otherwise(app: Caller, spring: str) -> None:
    for revived in (True, False):
        app.cc.options.revive_deleted = revived
        app.cc.add_contact("ana@example.com")
        app.cc.delete_contact("ana@example.com")
        activity = app.imported(SPRING, spring)

        ana = app.cc.contact("ana@example.com")
        assert ana is not None
        assert (ana.deleted_at is None) is revived
        assert ("ana@example.com" in app.cc.members(spring)) is revived
        assert counts(activity) == [3, 2, 0 if revived else 1, 0, 0]


def test_custom_fields_go_by_name_and_unknown_ones_are_ignored(app: Caller, spring: str) -> None:
    assert app.cc.add_custom_field("Loyalty tier") == "Loyalty_tier"

    activity = app.imported(
        "email,cf:Loyalty_tier,cf:Loyalty tier,cf:nothing,shoe_size\na@example.com,gold,x,y,z\n",
        spring,
    )

    contact = app.cc.contact("a@example.com")
    assert counts(activity) == [2, 1, 0, 0, 0]
    assert contact is not None
    assert contact.values == {"cf:Loyalty_tier": "gold"}


def test_street2_is_appended_to_street(app: Caller, spring: str) -> None:
    app.imported("email,street,street2\na@example.com,1 Main St,Apt 5\n", spring)

    contact = app.cc.contact("a@example.com")
    assert contact is not None
    assert contact.values == {"street": "1 Main St Apt 5"}


def test_quotes_and_line_breaks_survive(app: Caller, spring: str) -> None:
    app.imported(
        'last_name,email\r\n"Ruiz, ""PhD""",a@example.com\r\n"x\ny",b@example.com\r\n', spring
    )

    first, second = app.cc.contact("a@example.com"), app.cc.contact("b@example.com")
    assert first is not None
    assert second is not None
    assert first.values == {"last_name": 'Ruiz, "PhD"'}
    assert second.values == {"last_name": "x\ny"}


# What is refused


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"email": ""}, "Missing email address"),
        ({"email": "ana"}, "Invalid email address"),
        ({"email": "ana@example"}, "Invalid email address"),
        ({"email": "a na@example.com"}, "Invalid email address"),
        ({"email": "ana@@example.com"}, "Invalid email address"),
        ({"email": "ana@example..com"}, "Invalid email address"),
        ({"email": f"{'a' * 69}@example.com"}, "Invalid email address"),
        ({"birthday_month": "11"}, "Invalid birthday"),
        ({"birthday_month": "13", "birthday_day": "1"}, "Invalid birthday"),
        ({"birthday_month": "1", "birthday_day": "32"}, "Invalid birthday"),
        ({"anniversary": "15.11.2006"}, "Invalid anniversary"),
        ({"anniversary": "2006-13-01"}, "Invalid anniversary"),
    ],
)
def test_what_the_web_ui_could_mend_is_correctable(
    app: Caller, spring: str, cells: dict[str, str], reason: str
) -> None:
    row = {"email": "a@example.com", "first_name": "Ana", **cells}

    activity = app.imported(f"{','.join(row)}\n{','.join(row.values())}\n", spring)

    assert activity["state"] == "completed"
    assert counts(activity) == [2, 1, 0, 1, 0]
    assert activity["activity_errors"] == [f"Line 2: {reason}"]
    assert app.cc.members(spring) == set()


@pytest.mark.parametrize(
    "text",
    [
        "11/05/2006",
        "1/5/2006",
        "2006/11/05",
        "2006/1/5",
        "2006-11-05",
        "2006-1-5",
        "1-5-2006",
        "1-15-2006",
    ],
)
def test_anniversaries_come_in_eight_forms(app: Caller, spring: str, text: str) -> None:
    activity = app.imported(f"email,anniversary\na@example.com,{text}\n", spring)

    assert counts(activity) == [2, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("heading", "limit"),
    [("first_name", 50), ("company_name", 50), ("phone", 25), ("street", 255), ("cf:note", 255)],
)
def test_too_long_a_value_costs_the_row(app: Caller, spring: str, heading: str, limit: int) -> None:
    app.cc.add_custom_field("note")

    activity = app.imported(
        f"email,{heading}\na@example.com,{'x' * limit}\nb@example.com,{'x' * (limit + 1)}\n", spring
    )

    assert counts(activity) == [3, 2, 1, 0, 0]
    assert activity["activity_errors"] == [f"Line 3: {heading} is longer than {limit} characters"]
    assert app.cc.members(spring) == {"a@example.com"}


@pytest.mark.parametrize(
    ("type_", "good", "bad"),
    [
        ("date", "2026-11-05", "soon"),
        ("number", "-12.50", "1,250"),
        ("boolean", "true", "yes"),
        ("single_select", "gold", "tin"),
    ],
)
def test_custom_values_fit_their_type(
    app: Caller, spring: str, type_: str, good: str, bad: str
) -> None:
    app.cc.add_custom_field("f", type_, choices=["gold"] if type_ == "single_select" else [])

    activity = app.imported(f'email,cf:f\na@example.com,{good}\nb@example.com,"{bad}"\n', spring)

    assert counts(activity) == [3, 2, 1, 0, 0]
    assert activity["activity_errors"] == ["Line 3: Invalid cf:f"]


def test_a_contact_has_at_most_25_custom_fields(app: Caller, spring: str) -> None:
    names = [app.cc.add_custom_field(f"f{number}") for number in range(26)]

    def row(used: list[str]) -> str:
        headings = ",".join(["email", *(f"cf:{name}" for name in used)])
        return f"{headings}\na@example.com{',x' * len(used)}\n"

    assert counts(app.imported(row(names), spring)) == [2, 1, 1, 0, 0]
    assert counts(app.imported(row(names[:25]), spring)) == [2, 1, 0, 0, 0]
    assert counts(app.imported(row(names[25:]), spring)) == [2, 1, 1, 0, 0]


def test_a_contact_is_on_at_most_50_lists(app: Caller, spring: str) -> None:
    others = [app.cc.add_list(f"List {number}") for number in range(50)]
    app.cc.add_contact("ana@example.com", lists=others)

    activity = app.imported(SPRING, spring)

    assert counts(activity) == [3, 2, 1, 0, 0]
    assert activity["activity_errors"] == ["Line 2: Contact is on too many lists"]
    assert app.cc.members(spring) == {"bo@example.net"}


def test_chosen_addresses_can_be_refused(app: Caller, spring: str) -> None:
    app.cc.refuse("Bo@example.net")

    assert counts(app.imported(SPRING, spring)) == [3, 2, 0, 1, 0]
    assert app.cc.members(spring) == {"ana@example.com"}


def test_errors_name_the_address_only_when_told_to(app: Caller, spring: str) -> None:
    app.cc.options.errors_name_address = True

    activity = app.imported("email\nnobody@nowhere\n", spring)

    assert activity["activity_errors"] == ["Line 2: Invalid email address (nobody@nowhere)"]


# What is dropped


def test_lines_past_40000_are_dropped_without_a_word(app: Caller, spring: str) -> None:
    rows = [f"p{number}@example.com" for number in range(40_001)]

    activity = app.imported("\n".join(["email", *rows]), spring)

    assert activity["state"] == "completed"
    assert activity["activity_errors"] == []
    assert counts(activity) == [40_000, 39_999, 0, 0, 0]
    assert app.cc.members(spring) == set(rows[:39_999])
    assert app.cc.imports[0].rows == 40_001


def test_a_line_break_inside_quotes_counts_as_a_line(app: Caller, spring: str) -> None:
    app.cc.options.max_lines = 4

    activity = app.imported(
        'email,last_name\na@example.com,"x\ny"\nb@example.com,"x\ny"\nc@example.com,z\n', spring
    )

    assert counts(activity) == [2, 1, 0, 0, 0]
    assert app.cc.members(spring) == {"a@example.com"}


def test_bytes_past_the_limit_are_dropped_without_a_word(app: Caller, spring: str) -> None:
    """The multipart framing counts, and the row cut in two is gone."""
    csv = "email\n" + "".join(f"p{number:03}@example.com\n" for number in range(100))
    request = app.upload(csv, spring).request
    framing = int(request.headers["Content-Length"]) - len(csv)

    app.cc.options.max_bytes = framing + 6 + 10 * 17 + 16
    assert counts(app.imported(csv, spring)) == [11, 10, 0, 0, 0]
    app.cc.options.keep_cut_row = True
    assert counts(app.imported(csv, spring)) == [12, 11, 0, 0, 0]
    app.cc.options.envelope_counts = False
    app.cc.options.max_bytes = 6 + 10 * 17
    assert counts(app.imported(csv, spring)) == [11, 10, 0, 0, 0]


def test_the_limit_is_four_million_bytes(app: Caller, spring: str) -> None:
    app.cc.add_custom_field("note")
    csv = "email,cf:note\n" + "".join(
        f"p{number:06}@example.com,{'x' * 229}\n" for number in range(20_000)
    )

    activity = app.imported(csv, spring)

    assert 15_990 <= activity["status"]["person_count"] < 16_000


@given(
    rows=st.lists(st.text(st.sampled_from('ab",\n'), min_size=1, max_size=6), max_size=12),
    max_bytes=st.integers(0, 120),
    max_lines=st.integers(1, 12),
)
def test_what_is_left_after_a_cut_is_the_first_whole_rows(
    rows: list[str], max_bytes: int, max_lines: int
) -> None:
    cells = [row.replace('"', '""') for row in rows]
    data = "".join(f'"{cell}"\n' for cell in ["email", *cells]).encode()

    kept = cut(data, max_lines=max_lines, max_bytes=max_bytes, keep_cut_row=False)

    header, taken = read_csv(kept)
    found = [*header, *(row[0] for row in taken)]
    assert data.startswith(kept)
    assert kept.count(b"\n") <= max_lines
    assert len(kept) <= max_bytes
    assert found == ["email", *rows][: len(found)]
    assert len(kept) == sum(len(f'"{cell}"\n') for cell in ["email", *cells][: len(found)])


# What the request must look like


def test_a_content_type_written_by_hand_is_unsupported(app: Caller, spring: str) -> None:
    for content_type in ("multipart/form-data", "text/csv", "application/json"):
        answer = app.call(
            "POST",
            "/activities/contacts_file_import",
            data=SPRING,
            headers={"Content-Type": content_type},
        )

        assert answer.status_code == 415
        assert isinstance(answer.json(), list)


@pytest.mark.parametrize("name", ["part-00001.txt", "part-00001", "part-00001.csv.gz"])
def test_a_file_not_named_csv_is_unsupported(app: Caller, spring: str, name: str) -> None:
    assert app.upload(SPRING, spring, name=name).status_code == 415


def test_list_ids_are_one_field_joined_by_commas(app: Caller, spring: str) -> None:
    autumn = app.cc.add_list("Autumn")

    answer = app.call(
        "POST",
        "/activities/contacts_file_import",
        files={"file": ("part.csv", SPRING, "text/csv")},
        data=[("list_ids", spring), ("list_ids", autumn)],
    )

    assert answer.status_code == 201
    assert len(app.cc.members(spring)) == 2
    assert app.cc.members(autumn) == set()


def test_one_to_fifty_lists_are_required(app: Caller, spring: str) -> None:
    lists = [app.cc.add_list(f"List {number}") for number in range(50)]

    assert app.upload(SPRING, *lists).status_code == 201
    assert app.upload(SPRING, *lists, spring).status_code == 400
    assert app.upload(SPRING).status_code == 400
    assert app.upload(SPRING, "12345").status_code == 400


def test_an_unknown_list_is_not_found_or_fails_the_activity(app: Caller, spring: str) -> None:
    app.cc.delete_list(spring)
    assert app.upload(SPRING, spring).status_code == 404

    app.cc.options.unknown_list = "fail"
    assert app.imported(SPRING, spring)["state"] == "failed"


def test_a_list_deleted_while_an_import_waits_fails_it(app: Caller, spring: str) -> None:
    app.cc.options.activity_seconds = 60
    answer = app.upload(SPRING, spring)
    app.cc.delete_list(spring)
    app.clock.advance(seconds=60)

    activity = app.activity(answer)
    assert activity["state"] == "failed"
    assert activity["activity_errors"] == ["A list does not exist."]


@pytest.mark.parametrize("csv", ["first_name\nAna\n", "\ufeffemail\nana@example.com\n", ""])
def test_a_file_without_an_email_column_is_refused(app: Caller, spring: str, csv: str) -> None:
    assert app.upload(csv.encode(), spring).status_code == 400


def test_sms_numbers_need_a_word_on_permission(app: Caller, spring: str) -> None:
    csv = "email,sms_number\na@example.com,617-555-0101\nb@example.com,+49 30 1234\n"

    assert app.upload(csv, spring).status_code == 400
    assert app.upload(csv, spring, sms_permission_to_send="explicit").status_code == 400
    activity = app.imported(csv, spring, sms_permission_to_send="not_set")
    assert counts(activity) == [3, 2, 1, 0, 0]


def test_what_arrived_is_on_record(app: Caller, spring: str) -> None:
    answer = app.upload(SPRING, spring, name="part-00003.csv")

    received = app.cc.imports[0]
    assert received.file_name == "part-00003.csv"
    assert received.list_ids == (spring,)
    assert (received.rows, received.bytes) == (2, len(SPRING))
    assert received.content.decode() == SPRING
    assert received.activity_id == answer.json()["activity_id"]


# As JSON


def test_people_can_be_imported_as_json(app: Caller, spring: str) -> None:
    app.cc.add_custom_field("tier")
    people = [
        {"email": "ana@example.com", "birthday_month": 11, "birthday_day": 24, "cf:tier": "gold"},
        {"email": "bo@example", "mobile_phone": "617-555-0101"},
        {"first_name": "Cy"},
    ]

    answer = app.post(
        "/activities/contacts_json_import", {"import_data": people, "list_ids": [spring]}
    )

    activity = app.activity(answer)
    ana = app.cc.contact("ana@example.com")
    assert answer.status_code == 201
    assert counts(activity) == [4, 3, 0, 2, 0]
    assert activity["activity_errors"] == [
        "Line 3: Invalid email address",
        "Line 4: Missing email address",
    ]
    assert ana is not None
    assert ana.values == {"birthday_month": "11", "birthday_day": "24", "cf:tier": "gold"}


@pytest.mark.parametrize(
    "people",
    [[], [{"email_address": {"address": "a@example.com"}}], ["a@example.com"], [{"name": "Ana"}]],
)
def test_json_of_another_shape_is_refused(app: Caller, spring: str, people: object) -> None:
    body = {"import_data": people, "list_ids": [spring]}

    assert app.post("/activities/contacts_json_import", body).status_code == 400


def test_json_past_the_limit_is_dropped_without_a_word(app: Caller, spring: str) -> None:
    app.cc.options.max_bytes = 1_000
    people = [{"email": f"p{number:03}@example.com"} for number in range(100)]
    body = {"import_data": people, "list_ids": [spring]}

    activity = app.activity(app.post("/activities/contacts_json_import", body))

    whole = (1_000 - len('{"import_data": [')) // len('{"email": "p000@example.com"}, ')
    assert activity["status"]["person_count"] == whole


# Fast enough to stay out of the way


def test_forty_thousand_rows_take_well_under_a_second_of_processor_time(
    app: Caller, spring: str
) -> None:
    csv = "email,first_name,last_name\n" + "".join(
        f"p{number}@example.com,Ana,Ruiz\n" for number in range(39_999)
    )
    began = time.process_time()

    activity = app.imported(csv, spring)

    assert activity["status"]["person_count"] == 39_999
    assert time.process_time() - began < 2
