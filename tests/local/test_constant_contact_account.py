"""Lists, contacts and custom fields of the Constant Contact stand-in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.local.caller import Caller, connected


@pytest.fixture
def app() -> Iterator[Caller]:
    with connected() as caller:
        yield caller


# Lists


def test_a_list_is_made_and_found_again(app: Caller) -> None:
    made = app.post("/contact_lists", {"name": "Spring", "description": "Renewals"})

    assert made.status_code == 201
    assert made.json() == {
        "list_id": made.json()["list_id"],
        "name": "Spring",
        "description": "Renewals",
        "favorite": False,
        "created_at": "2026-11-23T06:00:00Z",
        "updated_at": "2026-11-23T06:00:00Z",
    }
    assert app.get(f"/contact_lists/{made.json()['list_id']}").json() == made.json()


def test_list_names_are_unique_and_have_1_to_255_characters(app: Caller) -> None:
    app.cc.add_list("Spring")

    for name, status in {"Spring": 409, "spring": 409, "": 400, "x" * 256: 400, "y": 201}.items():
        assert app.post("/contact_lists", {"name": name}).status_code == status


def test_an_account_has_a_limited_number_of_lists(app: Caller) -> None:
    app.cc.options.lists_per_account = 1
    app.cc.add_list("Spring")

    assert app.post("/contact_lists", {"name": "Autumn"}).status_code == 400


def test_members_are_counted_only_on_request(app: Caller) -> None:
    spring = app.cc.add_list("Spring")
    for email in ("a@example.com", "b@example.com"):
        app.cc.add_contact(email, lists=[spring])
    app.cc.unsubscribe("b@example.com")
    path = f"/contact_lists/{spring}"

    assert "membership_count" not in app.get(path).json()
    assert app.get(path, include_membership_count="all").json()["membership_count"] == 2
    assert app.get(path, include_membership_count="active").json()["membership_count"] == 1
    listed = app.get("/contact_lists", include_membership_count="all").json()["lists"]
    assert listed[0]["membership_count"] == 2
    refused = app.get(path, include_membership_count="some")
    assert refused.status_code == 400
    assert refused.json() == [
        {
            "error_key": "contacts.api.validation.error",
            "error_message": "include_membership_count does not have a valid value",
        }
    ]


def test_an_opt_out_can_be_made_to_end_memberships(app: Caller) -> None:
    app.cc.options.unsubscribed_keep_lists = False
    spring = app.cc.add_list("Spring")
    app.cc.add_contact("a@example.com", lists=[spring])

    app.cc.unsubscribe("a@example.com")

    assert app.cc.members(spring) == set()


def test_lists_are_paged_by_relative_links(app: Caller) -> None:
    names = [f"List {number:02}" for number in range(55)]
    for name in names:
        app.cc.add_list(name)

    pages = list(app.pages("/contact_lists", include_count="true"))

    assert [len(page["lists"]) for page in pages] == [50, 5]
    assert [each["name"] for page in pages for each in page["lists"]] == names
    assert {page["lists_count"] for page in pages} == {55}
    assert app.get("/contact_lists", limit=500).status_code == 200
    assert app.get("/contact_lists", limit=501).status_code == 400


def test_a_list_is_found_by_its_full_name(app: Caller) -> None:
    app.cc.add_list("Spring")
    app.cc.add_list("Spring 2026")

    found = app.get("/contact_lists", name="Spring").json()["lists"]

    assert [each["name"] for each in found] == ["Spring"]


def test_a_list_is_changed(app: Caller) -> None:
    spring, other = app.cc.add_list("Spring"), app.cc.add_list("Other")
    app.cc.add_contact("a@example.com", lists=[spring])

    changed = app.call("PUT", f"/contact_lists/{spring}", json={"name": "Summer", "favorite": True})

    assert changed.status_code == 200
    assert (changed.json()["name"], changed.json()["favorite"]) == ("Summer", True)
    assert app.cc.members(spring) == {"a@example.com"}
    taken = app.call("PUT", f"/contact_lists/{other}", json={"name": "Summer"})
    assert taken.status_code == 409


def test_deleting_a_list_takes_an_activity(app: Caller) -> None:
    app.cc.options.activity_seconds = 60
    spring = app.cc.add_list("Spring")

    accepted = app.call("DELETE", f"/contact_lists/{spring}")

    assert accepted.status_code == 202
    assert accepted.headers["Location"] == f"/v3/activities/{accepted.json()['activity_id']}"
    assert app.get(f"/contact_lists/{spring}").status_code == 200
    app.clock.advance(seconds=60)
    assert app.get(f"/contact_lists/{spring}").status_code == 404
    deleted = app.get("/contact_lists", status="deleted").json()["lists"]
    assert [(each["list_id"], each["deleted_at"]) for each in deleted] == [
        (spring, "2026-11-23T06:01:00Z")
    ]
    assert app.post("/contact_lists", {"name": "Spring"}).status_code == 201


def test_old_list_numbers_are_translated(app: Caller) -> None:
    lists = {app.cc.list_number(key): key for key in map(app.cc.add_list, ("One", "Two"))}
    first, second = sorted(lists)

    answer = app.get("/contact_lists/list_id_xrefs", sequence_ids=f"{second},{first},7")

    assert answer.json() == {
        "xrefs": [
            {"sequence_id": str(number), "list_id": lists[number]} for number in (first, second)
        ]
    }
    too_many = ",".join(map(str, range(1, 502)))
    assert app.get("/contact_lists/list_id_xrefs", sequence_ids=too_many).status_code == 400
    assert app.get("/contact_lists/list_id_xrefs").status_code == 400


# Contacts


def test_contacts_are_paged_by_an_opaque_cursor(app: Caller) -> None:
    spring = app.cc.add_list("Spring")
    emails = [f"p{number}@example.com" for number in range(7)]
    for email in emails:
        app.cc.add_contact(email, lists=[spring])
    app.cc.add_contact("other@example.com")

    pages = list(app.pages("/contacts", lists=spring, limit=3, include_count="true"))

    found = [x["email_address"]["address"] for page in pages for x in page["contacts"]]
    assert found == emails
    assert [len(page["contacts"]) for page in pages] == [3, 3, 1]
    assert {page["contacts_count"] for page in pages} == {7}
    assert app.get("/contacts", limit=501).status_code == 400


def test_contacts_are_found_by_address_status_and_time(app: Caller) -> None:
    app.cc.add_contact("old@example.com")
    app.clock.advance(hours=1)
    app.cc.add_contact("new@example.com")
    app.cc.add_contact("out@example.com", permission="explicit")
    app.cc.unsubscribe("out@example.com")
    app.cc.add_contact("gone@example.com")
    app.cc.delete_contact("gone@example.com")

    def found(**params: str) -> set[str]:
        contacts = app.get("/contacts", **params).json()["contacts"]
        return {each["email_address"]["address"].partition("@")[0] for each in contacts}

    assert found() == {"old", "new", "out"}
    assert found(status="all") == {"old", "new", "out", "gone"}
    assert found(status="active") == {"old", "new"}
    assert found(status="unsubscribed") == {"out"}
    assert found(status="deleted") == {"gone"}
    assert found(email="OLD@example.com") == {"old"}
    assert found(created_after="2026-11-23T06:30:00Z") == {"new", "out"}
    assert found(updated_before="2026-11-23T06:30:00Z") == {"old"}
    assert found(optout_after="2026-11-23T06:30:00Z") == {"out"}
    assert app.get("/contacts", status="sleeping").status_code == 400
    assert app.get("/contacts", updated_after="yesterday").status_code == 400


def test_subresources_come_on_request(app: Caller) -> None:
    spring = app.cc.add_list("Spring")
    app.cc.add_custom_field("tier")
    contact_id = app.cc.add_contact(
        "ana@example.com",
        lists=[spring],
        values={"first_name": "Ana", "phone": "1", "city": "Bonn", "cf:tier": "gold"},
    )
    path = f"/contacts/{contact_id}"

    bare = app.get(path).json()
    full = app.get(
        path, include="custom_fields,list_memberships,phone_numbers,street_addresses"
    ).json()

    assert bare["first_name"] == "Ana"
    assert bare["email_address"]["permission_to_send"] == "implicit"
    assert full.keys() - bare.keys() == {
        "custom_fields",
        "list_memberships",
        "phone_numbers",
        "street_addresses",
    }
    assert full["custom_fields"][0]["value"] == "gold"
    assert full["list_memberships"] == [spring]
    assert full["phone_numbers"] == [{"phone_number": "1", "kind": "other"}]
    assert full["street_addresses"] == [{"kind": "home", "city": "Bonn"}]
    assert app.get(path, include="secrets").status_code == 400
    assert app.get("/contacts/00000000-0000-0000-0000-000000000000").status_code == 404


def test_a_contact_is_created_once(app: Caller) -> None:
    body = {"email_address": {"address": "Ana@example.com"}, "create_source": "Account"}

    made = app.post("/contacts", body)
    again = app.post("/contacts", body)

    contact_id = made.json()["contact_id"]
    assert made.status_code == 201
    assert again.status_code == 409
    assert again.json() == [
        {
            "error_key": "contacts.api.conflict",
            "error_message": f"Email already exists for contact {contact_id}",
        }
    ]
    assert app.post("/contacts", body | {"create_source": None}).status_code == 400
    app.cc.delete_contact("ana@example.com")
    assert app.post("/contacts", body).status_code == 409


def test_a_put_replaces_core_fields_keeps_subresources_and_revives(app: Caller) -> None:
    spring = app.cc.add_list("Spring")
    contact_id = app.cc.add_contact(
        "ana@example.com", lists=[spring], values={"first_name": "Ana", "city": "Bonn"}
    )
    app.cc.delete_contact("ana@example.com")
    body = {"email_address": {"address": "ana@example.com"}, "last_name": "Ruiz"}

    refused = app.call("PUT", f"/contacts/{contact_id}", json=body)
    changed = app.call("PUT", f"/contacts/{contact_id}", json=body | {"update_source": "Account"})

    ana = app.cc.contact("ana@example.com")
    assert (refused.status_code, changed.status_code) == (400, 200)
    assert ana is not None
    assert ana.values == {"last_name": "Ruiz", "city": "Bonn"}
    assert ana.deleted_at is None


def test_a_put_that_says_nothing_of_permission_leaves_an_opt_out_alone(app: Caller) -> None:
    contact_id = app.cc.add_contact("ana@example.com")
    app.cc.unsubscribe("ana@example.com")
    body = {"email_address": {"address": "Ana@example.org"}, "update_source": "Account"}

    assert app.call("PUT", f"/contacts/{contact_id}", json=body).status_code == 200

    ana = app.cc.contact("ana@example.org")
    assert ana is not None
    assert (ana.email, ana.permission) == ("Ana@example.org", "unsubscribed")
    assert app.cc.contact("ana@example.com") is None


def test_a_deleted_contact_is_off_its_lists_and_on_record(app: Caller) -> None:
    spring = app.cc.add_list("Spring")
    contact_id = app.cc.add_contact("ana@example.com", lists=[spring])

    assert app.call("DELETE", f"/contacts/{contact_id}").status_code == 204

    assert app.cc.members(spring) == set()
    assert "deleted_at" in app.get(f"/contacts/{contact_id}").json()


def test_counts_go_by_consent(app: Caller) -> None:
    for number, permission in enumerate(
        ["explicit", "implicit", "implicit", "pending_confirmation", "unsubscribed"]
    ):
        app.cc.add_contact(f"p{number}@example.com", permission=permission)

    assert app.get("/contacts/counts").json() == {
        "total": 5,
        "explicit": 1,
        "implicit": 2,
        "pending": 1,
        "unsubscribed": 1,
    }


def test_there_is_no_sign_up_form_to_misuse(app: Caller) -> None:
    assert app.post("/contacts/sign_up_form", {}).status_code == 404


# Custom fields


def test_the_name_of_a_field_is_derived_from_its_label(app: Caller) -> None:
    made = app.post(
        "/contact_custom_fields", {"label": "Vehicle make and model year", "type": "string"}
    )

    assert made.status_code == 201
    assert made.json()["name"] == "Vehicle_make_and_model_year"
    found = app.get(f"/contact_custom_fields/{made.json()['custom_field_id']}")
    assert found.json() == made.json()


def test_faulty_fields_are_refused(app: Caller) -> None:
    app.cc.add_custom_field("Tier")

    for body, status in [
        ({"label": "Tier", "type": "string"}, 409),
        ({"label": "x" * 51, "type": "string"}, 400),
        ({"label": "y", "type": "colour"}, 400),
        ({"label": "z", "type": "single_select"}, 400),
        ({"label": "z", "type": "single_select", "choices": [{"choice_label": "a"}]}, 201),
    ]:
        assert app.post("/contact_custom_fields", body).status_code == status


def test_there_are_at_most_100_fields_and_they_are_paged(app: Caller) -> None:
    for number in range(100):
        app.cc.add_custom_field(f"f{number}")

    assert app.post("/contact_custom_fields", {"label": "g", "type": "string"}).status_code == 400
    pages = list(app.pages("/contact_custom_fields"))
    assert [len(page["custom_fields"]) for page in pages] == [50, 50]
    assert len(app.get("/contact_custom_fields", limit=100).json()["custom_fields"]) == 100
    assert app.get("/contact_custom_fields", limit=101).status_code == 400


# Requests


def test_what_is_not_json_is_refused(app: Caller) -> None:
    broken = app.call(
        "POST", "/contact_lists", data="{", headers={"Content-Type": "application/json"}
    )
    form = app.call("POST", "/contact_lists", data={"name": "Spring"})

    assert (broken.status_code, form.status_code) == (400, 415)


def test_what_does_not_exist_is_not_found(app: Caller) -> None:
    for path in ("/nothing", "/contact_lists/00000000-0000-0000-0000-000000000000"):
        answer = app.get(path)

        assert answer.status_code == 404
        assert isinstance(answer.json(), list)
