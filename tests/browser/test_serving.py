"""What the console's files promise: nothing foreign, nothing missing, one text per thought."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, get_args

import pytest
import requests
from pydantic import ValidationError

from functions.exports import ExportBody
from local.parts import ROOT
from shared.connections import ConnectionState
from shared.contacts.rejects import Reason
from shared.errors import Fault, faults_of
from shared.exports import Export, Mode
from shared.refusals import REASONS
from shared.runs import Audit, BatchState, Counts, Run, RunState
from tests.browser.conftest import App, Open, Serve
from tests.browser.console import read_texts
from tests.codes import MODULES, in_code, subclasses
from tests.documents import LIST_ID

CONSOLE = ROOT / "console"
SCRIPTS = {path.name: path.read_text("utf-8") for path in CONSOLE.glob("*.js")}
TYPES = {
    "index.html": "text/html; charset=utf-8",
    "console.css": "text/css; charset=utf-8",
    "app.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "fonts/source-sans.woff2": "font/woff2",
}


@pytest.fixture(scope="module")
def app(serve: Serve) -> Iterator[App]:
    """The app, which no test of this module changes."""
    with serve() as running:
        yield running


@pytest.fixture
def answers() -> Iterator[requests.Session]:
    """A session that goes to the app directly."""
    with requests.Session() as session:
        session.trust_env = False
        yield session


def test_each_file_comes_with_its_type_and_a_policy_that_lets_nothing_foreign_in(
    app: App, answers: requests.Session
) -> None:
    for path, media_type in TYPES.items():
        answer = answers.get(f"{app.url}/console/{path}", timeout=10)
        policy = answer.headers["Content-Security-Policy"]

        assert answer.headers["Content-Type"] == media_type
        assert answer.content == (CONSOLE / path).read_bytes()
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert policy.startswith("default-src 'none'; ")
        assert "frame-ancestors 'none'" in policy
        assert not re.search(r"unsafe|https?:|\*|data:", policy)


def test_a_file_that_has_not_changed_is_not_sent_again(app: App, answers: requests.Session) -> None:
    first = answers.get(f"{app.url}/console/app.js", timeout=10)
    again = answers.get(
        f"{app.url}/console/app.js", headers={"If-None-Match": first.headers["ETag"]}, timeout=10
    )

    assert first.headers["Content-Encoding"] == "gzip"
    assert (again.status_code, again.content) == (304, b"")


def test_a_client_that_knows_no_compression_gets_plain_files(
    app: App, answers: requests.Session
) -> None:
    plain = answers.get(
        f"{app.url}/console/app.js", headers={"Accept-Encoding": "identity"}, timeout=10
    )

    assert "Content-Encoding" not in plain.headers
    assert len(plain.content) > len(gzip.compress(plain.content))


def test_the_console_without_its_slash_leads_to_it(app: App, answers: requests.Session) -> None:
    answer = answers.get(f"{app.url}/console", allow_redirects=False, timeout=10)

    assert (answer.status_code, answer.headers["Location"]) == (308, "/console/")


@pytest.mark.parametrize(
    "path",
    [
        "../host.json",
        "..%2fhost.json",
        "%2e%2e/host.json",
        "fonts/../../function_app.py",
        "/etc/passwd",
        "fonts/LICENSE",
        "fonts",
        "app.js%00",
        "INDEX.html",
    ],
)
def test_nothing_but_the_consoles_files_can_be_had(
    app: App, answers: requests.Session, path: str
) -> None:
    request = requests.Request("GET", app.url).prepare()
    request.url = f"{app.url}/console/{path}"  # as it stands, dots and all
    answer = answers.send(request, timeout=10)

    assert answer.status_code == 404


@pytest.mark.parametrize("sign_in", ["", "entra"])
def test_nobody_sees_the_console_without_signing_in(
    serve: Serve, answers: requests.Session, sign_in: str
) -> None:
    with serve(SIGN_IN=sign_in) as closed:
        for path in TYPES:
            assert answers.get(f"{closed.url}/console/{path}", timeout=10).status_code == 401


def test_every_module_that_is_asked_for_is_there() -> None:
    named = {
        name
        for source in SCRIPTS.values()
        for name in re.findall(r'(?:from|import\() ?"\./([\w.-]+)"', source)
    }
    pages = set(re.findall(r'\[/\^.*?\$/, "([\w-]+)"', SCRIPTS["app.js"]))
    html = (CONSOLE / "index.html").read_text("utf-8")

    assert len(pages) >= 8
    assert named <= SCRIPTS.keys()
    assert {f"{page}.js" for page in pages} <= SCRIPTS.keys()
    assert set(re.findall(r'(?:href|src)="([\w.-]+\.js)"', html)) <= SCRIPTS.keys()


def test_both_languages_say_everything() -> None:
    english, indonesian = (_thoughts(language) for language in ("en", "id"))
    from_the_api = ("problem.", "action.", "fault.", "note.")

    assert not english - indonesian
    assert all(key.startswith(from_the_api) for key in indonesian - english)


def test_every_problem_that_can_be_told_is_told_in_indonesian() -> None:
    """In English the API's own sentences are shown."""
    said = {code for module in MODULES for about, code in in_code(module) if about == "problem"}
    codes = said | {error.code for error in subclasses()}

    assert len(codes) > 60
    assert {"not_signed_in", "run_active", "segment_shrank"} <= codes
    # While Constant Contact works on the files, the run's own page says how far it is.
    assert not _without_text("id", "problem", codes - {"activities"})


def test_every_note_of_a_run_is_told_in_indonesian() -> None:
    codes = {code for module in MODULES for about, code in in_code(module) if about == "note"}

    assert codes
    assert not _without_text("id", "note", codes)


@pytest.mark.parametrize("language", ["en", "id"])
def test_every_state_and_reason_of_the_api_is_told_in_both_languages(language: str) -> None:
    disabled = get_args(get_args(Export.model_fields["disabled_reason"].annotation)[0])
    codes: dict[str, Iterable[object]] = {
        "reason": [*Reason, *REASONS],
        "state": RunState,
        "batch": BatchState,
        "connection.state": set(ConnectionState) - {ConnectionState.REMOVED},
        "mode": Mode,
        "disabled": disabled,
        "form": disabled,
        "trigger": get_args(Run.model_fields["trigger"].annotation),
        "audit": get_args(Audit.model_fields["what"].annotation),
        "count": set(Counts.model_fields) - {"removed", "shortened_values", "left_out_values"},
    }
    for group, values in codes.items():
        assert not _without_text(language, group, map(str, values))


SEGMENT = {"name": "Spring", "list_ids": [LIST_ID]}
FAULTY: list[dict[str, Any]] = [
    {"display_name": ""},
    {"display_name": "x" * 101},
    {"display_name": "a\u0007b"},
    {"connection_id": ""},
    {"segments": [{"name": "", "list_ids": []}]},
    {"segments": [{"list_ids": [LIST_ID]}]},
    {"segments": [{"name": "Spring"}]},
    {"segments": [SEGMENT, SEGMENT]},
    {"segments": [{"name": f"Segment {n}", "list_ids": [LIST_ID]} for n in range(101)]},
    {"segments": [{"name": "Spring", "list_ids": [LIST_ID] * 51}]},
    {"exclude_segments": ["Spring"]},
    {"exclude_segments": [f"Segment {n}" for n in range(101)]},
    {"mapping": {"email": ""}},
    {"mapping": {"email": "Email", "cf:with space": "Tier"}},
    {"mapping": {"email": "Email"} | {f"cf:field_{n}": "Tier" for n in range(26)}},
    {"consent": {"column": "Consent", "values": []}},
    {"schedule": "every day"},
    {"time_zone": "Atlantis"},
    {"guard": {"max_shrink_percent": None, "max_growth_percent": -1, "max_removed_percent": 101}},
]
"""What people can bring the form to say, and the API refuses."""


@pytest.mark.parametrize("language", ["en", "id"])
def test_every_fault_that_the_form_can_have_is_told_as_a_sentence(language: str) -> None:
    texts = read_texts(language)
    sound: dict[str, Any] = {"display_name": "A", "connection_id": "main", "segments": [SEGMENT]}
    sound |= {"mapping": {"email": "Email"}}
    for changes in FAULTY:
        faults = _faults(ExportBody, sound | changes)

        assert faults, changes
        for fault in faults:
            assert _has_text(texts, fault), fault


def test_every_fault_of_our_own_is_told_in_indonesian() -> None:
    """In English the API's own sentences are shown."""
    codes = set(re.findall(r'Fault\(\s*[^,]+,\s*"(\w+)"', _source("shared")))
    told = {key.rpartition(".")[2] for key in read_texts("id") if key.startswith("fault.")}

    assert {"unknown_list", "unknown_column", "not_connected"} <= codes
    assert not codes - told


def test_both_languages_name_the_same_values() -> None:
    english, indonesian = read_texts("en"), read_texts("id")
    for key in english.keys() & indonesian.keys():
        values = [set(re.findall(r"\{(\w+)\}", texts[key])) for texts in (english, indonesian)]

        assert values[0] == values[1], key


def test_every_text_that_is_asked_for_is_there() -> None:
    thoughts = _thoughts("en")
    for name, source in SCRIPTS.items():
        for key in re.findall(r'\bt\("([\w.]+)"', source):
            assert key in thoughts, f"{name}: {key}"


def _faults(model: type[Export], content: dict[str, Any]) -> list[Fault]:
    try:
        model.model_validate(content)
    except ValidationError as error:
        return faults_of(error)
    return []


def _has_text(texts: dict[str, str], fault: Fault) -> bool:
    """Say whether the console has words of its own for *fault*; it looks from near to far."""
    place = re.sub(r"\.\d+", "", fault.field)
    near = (f"{place}.{fault.code}", f"{place.partition('.')[0]}.{fault.code}", fault.code)
    return any(f"fault.{key}" in texts for key in near)


def _without_text(language: str, group: str, codes: Iterable[str]) -> set[str]:
    texts = read_texts(language)
    return {code for code in codes if f"{group}.{code}" not in texts}


def _source(folder: str) -> str:
    return "".join(path.read_text("utf-8") for path in (ROOT / folder).rglob("*.py"))


def _thoughts(language: str) -> set[str]:
    return {re.sub(r"\.(one|other)$", "", key) for key in read_texts(language)}


def test_the_console_costs_a_visitor_little(
    app: App, open_console: Open, record_property: Callable[[str, object], None]
) -> None:
    """Everything that comes over the wire for the first page, fonts included."""
    console = open_console(app)
    session = console.page.context.new_cdp_session(console.page)
    sizes: list[float] = []
    session.send("Network.enable")
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    console.go()
    first, number = sum(sizes), len(sizes)
    sizes.clear()
    console.go()
    again = sum(sizes)
    record_property(
        "figure",
        f"The console's first page takes {first / 1000:.0f} kB over the wire in {number}"
        f" requests, {again / 1000:.0f} kB when it is opened again.",
    )

    assert first < 200_000
    assert again < first / 4
