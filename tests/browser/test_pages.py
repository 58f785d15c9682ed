"""Every page: for everybody, at any size, however much there is to show."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import APIResponse, Route, expect

from local.segments import Segment
from shared.connections import Connection, ConnectionState, Consent
from shared.exports import Export, SegmentTarget
from shared.ledger import Claim
from shared.roles import Role
from shared.runs import Audit, Batch, BatchState, Counts, Run, RunState
from tests.browser.conftest import App, Open, Serve
from tests.browser.console import Console
from tests.browser.test_story import save_export
from tests.documents import LIST_ID, a_run, an_export

EXPORTS = 500
RUNS = 130

WINDOWS: dict[str, dict[str, Any]] = {
    "desk-light": {"color_scheme": "light"},
    "desk-dark": {"color_scheme": "dark"},
    "phone-light": {"viewport": {"width": 390, "height": 800}, "has_touch": True},
    "phone-dark": {"viewport": {"width": 390, "height": 800}, "color_scheme": "dark"},
}


@dataclass(frozen=True)
class Furnished:
    """An app with something on every page, and the places of its pages."""

    app: App
    places: dict[str, str]


@pytest.fixture(scope="module")
def house(serve: Serve) -> Iterator[Furnished]:
    """A furnished app that is looked at and left as it was."""
    with serve() as app:
        yield furnish(app)


@pytest.fixture
def own_house(app: App) -> Furnished:
    """A furnished app to change things in."""
    return furnish(app)


def furnish(app: App) -> Furnished:
    """Set up connections, an export and runs that stand in different ways."""
    app.upload(Segment(rows=400, partitions=2))
    list_id = app.constant_contact.add_list("Spring renewals")
    connection = app.connect()
    export = save_export(app, connection, list_id)
    app.call("POST", "/api/connections", {"display_name": "New", "consent": {"accepted": True}})
    runs = _history(export, 24)
    _store(app, runs, [])
    places = {
        "home": "",
        "exports": "exports",
        "export": f"exports/{export}",
        "edit": f"exports/{export}/edit",
        "new": "exports/_new",
        "runs": "runs",
        "held": f"runs/{export}/{runs[-1].id}",
        "failed": f"runs/{export}/{runs[-2].id}",
        "completed": f"runs/{export}/{runs[-3].id}",
        "connections": "connections",
        "connection": "connections/_new",
        "nowhere": "nowhere",
    }
    return Furnished(app, places)


@pytest.mark.parametrize(("language", "window"), [("en", "desk-light"), ("id", "phone-dark")])
def test_axe_finds_nothing_on_any_page(
    house: Furnished, open_console: Open, language: str, window: str
) -> None:
    console = open_console(house.app, language, **WINDOWS[window])
    found = {}
    for name, place in house.places.items():
        console.go(place)
        console.page.evaluate(
            "for (const each of document.querySelectorAll('details')) each.open = true"
        )
        if barriers := console.barriers():
            found[name] = barriers
        console.shoot(f"{name}-{window}")
        overflow = console.page.evaluate("document.documentElement.scrollWidth - innerWidth")

        assert overflow <= 0, f"{name} is wider than the window by {overflow} px"
    assert not found, found
    console.check_manners()


@pytest.mark.parametrize("window", ["desk-dark", "phone-light"])
def test_axe_finds_nothing_in_the_other_light_either(
    house: Furnished, open_console: Open, window: str
) -> None:
    console = open_console(house.app, "en", **WINDOWS[window])
    for name in ("home", "export", "completed", "new"):
        console.go(house.places[name])
        console.shoot(f"{name}-{window}")

        barriers = console.barriers()
        assert not barriers, f"{name}: {barriers}"


ADA, BO = ("7f0c", "Kim"), ("81d2", "Kim")
"""Two people of one name."""


@pytest.fixture(scope="module")
def office(serve: Serve) -> Iterator[App]:
    """An app that people sign in to, with nothing connected."""
    with serve(SIGN_IN="entra") as app:
        yield app


def signed_in(role: Role, who: tuple[str, str] = ADA) -> dict[str, str]:
    """Return what the platform adds to the requests of somebody with *role*."""
    claims = {"role_typ": "roles", "claims": [{"typ": "roles", "val": role}]}
    return {
        "X-MS-CLIENT-PRINCIPAL": base64.b64encode(json.dumps(claims).encode()).decode(),
        "X-MS-CLIENT-PRINCIPAL-ID": who[0],
        "X-MS-CLIENT-PRINCIPAL-NAME": who[1],
    }


def test_a_viewer_sees_everything_and_is_offered_nothing_to_change(
    office: App, open_console: Open
) -> None:
    """What a role may not do is not on the page, and nothing on it is asked for in vain."""
    export = _export(0)
    runs = _history(export.id, 3)
    _store(office, runs, [export])
    console = open_console(office, extra_http_headers=signed_in(Role.VIEWER))
    refused: list[str] = []
    console.page.on(
        "response", lambda each: refused.append(each.url) if each.status == 403 else None
    )
    for place in ("", "exports", f"exports/{export.id}", f"runs/{runs[-1].key}", "connections"):
        console.go(place)
        console.sees(console.t("signed_in_as", name=ADA[1]))
        buttons = console.page.locator("main button, main .primary")

        expect(buttons.filter(visible=True)).to_have_count(0)
    assert not refused


def test_who_started_a_run_for_two_people_is_known_by_id_and_not_by_name(
    office: App, open_console: Open
) -> None:
    """The run says whether it asks for two people, whatever its export says by now."""
    export = _export(1)
    started = Audit(what="started", who=ADA[0], name=ADA[1], at=datetime.now(UTC))
    held = _history(export.id, 1)[0].having(two_people=True, audit=(started,))
    _store(office, [held], [export])
    for who, may_approve in ((ADA, False), (BO, True)):
        console = open_console(office, extra_http_headers=signed_in(Role.ADMINISTRATOR, who))
        console.go(f"runs/{held.key}")
        approve = console.page.get_by_role("button", name=console.t("run.approve"))
        reason = console.page.get_by_text(console.t("run.two_people"))
        expect(approve).to_have_count(int(may_approve))
        expect(reason).to_have_count(int(not may_approve))


def test_a_contributor_stops_any_run_and_repairs_what_lost_its_connection(
    office: App, open_console: Open
) -> None:
    """What the API lets them do is on the page, and what it refuses it says in their language."""
    export = _export(2).having(
        connection_id="removed", enabled=False, disabled_reason="connection_removed"
    )
    others = _export(3).having(connection_id="private")
    under_way = _history(others.id, 1)[0].having(connection_id="private", error=None)
    _store(office, [under_way], [export, others])
    _store_connections(
        office,
        _connection("removed", ConnectionState.REMOVED, (Role.ADMINISTRATOR, Role.CONTRIBUTOR)),
        _connection("private", ConnectionState.NEW, (Role.ADMINISTRATOR,)),
    )
    console = open_console(office, "id", extra_http_headers=signed_in(Role.CONTRIBUTOR))
    console.go(f"runs/{under_way.key}")
    expect(console.page.get_by_role("button", name=console.t("run.approve"))).to_have_count(0)
    console.click("run.discard")
    console.answer("run.discard")
    console.await_state("cancelled")
    unreconciled = console.page.get_by_text(console.t("run.unreconciled"))
    expect(unreconciled).to_have_count(0)  # nothing was sent that could not add up
    console.go(f"exports/{export.id}")
    expect(console.page.get_by_role("link", name=console.t("export.edit"))).to_be_visible()
    console.click("export.enable")
    console.sees(console.t("problem.invalid"))
    console.sees(console.t("fault.connection_id.not_connected"))
    console.click("export.delete")
    console.answer("export.delete")
    console.sees(console.t("export.deleted"))


def test_a_question_keeps_the_keyboard_and_escape_means_no(
    house: Furnished, open_console: Open
) -> None:
    console = open_console(house.app)
    console.go(house.places["export"])
    console.page.get_by_role("button", name=console.t("export.delete")).focus()
    console.page.keyboard.press("Enter")
    dialog = console.page.locator("dialog")
    expect(dialog.get_by_role("button", name=console.t("back"))).to_be_focused()

    assert not console.barriers()
    console.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert len(house.app.call("GET", "/api/exports")["items"]) == 1


def test_the_first_tab_stop_leads_past_the_navigation(house: Furnished, open_console: Open) -> None:
    console = open_console(house.app)
    console.go(house.places["exports"])
    console.page.keyboard.press("Tab")
    expect(console.page.get_by_role("link", name=console.t("skip"))).to_be_focused()
    console.page.keyboard.press("Enter")

    expect(console.page.locator("main")).to_be_focused()


def test_another_page_takes_the_focus_to_its_heading(house: Furnished, open_console: Open) -> None:
    console = open_console(house.app)
    console.go(house.places["home"])
    console.page.get_by_role("link", name=console.t("nav.exports"), exact=True).click()

    expect(console.page.locator("h1")).to_be_focused()
    expect(console.page).to_have_title(f"{console.t('nav.exports')} · {console.t('product')}")


def test_the_chosen_language_is_remembered(house: Furnished, open_console: Open) -> None:
    console = open_console(house.app, "en")
    console.go(house.places["exports"])
    console.page.get_by_label(console.t("language")).select_option("id")
    expect(console.page.locator("h1")).to_have_text("Ekspor")
    console.go(house.places["exports"])

    expect(console.page.locator("html")).to_have_attribute("lang", "id")
    expect(console.page.locator("h1")).to_have_text("Ekspor")


def test_the_form_says_what_is_wrong_where_it_is_while_one_types(
    house: Furnished, open_console: Open
) -> None:
    """The sentences are the API's; a field that nobody has touched is left in peace."""
    console = open_console(house.app)
    console.go(house.places["edit"])
    name = console.page.get_by_label(console.t("form.name"), exact=True)
    name.fill("")
    name.blur()
    fault = console.page.locator("[data-path=display_name] .fault")
    expect(fault).to_have_text(console.t("fault.string_too_short"))
    expect(name).to_have_attribute("aria-invalid", "true")
    name.fill("Spring")
    expect(fault).to_have_count(0)
    console.page.locator("[data-field=email] select").select_option("")
    expect(console.page.locator("[data-path='mapping.email'] .fault")).to_have_text(
        console.t("fault.mapping.string_too_short")
    )
    console.click("form.save")
    expect(console.page.locator("[data-path='mapping.email'] .fault")).to_be_visible()
    console.page.locator("[data-field=email] select").select_option("EMailAddress1")
    console.click("form.save")
    console.sees(console.t("saved"))

    assert not [error for error in console.errors if "422" not in error]


def test_an_export_is_duplicated_switched_off_and_deleted(
    own_house: Furnished, open_console: Open
) -> None:
    console = open_console(own_house.app)
    console.go(own_house.places["export"])
    console.click("export.duplicate")
    console.settled()
    expect(console.page.locator("[data-path=display_name] input")).to_have_value(
        console.t("form.copy_of", name="Spring renewals")
    )
    console.page.get_by_label(console.t("schedule.clock"), exact=True).check()
    console.page.get_by_label(console.t("schedule.every")).select_option("weekdays")
    console.page.get_by_label(console.t("schedule.time"), exact=True).fill("06:30")
    console.click("form.save")
    console.sees(console.t("timing.weekdays", time="06:30", zone="Asia/Jakarta"))
    console.click("export.disable")
    console.sees(console.t("export.disabled"))
    copy = own_house.app.call("GET", "/api/exports/copy-of-spring-renewals")
    console.click("export.delete")
    console.answer("export.delete")
    console.sees(console.t("export.deleted"))

    assert copy["schedule"] == "30 6 * * 1-5"
    assert copy["time_zone"] == "Asia/Jakarta"
    assert not copy["enabled"]
    assert len(own_house.app.call("GET", "/api/exports")["items"]) == 1


def test_an_export_may_be_called_new(house: Furnished, open_console: Open) -> None:
    """Its address is not that of the form for another one."""
    exports = house.app.call("GET", "/api/exports")["items"]
    house.app.call("POST", "/api/exports", exports[0] | {"id": "new", "display_name": "New"})
    console = open_console(house.app)
    console.go("exports")
    console.page.get_by_role("link", name="New", exact=True).click()
    expect(console.page.locator("h1")).to_have_text("New")
    console.click("export.edit")
    expect(console.page.locator("h1")).to_have_text(console.t("form.edit", name="New"))
    console.go("exports/new")
    console.click("export.delete")
    console.answer("export.delete")
    console.sees(console.t("export.deleted"))

    assert house.app.call("GET", "/api/exports")["items"] == exports


def test_removing_a_connection_says_first_what_will_stop_and_another_lets_it_go_on(
    own_house: Furnished, open_console: Open
) -> None:
    console = open_console(own_house.app)
    console.go(own_house.places["connections"])
    card = console.page.locator(".card").filter(has_text="Main account")
    console.click("connection.remove", card)
    expect(console.page.locator("dialog .stops")).to_contain_text("Spring renewals")
    console.answer("connection.remove")
    console.sees(console.t("connection.removed"))
    console.go()

    console.sees(console.t("matter.disabled", name="Spring renewals"))
    expect(console.page.locator("h1")).to_have_text(console.t("home.needs.other", n=2))
    (export,) = own_house.app.call("GET", "/api/exports")["items"]

    assert export["disabled_reason"] == "connection_removed"
    own_house.app.connect()
    console.go(own_house.places["edit"])
    console.sees(console.t("form.connection_removed"))
    console.page.get_by_label(console.t("form.connection")).select_option(label="Main account")
    console.click("form.save")
    console.sees(console.t("saved"))
    (export,) = own_house.app.call("GET", "/api/exports")["items"]

    assert export["enabled"]
    assert export["disabled_reason"] is None


def test_500_exports_are_shown_in_under_a_second_more_than_an_empty_page(
    app: App, open_console: Open, record_property: Callable[[str, object], None]
) -> None:
    """Time in the browser: the API's answers are taken from a first visit."""
    _store(app, [], [_export(number) for number in range(EXPORTS)])
    console = open_console(app)
    kept: dict[str, APIResponse] = {}

    def answer(route: Route) -> None:
        url = route.request.url
        if url not in kept:
            kept[url] = route.fetch()
        route.fulfill(response=kept[url])

    console.page.route("**/api/overview*", answer)
    console.go("exports")
    expect(console.page.locator("[data-complete]")).to_be_attached()
    full = _seconds_to(console, "exports", "[data-complete]")
    rows = console.page.locator(".rows > .row")
    expect(rows).to_have_count(EXPORTS)
    console.shoot("exports-500", full=False)
    empty = _seconds_to(console, "nowhere", "h1")
    console.go("exports")
    search = console.page.get_by_role("searchbox")
    search.fill("Segment_0499")
    expect(rows.filter(visible=True)).to_have_count(1)
    record_property(
        "figure",
        f"{EXPORTS} exports take {full:.2f} s in the browser, an empty page {empty:.2f} s:"
        f" {full / empty:.1f} times as long.",
    )

    assert len(kept) == EXPORTS / 100
    assert full - empty < 1


def test_a_long_history_comes_page_by_page(app: App, open_console: Open) -> None:
    export = _export(0)
    _store(app, _history(export.id, RUNS), [export])
    console = open_console(app)
    console.go(f"exports/{export.id}")
    rows = console.page.locator("table.runs tbody tr")
    expect(rows).to_have_count(50)
    console.click("history.older")
    expect(rows).to_have_count(100)
    console.click("history.older")
    expect(rows).to_have_count(RUNS)

    expect(console.page.get_by_role("button", name=console.t("history.older"))).to_be_hidden()


def _seconds_to(console: Console, place: str, selector: str) -> float:
    """Return how long a page takes from its beginning until *selector* is there and painted."""
    console.page.goto("about:blank")
    console.page.goto(f"{console.url}/console/#/{place}")
    expect(console.page.locator("main[aria-busy]")).to_have_count(0)
    milliseconds: float = console.page.evaluate(
        """async (selector) => {
            while (!document.querySelector(`main ${selector}`)) {
                await new Promise((resolve) => requestAnimationFrame(resolve));
            }
            await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
            return performance.now();
        }""",
        selector,
    )
    return milliseconds / 1000


def _export(number: int) -> Export:
    return Export(
        id=f"export-{number:04}",
        display_name=f"Export {number}",
        connection_id="main",
        segments=(SegmentTarget(name=f"Segment_{number:04}", list_ids=(LIST_ID,)),),
        mapping={"email": "EMailAddress1"},
        schedule="30 6 * * 1-5",
    )


def _connection(name: str, state: ConnectionState, usable_by: tuple[Role, ...]) -> Connection:
    at = datetime.now(UTC)
    return Connection(
        id=name,
        display_name=name,
        usable_by=usable_by,
        consent=Consent(accepted_by="Ada", accepted_at=at),
        state=state,
        created_at=at,
        created_by="Ada",
    )


def _store_connections(app: App, *connections: Connection) -> None:
    with app.documents as container:
        for each in connections:
            container.upload_blob(f"connections/{each.id}.json", each.model_dump_json())


def _history(export_id: str, count: int) -> list[Run]:
    """Return runs, oldest first: all completed but for one that failed and one that is held."""
    return [_run(export_id, number, count - number) for number in range(count)]


def _run(export_id: str, number: int, left: int) -> Run:
    at = datetime.now(UTC) - timedelta(hours=6 * left, minutes=number % 50)
    read = 12_000 + 140 * number + (number * 7919) % 900
    missing, invalid, refused = read // 90, read // 140, read // 300
    unchanged = read // 3 if number % 4 else read // 2
    staged = read - missing - invalid - unchanged - 40
    state = {1: RunState.HELD, 2: RunState.FAILED}.get(left, RunState.COMPLETED)
    sent = state is RunState.COMPLETED
    return a_run(
        export=an_export(id=export_id, connection_id="main-account"),
        created_at=at,
        id=f"{at:%Y%m%dT%H%M%SZ}-{number:06x}",
        trigger="refresh",
        state=state,
        progress=100 if sent else 30,
        counts=Counts(
            read=read,
            missing_email=missing,
            invalid=invalid,
            duplicate=40,
            unchanged=unchanged,
            staged=staged,
            accepted=staged - refused - 12 if sent else 0,
            refused=refused if sent else 0,
            suppressed=12 if sent else 0,
        ),
        reconciled=True if sent else None,
        error={
            RunState.HELD: {
                "code": "segment_shrank",
                "message": "The segment shrank from 15120 people to 8060.",
                "action": "Look at the segment. If the numbers are right, approve the run;"
                " otherwise cancel it.",
            },
            RunState.FAILED: {
                "code": "batches_failed",
                "message": "Constant Contact did not carry out 1 of the 1 uploaded files"
                " (timed_out).",
                "action": "Retry the run within seven days: it sends those files again.",
            },
        }.get(state),
        batches=[
            Batch(
                number=0,
                rows=staged,
                bytes=staged * 60,
                list_ids=(LIST_ID,),
                file_name=f"{number}.csv",
                state=BatchState.COMPLETED
                if sent
                else BatchState.FAILED
                if left == 2
                else BatchState.STAGED,
                accepted=staged - refused - 12 if sent else 0,
                refused=refused if sent else 0,
                suppressed=12 if sent else 0,
            )
        ],
        phases={"queued": 0.4, "preparing": 1.2 + read / 20_000}
        | ({} if state is RunState.HELD else {"sending": 2 + staged / 9_000, "following": 8}),
        started_at=at,
        finished_at=None if state is RunState.HELD else at + timedelta(seconds=20),
    )


def _store(app: App, runs: list[Run], exports: list[Export]) -> None:
    """Put documents where the app keeps them; the newest run of an export is its last."""
    documents = {f"exports/{export.id}.json": export.model_dump_json() for export in exports}
    documents |= {f"runs/{run.key}/run.json": run.model_dump_json() for run in runs}
    for run in sorted(runs, key=lambda run: run.id):
        claim = Claim(run_id=run.id, claimed_at=run.created_at)
        documents[f"runs/{run.export_id}/active.json"] = claim.model_dump_json()
    for number, export in enumerate(exports):
        if export.id not in {run.export_id for run in runs}:
            run = _run(export.id, number % 40, 9)
            documents[f"runs/{run.key}/run.json"] = run.model_dump_json()
            claim = Claim(run_id=run.id, claimed_at=run.created_at)
            documents[f"runs/{export.id}/active.json"] = claim.model_dump_json()
    with app.documents as container, ThreadPoolExecutor(8) as writers:
        list(
            writers.map(
                lambda each: container.upload_blob(*each, overwrite=True), documents.items()
            )
        )
