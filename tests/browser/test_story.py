"""From nothing to an exported segment, and what happens on bad days: as people live it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from local.segments import Segment
from tests.browser.conftest import App, Open
from tests.browser.console import Console

LIST = "Spring renewals"


def connect(console: Console, name: str) -> None:
    """Make a connection and consent to it at Constant Contact."""
    console.click("connections.new")
    console.page.get_by_label(console.t("connection.name")).fill(name)
    console.page.get_by_label(console.t("connection.consent.accept")).check()
    console.shoot("connection-form")
    console.click("connection.create")
    console.page.get_by_role("button", name="Allow").click()
    console.sees(console.t("connected.done"))


def set_up(console: Console, segment: str) -> None:
    """Fill in the form of an export, with the keyboard where something is searched."""
    number = console.t("form.segment.number", n=1)
    console.choose(number, segment)
    expect(console.page.locator("[data-field=first_name] select")).to_have_value("FirstName")
    console.choose(console.t("form.lists.of", place=number), LIST)


@pytest.mark.parametrize("language", ["en", "id"])
def test_from_empty_to_exported(app: App, open_console: Open, language: str) -> None:
    """Nothing is set up; in the end the list holds exactly those whom the preview announced."""
    segment = app.upload(Segment(rows=1500, partitions=3))
    list_id = app.constant_contact.add_list(LIST)
    app.constant_contact.add_custom_field("Loyalty tier")
    refused = min(segment.addresses())
    app.constant_contact.refuse(refused)
    console = open_console(app, language)

    console.go()
    console.sees(console.t("home.step.1"))
    console.shoot("home-empty")
    console.click("home.step.1.do")
    connect(console, "Main account")
    console.shoot("connections")
    console.go()
    console.click("home.step.2.do")
    console.settled()
    set_up(console, segment.name)
    expect(console.page.locator("[data-path=display_name] input")).to_have_value("Spring Renewals")
    console.shoot("export-form")
    console.click("form.save_and_preview")
    console.await_state("held")
    expected = segment.expected
    labels = console.page.locator(".flow-label")
    staged = len(segment.addresses())
    expect(labels.filter(has_text=console.t("count.missing_email"))).to_contain_text(
        str(expected.missing_email)
    )
    expect(labels.filter(has_text=console.t("count.duplicate"))).to_contain_text(
        str(expected.duplicate)
    )
    assert digits(labels.filter(has_text=console.t("count.staged")).inner_text()) == staged
    assert not app.constant_contact.members(list_id)
    console.shoot("run-held")
    console.click("run.approve")
    console.answer("run.approve")
    console.await_state("completed")
    expect(labels.filter(has_text=console.t("count.refused"))).to_contain_text("1")
    expect(console.page.locator(".lists")).to_contain_text(LIST)
    expect(console.page.locator(".batches")).to_contain_text(LIST)
    assert digits(labels.filter(has_text=console.t("count.accepted")).inner_text()) == staged - 1
    rows = console.page.locator("section[aria-labelledby=rejects] tbody tr")
    expect(rows.filter(has_text=console.t("reason.email_missing")).first).to_be_visible()
    with console.page.expect_download() as download:
        console.click("rejects.download")
    lines = download.value.path().read_text("utf-8").splitlines()
    console.shoot("run-completed")

    losses = expected.missing_email + expected.invalid + expected.duplicate
    assert len(lines) == 1 + losses + 1
    assert app.constant_contact.members(list_id) == segment.addresses() - {refused}
    console.check_manners(app.constant_contact.url)


@pytest.mark.parametrize("language", ["en", "id"])
def test_a_withdrawn_consent_asks_for_a_person_and_is_given_again(
    app: App, open_console: Open, language: str
) -> None:
    """A run that fails for want of consent says so; connected again, it goes through."""
    app.upload(Segment(rows=300, partitions=1))
    list_id = app.constant_contact.add_list(LIST)
    export = save_export(app, app.connect(), list_id)
    console = open_console(app, language)
    console.go(f"exports/{export}")
    expect(console.page.locator(".targets .list")).to_have_text(LIST)
    app.constant_contact.revoke()  # once nothing but the run will find out
    console.click("export.run")
    console.answer("export.run")
    console.await_state("failed")
    console.shoot("run-failed")
    (run,) = app.call("GET", f"/api/exports/{export}/runs")["items"]
    console.sees(console.texts.get("action.reconnect_required", run["error"]["action"]))
    console.go()
    console.sees(console.t("matter.reconnect", name="Main account"))
    console.shoot("home-needs")
    console.click("connection.reconnect")
    console.settled()
    console.click("connection.reconnect")
    console.page.get_by_role("button", name="Allow").click()
    console.sees(console.t("connected.done"))
    console.go(f"exports/{export}")
    console.click("export.run")
    console.answer("export.run")
    console.await_state("completed")

    assert app.constant_contact.members(list_id)
    console.check_manners(app.constant_contact.url)


def test_somebody_who_says_no_at_constant_contact_comes_back_to_a_sentence(
    app: App, open_console: Open
) -> None:
    console = open_console(app)
    console.go("connections")
    console.click("connections.new")
    console.page.get_by_label(console.t("connection.name")).fill("Main account")
    console.click("connection.create")
    console.sees(console.t("fault.consent.consent_required"))
    console.page.get_by_label(console.t("connection.consent.accept")).check()
    console.click("connection.create")
    console.page.get_by_role("button", name="Deny").click()

    console.sees(console.t("connected.consent_denied"))
    console.sees(console.t("connection.state.new"))


@pytest.mark.parametrize("language", ["en", "id"])
def test_a_run_that_looks_wrong_waits_and_is_approved(
    app: App, open_console: Open, language: str
) -> None:
    """A segment that lost most of its people is not sent before somebody agrees."""
    app.upload(Segment(rows=900, partitions=1))
    list_id = app.constant_contact.add_list(LIST)
    export = save_export(app, app.connect(), list_id)
    console = open_console(app, language)
    run_to(console, export, "completed")
    app.upload(Segment(rows=200, partitions=1, revision=1))
    run_to(console, export, "held")
    console.sees(console.t("run.lead.guarded"))
    console.go()
    console.sees(console.t("matter.held", name="Spring renewals"))
    console.click("matter.held.do")
    console.settled()
    console.shoot("run-guarded")
    console.click("run.approve")
    console.answer("run.approve")
    console.await_state("completed")
    console.go(f"exports/{export}")
    console.shoot("export-history")

    expect(console.page.locator(".chart .bar")).to_have_count(2)
    console.check_manners(app.constant_contact.url)


def test_a_preview_that_does_not_start_is_started_again_from_the_saved_export(
    app: App, open_console: Open
) -> None:
    """What was saved is not saved again, neither as another export nor over itself."""
    segment = app.upload(Segment(rows=50, partitions=1))
    app.constant_contact.add_list(LIST)
    app.connect()
    console = open_console(app)
    outage = {"code": "service_unavailable", "detail": "Storage does not answer."}
    console.page.route(
        "**/api/exports/*/runs", lambda route: route.fulfill(status=503, json=outage), times=1
    )
    console.go("exports/_new")
    set_up(console, segment.name)
    console.click("form.save_and_preview")
    console.sees("Storage does not answer.")
    expect(console.page.locator("h1")).to_have_text("Spring Renewals")
    console.click("export.preview")
    console.await_state("held")

    assert len(app.call("GET", "/api/exports")["items"]) == 1


def save_export(app: App, connection: str, list_id: str) -> str:
    """Save an export of the generated segment; return its id."""
    body = {
        "display_name": "Spring renewals",
        "connection_id": connection,
        "segments": [{"name": Segment.name, "list_ids": [list_id]}],
        "mapping": {"email": "EMailAddress1", "first_name": "FirstName"},
        "schedule": "manual",
        "only_changes": False,
    }
    return str(app.call("POST", "/api/exports", body)["id"])


def run_to(console: Console, export: str, state: str) -> None:
    """Run an export and wait until it stands so."""
    console.go(f"exports/{export}")
    console.click("export.run")
    console.answer("export.run")
    console.await_state(state)


def digits(text: str) -> int:
    """Return the number in a label, however its thousands are set apart."""
    return int(re.sub(r"\D", "", text))
