"""What callers may send that nobody meant: always a clear 4xx, never a 500."""

from __future__ import annotations

import http.client
import json
import re
from urllib.parse import quote

import azure.functions as func
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from functions.exchange import MAX_BODY_BYTES
from functions.exports import export_id_of
from functions.runs import run_key_of
from shared.errors import NotFound
from shared.ids import RUN_ID, SLUG
from tests.api.service import ADMINISTRATOR, Service, fields_of, problem_of

JSON = {"Content-Type": "application/json"}

TAKE_A_BODY = [
    ("POST", "/api/connections"),
    ("PATCH", "/api/connections/main"),
    ("POST", "/api/connections/main/authorize"),
    ("POST", "/api/exports"),
    ("POST", "/api/exports/check"),
    ("PUT", "/api/exports/wanted"),
    ("POST", "/api/exports/wanted/runs"),
]
BODIES = {
    "not JSON": b"{",
    "not UTF-8": b'{"display_name": "\xff"}',
    "UTF-16": '{"display_name": "a"}'.encode("utf-16"),
    "a list": b"[]",
    "a string": b'"text"',
    "null": b"null",
    "NaN": b'{"guard": {"max_growth_percent": NaN}}',
    "infinity": b'{"guard": {"max_growth_percent": Infinity}}',
    "a number past all bounds": b'{"guard": {"max_growth_percent": 1e999}}',
    "an integer of 10,000 digits": b'{"refusal_calls": ' + b"9" * 10_000 + b"}",
    "half a character": rb'{"display_name": "\ud800"}',
    "half a character as a key": rb'{"\udfff": 1}',
    "nested 100,000 deep": b'{"a":' * 100_000,
    "nested deep and closed": b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    "a key nobody knows": b'{"nobody_knows": 1}',
    "a key with dots": b'{"a.b": 1, "": 1, ".": 1}',
    "a key of 100 kB": b'{"' + b"k" * 100_000 + b'": 1}',
    "wrong types": b'{"display_name": [], "usable_by": 1, "replace_account": {}, "hold": "yes"}',
}


@pytest.fixture(autouse=True, scope="module")
def _wanted(served: Service) -> None:
    served.sign_in("entra")
    served.create_export("wanted")


def _send(
    service: Service, method: str, path: str, body: bytes, **headers: str
) -> requests.Response:
    given_headers = {**JSON, "If-Match": '"0x1"', **headers}
    return service.call(method, path, body=body, headers=given_headers)


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_a_body_that_nobody_meant_is_refused_in_a_sentence(service: Service, body: bytes) -> None:
    for method, path in TAKE_A_BODY:
        answer = _send(service, method, path, body)

        if path.endswith("/check") and answer.status_code == 200:
            assert answer.json()["errors"]
            continue
        assert 400 <= answer.status_code < 500, path
        assert len(problem_of(answer)["detail"]) < 200
        assert len(answer.content) < 5_000


@pytest.mark.parametrize("text", ["\x00", "a\x00b", "\x1b[31m", "\u202e", "a\nb"])
def test_control_characters_are_in_no_name(service: Service, name: str, text: str) -> None:
    export = service.call("POST", "/api/exports", json=service.order(name, display_name=text))
    connection = {"display_name": text, "consent": {"accepted": True}}

    assert fields_of(export) == {"display_name"}
    assert fields_of(service.call("POST", "/api/connections", json=connection)) == {"display_name"}


def test_a_body_above_the_limit_is_refused_unread(service: Service) -> None:
    padding = b" " * MAX_BODY_BYTES
    for method, path in TAKE_A_BODY:
        answer = _send(service, method, path, b"{}" + padding)

        assert answer.status_code == 413, path
        assert problem_of(answer)["code"] == "body_too_large"


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml", ""]
)
def test_a_body_of_another_type_is_refused(service: Service, media_type: str) -> None:
    """A form on somebody's page can send these without asking; JSON it cannot."""
    for method, path in TAKE_A_BODY:
        answer = _send(service, method, path, b'{"hold": true}', **{"Content-Type": media_type})

        assert answer.status_code == 415, path
        assert problem_of(answer)["code"] == "not_json"


IDS = [
    "..",
    "../main",
    "..%2fmain",
    "%2e%2e%2fconnections%2fmain",
    "..%5cmain",
    "wanted%00",
    "wanted%0a",
    "wanted.json",
    "WANTED",
    "w\u0430nted",  # a Cyrillic letter
    "a" * 65,
    "a" * 5_000,
    "%ff%fe",
    "%ed%a0%80",
    "*",
    "%252e%252e",
    "\u0661" * 8,
]
RUN_IDS = [
    "..%2f..%2fconnections%2fmain",
    "\u0662\u0660\u0662\u0666\u0661\u0661\u0662\u0663T060000Z-7f3a9c",
    "20261123T060000Z-7f3a9c%0a",
    "20261123t060000z-7f3a9c",
    "run.json",
    "~",
]


@pytest.mark.parametrize("forged", IDS)
@pytest.mark.parametrize(
    "path",
    [
        "/api/exports/{}",
        "/api/exports/{}/runs",
        "/api/connections/{}",
        "/api/connections/{}/lists",
        "/api/runs/{}/20261123T060000Z-7f3a9c",
        "/api/runs/{}/20261123T060000Z-7f3a9c/rejects",
    ],
)
def test_an_id_that_is_none_is_not_found(service: Service, path: str, forged: str) -> None:
    status, body = service.call_raw("GET", path.format(quote(forged, safe="%*.")))

    assert status in {400, 404}
    assert b"Traceback" not in body
    assert b"consent" not in body


@pytest.mark.parametrize("forged", RUN_IDS)
@pytest.mark.parametrize("rest", ["", "/rejects"])
def test_a_run_id_that_is_none_is_not_found(service: Service, forged: str, rest: str) -> None:
    path = f"/api/runs/wanted/{quote(forged, safe='%*.')}{rest}"

    assert service.call_raw("GET", path)[0] == 404


@given(export_id=st.text(), run_id=st.text())
def test_nothing_unchecked_becomes_part_of_a_path(export_id: str, run_id: str) -> None:
    request = func.HttpRequest(
        method="GET",
        url="/",
        route_params={"export_id": export_id, "run_id": run_id},
        body=b"",
    )
    for read, pattern in ((export_id_of, SLUG), (run_key_of, f"{SLUG}/{RUN_ID}")):
        try:
            assert re.fullmatch(pattern, read(request), re.ASCII)
        except NotFound:
            continue


@pytest.mark.parametrize(
    "name", ["..%2f..%2fexports", "%00", "a" * 4_000, "%2a", "~", "\u0661", "a/../../b", "%ff"]
)
def test_a_segment_that_nobody_has_is_not_found(service: Service, name: str) -> None:
    status, _ = service.call_raw("GET", "/api/segments/" + quote(name, safe="%/"))

    assert status in {400, 404}


@pytest.mark.parametrize(
    "query",
    [
        "before=~",
        "before=%00",
        "before=a&before=b",
        "before=" + "9" * 5_000,
        "before=%ff",
        "limit=x",
    ],
)
def test_a_page_that_cannot_be_is_refused_or_passed_over(service: Service, query: str) -> None:
    assert service.call("GET", f"/api/exports/wanted/runs?{query}").status_code in {200, 422}


@pytest.mark.parametrize(
    "given", ["*x", "0x1", 'W/"0x1"', '""', '"a", "b"', '"' + "e" * 5_000 + '"', '"\u00ff"']
)
def test_an_etag_that_is_none_changes_nothing(service: Service, given: str) -> None:
    for method in ("PUT", "DELETE"):
        answer = service.call(
            method,
            "/api/exports/wanted",
            json=service.order("wanted"),
            headers={"If-Match": given.encode("latin-1").decode("latin-1")},
        )

        assert answer.status_code == 412
        problem_of(answer)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schedule", "* * * * * *"),
        ("schedule", "0 0 30 2 *"),
        ("schedule", "0-99999999 * * * *"),
        ("schedule", "*/0 * * * *"),
        ("schedule", "a" * 10_000),
        ("schedule", "\u0661 * * * *"),
        ("time_zone", "../../../etc/passwd"),
        ("time_zone", "\x00"),
        ("time_zone", "Europe"),
        ("time_zone", "x" * 10_000),
        ("mapping", {}),
        ("mapping", {"email": ""}),
        ("mapping", {"email": "EMailAddress1", "cf:a b": "City"}),
        ("mapping", {"email": "EMailAddress1", **{f"cf:{n}": "City" for n in range(30)}}),
        ("refusal_calls", 10**30),
        ("guard", {"max_growth_percent": -1}),
        ("connection_id", "../main"),
        ("id", "../escape"),
        ("segments", []),
        ("exclude_segments", ["Spring"]),
        ("exclude_segments", ["\x00"]),
    ],
)
def test_a_value_that_would_fail_later_is_refused_now(
    service: Service, name: str, field: str, value: object
) -> None:
    answer = service.call("POST", "/api/exports", json=service.order(name, **{field: value}))

    assert answer.status_code == 422
    assert {given.split(".")[0] for given in fields_of(answer)} == {field}


@pytest.mark.parametrize("delimiter", ["", ",,", '"', "\n", "\u20ac", "\x00"])
def test_a_delimiter_that_no_file_is_read_with_is_refused(
    service: Service, name: str, delimiter: str
) -> None:
    target = {"name": "Spring", "list_ids": [service.list_id], "format": {"delimiter": delimiter}}
    answer = service.call("POST", "/api/exports", json=service.order(name, segments=[target]))

    assert fields_of(answer) == {"segments.0.format.delimiter"}


def test_a_method_that_no_route_has_is_refused(service: Service) -> None:
    for method in ("TRACE", "PATCH", "PROPFIND"):
        assert service.call(method, "/api/exports").status_code in {404, 405}


def test_two_lengths_for_one_body_do_not_confuse(service: Service) -> None:
    """The declared length is what is read; the rest is not taken for another request."""
    connection = http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=30)
    body = json.dumps({"hold": True}).encode()
    headers = {**ADMINISTRATOR, **JSON, "Content-Length": str(len(body) - 3)}
    connection.request("POST", "/api/exports/wanted/runs", body, headers)

    assert connection.getresponse().status == 400
    connection.close()
