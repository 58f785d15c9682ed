"""What answers mean, apart from sending; shapes as in the vendor's guide and contract."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.constant_contact.answers import (
    Answer,
    TokenRefused,
    decipher,
    error_key,
    parse_activity,
    parse_custom_field,
    parse_list,
    parse_page,
)
from shared.errors import (
    ActivityQueueFull,
    AnswerLost,
    ExportError,
    QuotaExceeded,
    RateLimited,
    RequestRefused,
    ServiceUnavailable,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)

ACTIVITY = {
    "activity_id": "c2e1b5de-2c11-11f0-8a57-0242ac120002",
    "state": "completed",
    "created_at": "2026-03-14T09:26:53Z",
    "source_file_name": "part-00001.csv",
    "percent_done": 100,
    "activity_errors": ["Line 3: Invalid birthday", {"message": "Another"}, 7],
    "status": {
        "items_total_count": 11,
        "person_count": 10,
        "error_count": 1,
        "correctable_count": 2,
        "cannot_add_to_list_count": 3,
    },
}


def understood(answer: Answer, *, acts: bool = False) -> Any:
    return decipher(answer, lambda content: content, acts=acts, what="the import", now=NOW)


def answered(status: int, body: object = None, **headers: str) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(
        status, {name.replace("_", "-"): value for name, value in headers.items()}, content
    )


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ([{"error_key": "contacts.api.conflict", "error_message": "…"}], "contacts.api.conflict"),
        ({"error_key": "unauthorized", "error_message": "Unauthorized"}, "unauthorized"),
        ({"error": "invalid_grant", "error_description": "…"}, "invalid_grant"),
        ([], None),
        ({"error_key": "ana@example.com is not valid"}, None),
        ("a text", None),
    ],
)
def test_each_of_the_three_error_shapes_is_read(body: object, key: str | None) -> None:
    """Only what looks like a key is taken: the rest may be anything."""
    assert error_key(json.dumps(body).encode()) == key


@pytest.mark.parametrize("body", [b"", b"<html>Bad Gateway</html>", b"\xff\xfe", b"{"])
def test_what_is_not_json_has_no_key(body: bytes) -> None:
    assert error_key(body) is None


@pytest.mark.parametrize(
    ("answer", "acts", "error"),
    [
        (answered(401, {"error_key": "unauthorized"}), True, TokenRefused),
        (answered(400, [{"error_key": "contacts.api.validation.error"}]), True, RequestRefused),
        (answered(403), False, RequestRefused),
        (answered(302, b""), False, RequestRefused),
        (answered(429, {"error_key": "throttled"}), True, RateLimited),
        (answered(429, {"error_key": "quota_exceeded"}), True, QuotaExceeded),
        (answered(429, [{"error_key": "contacts.api.too_many"}]), True, ActivityQueueFull),
        (answered(429, b"<html>slow down</html>"), False, RateLimited),
        (answered(500), True, AnswerLost),
        (answered(503, b"<html></html>"), True, AnswerLost),
        (answered(503, b"<html></html>"), False, ServiceUnavailable),
        (answered(201, b"<html>hotel wifi</html>"), True, AnswerLost),
        (answered(200, b"<html>hotel wifi</html>"), False, ServiceUnavailable),
    ],
)
def test_a_status_means_what_happens_next(
    answer: Answer, acts: bool, error: type[ExportError]
) -> None:
    with pytest.raises(ExportError) as caught:
        understood(answer, acts=acts)
    assert type(caught.value) is error


def test_the_quota_starts_anew_at_midnight() -> None:
    with pytest.raises(QuotaExceeded) as caught:
        understood(answered(429, {"error_key": "quota_exceeded"}))
    assert caught.value.until == datetime(2026, 11, 24, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7.0), ("Mon, 23 Nov 2026 12:00:30 GMT", 30.0), ("", None), ("soon", None), ("-1", None)],
)
def test_retry_after_is_honoured_where_it_appears(text: str, seconds: float | None) -> None:
    with pytest.raises(RateLimited) as caught:
        understood(answered(429, {"error_key": "throttled"}, retry_after=text))
    assert caught.value.retry_after == seconds


def test_a_refusal_names_the_reason_and_the_request() -> None:
    with pytest.raises(RequestRefused) as caught:
        understood(
            answered(
                400,
                [
                    {
                        "error_key": "contacts.api.validation.error",
                        "error_message": "ana@example.com",
                    }
                ],
                x_amzn_requestid="5f0c-1",
            )
        )
    assert caught.value.status == 400
    assert caught.value.request_id == "5f0c-1"
    assert "contacts.api.validation.error" in str(caught.value)


def test_trouble_names_the_request_for_the_vendors_support() -> None:
    with pytest.raises(ServiceUnavailable, match="503, request 5f0c-1"):
        understood(answered(503, b"", **{"x-amzn-RequestId": "5f0c-1"}))


@given(
    st.integers(200, 599),
    st.one_of(
        st.binary(max_size=60),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=9),
            lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*ACTIVITY]), inner),
        ).map(lambda content: json.dumps(content).encode()),
    ),
    st.booleans(),
)
def test_any_answer_is_an_activity_or_an_error_of_ours(
    status: int, body: bytes, acts: bool
) -> None:
    answer = Answer(status, {}, body)

    with suppress(ExportError):
        decipher(answer, parse_activity, acts=acts, what="the import", now=NOW)


@given(st.sampled_from([200, 201, 400, 401, 403, 404, 409, 415, 429, 500, 503]), st.booleans())
def test_no_body_gets_into_an_error(status: int, acts: bool) -> None:
    private = "ana@example.com"
    shapes = [
        [{"error_key": private, "error_message": private}],
        {"error_key": f"bad {private}", "error_message": private},
        {"error": private, "error_description": private},
        private,
    ]
    for shape in shapes:
        with pytest.raises(ExportError) as caught:
            decipher(
                answered(status, shape, x_amzn_requestid=private),
                parse_activity,
                acts=acts,
                what="the import",
                now=NOW,
            )
        assert private not in f"{caught.value!r} {caught.value.action} {vars(caught.value)}"


def test_an_activity_is_read_whole() -> None:
    activity = parse_activity(ACTIVITY)

    assert activity.file_name == "part-00001.csv"
    assert activity.errors == ("Line 3: Invalid birthday", "Another")
    assert (activity.items_total, activity.persons) == (11, 10)
    assert (activity.refused, activity.suppressed) == (3, 3)
    assert activity.succeeded


@pytest.mark.parametrize(
    ("state", "ended", "succeeded"),
    [
        ("initialized", False, False),
        ("processing", False, False),
        ("completed", True, True),
        ("cancelled", True, False),
        ("failed", True, False),
        ("timed_out", True, False),
        ("time_out", True, False),
        ("something_new", False, False),
    ],
)
def test_an_unknown_state_has_not_ended(state: str, ended: bool, succeeded: bool) -> None:
    activity = parse_activity(ACTIVITY | {"state": state})

    assert (activity.state, activity.ended, activity.succeeded) == (state, ended, succeeded)


def test_a_list_without_a_count_says_so() -> None:
    shown = {"list_id": "7a1d5f04", "name": "Spring"}

    assert parse_list(shown).count is None
    assert parse_list(shown | {"membership_count": 0}).count == 0


def test_a_custom_fields_name_is_not_its_label() -> None:
    shown = {
        "custom_field_id": "1",
        "label": "A tier",
        "name": "A_tier",
        "type": "date",
    }

    assert parse_custom_field(shown).name == "A_tier"


def test_a_page_without_a_link_is_the_last() -> None:
    read = parse_page("lists", parse_list)

    assert read({"lists": [{"list_id": "1", "name": "A"}]})[1] is None
    assert read({"lists": [], "_links": {"next": {"href": "/v3/contact_lists?c=1"}}})[1] is not None


def test_days_do_not_depend_on_the_time_zone_of_now() -> None:
    from zoneinfo import ZoneInfo

    evening = datetime(2026, 11, 23, 20, tzinfo=ZoneInfo("America/New_York"))
    with pytest.raises(QuotaExceeded) as caught:
        decipher(
            answered(429, {"error_key": "quota_exceeded"}),
            parse_list,
            acts=False,
            what="",
            now=evening,
        )
    assert caught.value.until - evening == timedelta(hours=23)
