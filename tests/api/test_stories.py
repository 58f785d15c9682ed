"""What callers of the API rely on, from saving an export to reading its runs."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
import requests

from functions.runs import MAX_PLAIN_BYTES
from shared.errors import ServiceUnavailable
from shared.ids import new_run_id
from shared.runs import Audit, RunState
from tests.api.service import (
    ADMINISTRATOR,
    CONTRIBUTOR,
    VIEWER,
    Headers,
    Service,
    fields_of,
    principal_headers,
    problem_of,
    texts_of,
)
from tests.documents import a_run


def _connection(service: Service, name: str, *usable_by: str) -> str:
    """Make and connect a connection; return its id."""
    connection_id = name[:40].strip("-")
    body = {
        "id": connection_id,
        "display_name": name,
        "usable_by": list(usable_by),
        "consent": {"accepted": True},
    }
    answer = service.call("POST", "/api/connections", json=body)
    assert answer.status_code == 201, answer.text
    service.app.reconnect(connection_id)
    return connection_id


def _contributors_may_use_main(service: Service) -> None:
    change = {"usable_by": ["Administrator", "Contributor"]}
    assert service.call("PATCH", "/api/connections/main", json=change).status_code == 200


def _held(service: Service, name: str, who: Headers) -> str:
    """Start a run that will be held, carry it there, and return its path."""
    path = f"/api/exports/{name}/runs"
    started = service.call("POST", path, who, json={"hold": True})
    assert started.status_code == 202, started.text
    service.app.drain()
    location: str = started.headers["Location"]
    assert service.call("GET", location).json()["state"] == "held"
    return location


def test_a_save_says_everything_that_is_wrong(service: Service, name: str) -> None:
    answer = service.call(
        "POST",
        "/api/exports",
        json={
            "id": name,
            "display_name": "",
            "connection_id": "main",
            "segments": [
                {"name": "Spring", "list_ids": ["00000000-0000-0000-0000-000000000000"]},
                {"name": "Autumn", "list_ids": [service.list_id]},
            ],
            "exclude_segments": ["Winter"],
            "mapping": {"email": "Nowhere", "cf:nobody": "City"},
            "schedule": "now and then",
            "time_zone": "Mars/Olympus",
            "surprise": 1,
        },
    )

    assert answer.status_code == 422
    assert fields_of(answer) == {
        "display_name",
        "segments.0.list_ids",
        "segments.1.name",
        "exclude_segments.0",
        "mapping.email",
        "mapping.cf:nobody",
        "schedule",
        "time_zone",
        "surprise",
    }
    assert service.call("GET", f"/api/exports/{name}").status_code == 404


def test_a_connection_says_everything_that_is_wrong(service: Service) -> None:
    body = {"display_name": "", "id": "NOT A SLUG", "usable_by": ["Everyone"]}

    assert fields_of(service.call("POST", "/api/connections", json=body)) == {
        "display_name",
        "id",
        "usable_by.0",
        "consent",
    }


def test_who_else_mirrors_a_list_is_left_to_the_save(
    service: Service, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check is asked for while somebody types: it reads no other export."""
    service.create_export(name, mode="mirror")
    second = service.order(f"{name[:50]}-2", mode="mirror")

    with monkeypatch.context() as patch:
        patch.setattr(service.product().exports, "all", None)
        checked = service.call("POST", "/api/exports/check", json=second)
    saved = service.call("POST", "/api/exports", json=second)

    assert checked.json() == {"errors": []}
    assert {error["code"] for error in problem_of(saved)["errors"]} == {"mirrored_twice"}
    service.call("DELETE", f"/api/exports/{name}")


def test_blanks_around_a_name_are_no_part_of_it(service: Service, name: str) -> None:
    service.create_export(name, display_name="  Spring renewals ")
    etag = service.call("GET", f"/api/exports/{name}").headers["ETag"]
    connection = {"display_name": " ", "consent": {"accepted": True}}
    order = service.order(name, display_name="\t ")
    refused = service.call("PUT", f"/api/exports/{name}", json=order, headers={"If-Match": etag})

    assert service.call("GET", f"/api/exports/{name}").json()["display_name"] == "Spring renewals"
    assert fields_of(refused) == {"display_name"}
    assert fields_of(service.call("POST", "/api/connections", json=connection)) == {"display_name"}
    assert fields_of(
        service.call("PATCH", "/api/connections/main", json={"display_name": "  "})
    ) == {"display_name"}


def test_a_change_needs_the_version_it_changes(service: Service, name: str) -> None:
    service.create_export(name)
    path = f"/api/exports/{name}"
    read = service.call("GET", path)
    changed = {**read.json(), "display_name": "Changed"}

    without = service.call("PUT", path, json=changed)
    of_any = service.call("PUT", path, json=changed, headers={"If-Match": "*"})
    good = service.call("PUT", path, json=changed, headers={"If-Match": read.headers["ETag"]})
    stale = service.call("PUT", path, json=changed, headers={"If-Match": read.headers["ETag"]})

    assert (without.status_code, of_any.status_code) == (428, 428)
    assert good.status_code == 200
    assert good.headers["ETag"] != read.headers["ETag"]
    assert stale.status_code == 412
    assert "Retry-After" not in stale.headers
    assert service.call("GET", path).headers["ETag"] == good.headers["ETag"]


def test_a_deletion_may_name_the_version_it_deletes(service: Service, name: str) -> None:
    service.create_export(name)
    path = f"/api/exports/{name}"
    etag = service.call("GET", path).headers["ETag"]

    assert service.call("DELETE", path, headers={"If-Match": '"0x1"'}).status_code == 412
    assert service.call("DELETE", path, headers={"If-Match": etag}).status_code == 204
    assert service.call("GET", path).status_code == 404


def test_the_path_says_which_export_is_replaced(service: Service, name: str) -> None:
    service.create_export(name)
    etag = service.call("GET", f"/api/exports/{name}").headers["ETag"]
    service.call(
        "PUT",
        f"/api/exports/{name}",
        json=service.order("another-id"),
        headers={"If-Match": etag},
    )

    assert service.call("GET", "/api/exports/another-id").status_code == 404


def test_an_id_that_is_taken_is_a_conflict_with_its_location(service: Service, name: str) -> None:
    service.create_export(name)
    again = service.call("POST", "/api/exports", json=service.order(name))

    assert again.status_code == 409
    assert problem_of(again)["location"] == f"/api/exports/{name}"


def test_what_the_app_writes_a_caller_cannot(service: Service, name: str) -> None:
    service.create_export(name, updated_by="somebody else", disabled_reason="connection_removed")
    export = service.call("GET", f"/api/exports/{name}").json()

    assert export["updated_by"] == "ada@contoso.example"
    assert export["disabled_reason"] is None


def test_a_run_is_accepted_with_its_place_and_when_to_look(service: Service, name: str) -> None:
    service.create_export(name)
    started = service.call("POST", f"/api/exports/{name}/runs")
    location = started.headers["Location"]

    assert started.status_code == 202
    assert location == f"/api/runs/{name}/{started.json()['id']}"
    assert int(started.headers["Retry-After"]) > 0
    assert int(service.call("GET", location, VIEWER).headers["Retry-After"]) > 0

    service.app.drain()
    ended = service.call("GET", location, VIEWER)

    assert ended.json()["state"] == "completed"
    assert "Retry-After" not in ended.headers


def test_a_second_run_is_refused_with_the_place_of_the_first(service: Service, name: str) -> None:
    service.create_export(name)
    location = _held(service, name, ADMINISTRATOR)
    second = service.call("POST", f"/api/exports/{name}/runs")

    assert second.status_code == 409
    assert second.headers["Location"] == problem_of(second)["location"] == location
    assert service.call("DELETE", f"/api/exports/{name}").status_code == 409


def test_only_a_held_run_is_approved_and_only_one_that_goes_on_cancelled(
    service: Service, name: str
) -> None:
    service.create_export(name)
    location = _held(service, name, ADMINISTRATOR)

    assert service.call("POST", f"{location}/approve").status_code == 202
    assert service.call("POST", f"{location}/approve").status_code == 409
    service.app.drain()
    assert service.call("POST", f"{location}/cancel").status_code == 409


def test_120_runs_are_three_pages_newest_first(service: Service, name: str) -> None:
    service.create_export(name)
    begin = datetime(2026, 11, 1, tzinfo=UTC)
    ids = []
    for hour in range(120):
        at = begin + timedelta(hours=hour)
        run = a_run(id=new_run_id(at), export_id=name, state=RunState.COMPLETED, created_at=at)
        service.app.product.ledger.runs.create(run.key, run)
        ids.append(run.id)

    pages = []
    path = f"/api/exports/{name}/runs"
    while path:
        page = service.call("GET", path, VIEWER).json()
        pages.append([run["id"] for run in page["items"]])
        path = page["next"]

    assert [len(page) for page in pages] == [50, 50, 20]
    assert [run_id for page in pages for run_id in page] == ids[::-1]


def test_rejects_are_a_file_with_values_masked(service: Service, name: str) -> None:
    service.app.put_segment("Rejects", [("not an address", "Ann", "Bonn"), ("a@b.example", "", "")])
    service.create_export(
        name, segments=[{"name": "Rejects", "list_ids": [service.list_id], "format": {}}]
    )
    location = _held(service, name, ADMINISTRATOR)
    rejects = service.call("GET", f"{location}/rejects")

    assert rejects.headers["Content-Type"].startswith("text/csv")
    assert rejects.headers["Content-Disposition"].startswith("attachment")
    assert rejects.headers["Cache-Control"] == "no-store"
    assert len(rejects.text.splitlines()) == 2
    assert "not an address" not in rejects.text


def test_rejects_come_packed_or_the_first_of_them_or_not_at_all_if_they_are_too_many(
    service: Service, name: str
) -> None:
    """A million of them are 117 MB, which a function would have to hold to answer them."""
    service.create_export(name)
    location = _held(service, name, ADMINISTRATOR)
    key = location.removeprefix("/api/runs/")
    header = b"segment,file,row,field,reason,value\r\n"
    row = b"Spring,Spring.csv,7,email,email_invalid,x***\r\n"
    rejects = header + row * (MAX_PLAIN_BYTES // len(row) + 1)
    service.app.container.upload_blob(f"runs/{key}/rejects.csv", rejects, overwrite=True)
    plain = {"Accept-Encoding": "identity"}

    packed = service.call("GET", f"{location}/rejects", headers={"Accept-Encoding": "gzip"})
    first = service.call("GET", f"{location}/rejects?first=3", headers=plain)
    refused = service.call("GET", f"{location}/rejects", headers=plain)
    service.call("POST", f"{location}/cancel")
    service.app.drain()

    assert packed.headers["Content-Encoding"] == "gzip"
    assert int(packed.headers["Content-Length"]) < len(rejects) // 10
    assert packed.content == rejects
    assert first.content == header + row * 3
    assert problem_of(refused)["status"] == 406
    assert f"runs/{key}/rejects.csv" in problem_of(refused)["action"]


def test_a_connection_of_administrators_is_used_by_administrators_only(
    service: Service, name: str
) -> None:
    connection = _connection(service, name)
    order = service.order(name, connection_id=connection)
    theirs = service.order(f"{name[:50]}-theirs", connection_id=connection)

    assert service.call("POST", "/api/exports", CONTRIBUTOR, json=theirs).status_code == 403
    assert service.call("POST", "/api/exports/check", CONTRIBUTOR, json=theirs).status_code == 403
    created = service.call("POST", "/api/exports", json=order)
    assert created.status_code == 201
    etag = {"If-Match": created.headers["ETag"]}
    path = f"/api/exports/{name}"
    for method, where, body in (
        ("POST", f"{path}/runs", {}),
        ("PUT", path, order),
        ("PUT", path, {**order, "connection_id": "main"}),  # nor is it taken away from them
        ("PUT", path, {**order, "enabled": False}),
        ("DELETE", path, None),
        ("GET", f"/api/connections/{connection}/lists", None),
        ("GET", f"/api/connections/{connection}/fields", None),
    ):
        answer = service.call(method, where, CONTRIBUTOR, json=body, headers=etag)
        assert answer.status_code == 403, (method, where)

    service.call(
        "PATCH", f"/api/connections/{connection}", json={"usable_by": ["Contributor", "Viewer"]}
    )

    assert service.call("POST", f"{path}/runs", CONTRIBUTOR, json={}).status_code == 202
    assert service.call("POST", f"{path}/runs", VIEWER, json={}).status_code == 403
    service.app.drain()


def test_a_held_run_of_a_connection_for_administrators_is_approved_by_one(
    service: Service, name: str
) -> None:
    connection = _connection(service, name)
    service.create_export(name, connection_id=connection)
    location = _held(service, name, ADMINISTRATOR)

    assert service.call("POST", f"{location}/approve", CONTRIBUTOR).status_code == 403
    assert service.call("POST", f"{location}/approve", ADMINISTRATOR).status_code == 202
    service.app.drain()


def test_two_people_are_two_people(service: Service, name: str) -> None:
    """Not two names, nor two roles, of one."""
    _contributors_may_use_main(service)
    service.create_export(name, two_people=True)
    location = _held(service, name, CONTRIBUTOR)
    renamed = {**CONTRIBUTOR, "X-MS-CLIENT-PRINCIPAL-NAME": "another name"}
    promoted = principal_headers("Administrator", who="carla")

    for same in (CONTRIBUTOR, renamed, promoted):
        assert service.call("POST", f"{location}/approve", same).status_code == 403
    assert service.call("POST", f"{location}/approve", ADMINISTRATOR).status_code == 202
    service.app.drain()


def test_an_export_is_switched_off_even_when_nothing_else_is_right(
    service: Service, name: str
) -> None:
    connection = _connection(service, name)
    service.create_export(name, connection_id=connection)
    path = f"/api/exports/{name}"
    service.call("DELETE", f"/api/connections/{connection}")
    _connection(service, name)
    service.app.product.connections.require_person(connection, "revoked", "Gone.", "Connect.")
    read = service.call("GET", path)
    order, etag = service.order(name, connection_id=connection), {"If-Match": read.headers["ETag"]}

    assert read.json()["enabled"] is False
    assert read.json()["disabled_reason"] == "connection_removed"
    assert service.call("PUT", path, json=order, headers=etag).status_code == 422
    off = service.call("PUT", path, json={**order, "enabled": False}, headers=etag)
    assert off.status_code == 200, off.text


def _events(caplog: pytest.LogCaptureFixture) -> dict[str, dict[str, object]]:
    """Return the audit events so far by what they say happened."""
    return {
        vars(record)["what"]: vars(record)
        for record in caplog.records
        if vars(record).get("event") == "audit"
    }


def test_every_change_leaves_who_and_what_before_and_after(
    service: Service, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "events")
    connection = _connection(service, name, "Contributor")
    at = f"/api/connections/{connection}"
    service.call("PATCH", at, json={"display_name": "Renamed"})
    begun = service.call("POST", f"{at}/authorize", json={})
    service.create_export(name, connection_id=connection)
    path = f"/api/exports/{name}"
    order = service.order(name, connection_id=connection, two_people=True, only_changes=False)
    etag = service.call("GET", path).headers["ETag"]
    service.call("PUT", path, json=order, headers={"If-Match": etag})
    location = _held(service, name, CONTRIBUTOR)
    service.call("POST", f"{location}/approve")
    service.app.drain()
    location = _held(service, name, ADMINISTRATOR)
    service.call("POST", f"{location}/cancel")
    service.app.drain()
    service.call("DELETE", at)
    service.call("DELETE", path)

    assert begun.status_code == 200
    events = _events(caplog)
    assert set(events) == {
        "connection_created",
        "connection_changed",
        "authorization_begun",
        "connection_connected",
        "connection_removed",
        "export_created",
        "export_replaced",
        "export_disabled",
        "export_deleted",
        "run_started",
        "run_approved",
        "run_cancelled",
    }
    assert events["run_approved"]["who"] == "id-of-ada"
    assert json.loads(str(events["connection_changed"]["before"])) == {"display_name": name}
    assert json.loads(str(events["connection_changed"]["after"])) == {"display_name": "Renamed"}
    assert json.loads(str(events["export_replaced"]["before"])) == {
        "only_changes": True,
        "two_people": False,
    }
    assert json.loads(str(events["export_replaced"]["after"])) == {
        "only_changes": False,
        "two_people": True,
    }
    assert json.loads(str(events["authorization_begun"]["after"])) == {"replace_account": False}
    assert events["export_deleted"].get("after") is None
    assert all(event.get("export_id") or event.get("connection_id") for event in events.values())


def test_no_record_names_a_person(
    service: Service, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the one who asks, nor anyone in a segment, nor what opens the account."""
    caplog.set_level("INFO")
    service.create_export(name)
    location = _held(service, name, ADMINISTRATOR)
    service.call("POST", f"{location}/approve")
    service.app.drain()
    service.call("GET", f"{location}/rejects")
    text = texts_of(caplog.records)

    assert "run_started" in text
    for personal in ("contoso.example", "example.com", "First0", "stand-in-secret"):
        assert personal not in text


def test_a_removal_that_was_cut_off_can_be_asked_for_again(
    service: Service, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = _connection(service, name)
    service.create_export(name, connection_id=connection)
    at = f"/api/connections/{connection}"

    def unavailable(secret: str) -> None:
        raise ServiceUnavailable("Azure's Key Vault answered 503.")

    with monkeypatch.context() as patch:
        patch.setattr(service.product().secrets, "delete", unavailable)
        statuses = [service.call("DELETE", at).status_code]
    statuses += [service.call("DELETE", at).status_code for _ in range(2)]

    assert statuses == [503, 204, 404]
    assert service.call("GET", f"/api/exports/{name}").json()["enabled"] is False


def test_connecting_ends_in_the_browser_it_was_begun_in(service: Service, name: str) -> None:
    """Somebody's consent cannot be drawn into a connection of who sent them the address."""
    connection = _connection(service, name)
    begun = service.call("POST", f"/api/connections/{connection}/authorize", json={})
    url = begun.json()["authorization_url"]
    back = requests.get(url, allow_redirects=False, timeout=10).headers["Location"]
    callback = f"/api/oauth/callback?{urlsplit(back).query}"
    cookie, *attributes = begun.headers["Set-Cookie"].split("; ")

    elsewhere = service.call("GET", callback, {})
    here = service.call("GET", callback, {}, headers={"Cookie": f"other=1; {cookie}"})

    assert set(attributes) == {"HttpOnly", "Secure", "SameSite=Lax", "Path=/api/oauth/callback"}
    assert elsewhere.status_code == 400
    assert here.status_code == 302
    assert here.headers["Location"] == f"/console/?connected={connection}"


def test_cancelling_twice_is_noted_once(
    service: Service, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "events")
    service.create_export(name)
    location = _held(service, name, ADMINISTRATOR)
    caplog.clear()

    assert service.call("POST", f"{location}/cancel", CONTRIBUTOR).status_code == 202
    assert service.call("POST", f"{location}/cancel").status_code == 202
    service.app.drain()

    audits = [vars(r) for r in caplog.records if vars(r).get("what") == "run_cancelled"]
    assert [(event["who"], event["before"]) for event in audits] == [
        ("id-of-carla", '{"cancel_requested": false}')
    ]


def test_what_nobody_foresaw_is_a_problem_too_and_logged_without_what_it_says(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sent = "@".join(("ana", "example.com"))  # the traceback has lines of code, also of this one

    def fail(budget: object) -> None:
        raise KeyError(sent)

    with monkeypatch.context() as patch:
        patch.setattr(type(service.product().budget), "today", fail)
        answer = service.call("GET", "/api/session")

    assert answer.status_code == 500
    assert problem_of(answer)["code"] == "error"
    assert "read_session failed with KeyError" in caplog.text
    assert "in read_session" in caplog.text
    assert sent not in answer.text + texts_of(caplog.records)


def test_who_did_what_is_in_the_run_for_those_who_read_it(service: Service, name: str) -> None:
    service.create_export(name)
    location = _held(service, name, ADMINISTRATOR)
    service.call("POST", f"{location}/cancel")
    service.app.drain()
    audit = [Audit.model_validate(entry) for entry in service.call("GET", location).json()["audit"]]

    assert [(entry.what, entry.who) for entry in audit] == [
        ("started", "id-of-ada"),
        ("cancelled", "id-of-ada"),
    ]


def test_a_document_that_cannot_be_read_is_named_and_keeps_no_list_from_anybody(
    service: Service, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    service.create_export(name)
    path = "exports/damaged.json"
    service.app.container.upload_blob(path, b'{"display_name": "Ana Ono"}')
    answers = {
        at: service.call("GET", at, VIEWER)
        for at in ("/api/exports", "/api/overview", "/api/exports/damaged")
    }
    service.app.container.delete_blob(path)

    for at in ("/api/exports", "/api/overview"):
        assert answers[at].status_code == 200, answers[at].text
        ids = [item["id"] for item in answers[at].json()["items"]]
        assert name in ids
        assert "damaged" not in ids
    told = problem_of(answers["/api/exports/damaged"])
    assert (told["status"], told["code"]) == (500, "document_unreadable")
    assert path in told["detail"]
    assert path in caplog.text
    assert "Ana" not in caplog.text + answers["/api/exports/damaged"].text
