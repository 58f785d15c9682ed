"""Consent and tokens of the Constant Contact stand-in."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from tests.local.caller import CALLBACK, Caller, connected


@pytest.fixture
def app() -> Iterator[Caller]:
    with connected() as caller:
        yield caller


def sent_back(answer: requests.Response) -> dict[str, str]:
    assert answer.status_code == 302
    location = urlsplit(answer.headers["Location"])
    assert f"{location.scheme}://{location.netloc}{location.path}" == CALLBACK
    return {name: values[0] for name, values in parse_qs(location.query).items()}


def exchange(app: Caller, code: str, **changes: str) -> requests.Response:
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
    return app.token(form | changes)


def test_an_approval_leads_straight_back_with_a_code_and_the_state(app: Caller) -> None:
    back = sent_back(app.authorize(state="s p&ace"))

    assert back["state"] == "s p&ace"
    assert exchange(app, back["code"]).status_code == 200


def test_a_redirect_uri_must_equal_a_registered_one_to_the_letter(app: Caller) -> None:
    for uri in (CALLBACK + "/", CALLBACK.upper(), CALLBACK + "?x=1", ""):
        answer = app.authorize(redirect_uri=uri)

        assert answer.status_code == 400
        assert "Location" not in answer.headers


def test_an_unknown_application_is_not_sent_anywhere(app: Caller) -> None:
    assert app.authorize(client_id="other").status_code == 400


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "contact_data everything"}, "invalid_scope"),
        ({"scope": None}, "invalid_scope"),
        ({"state": None}, "invalid_request"),
        ({"code_challenge": "x", "code_challenge_method": "plain"}, "invalid_request"),
    ],
)
def test_a_faulty_request_comes_back_with_an_error(
    app: Caller, asked: dict[str, str | None], error: str
) -> None:
    assert sent_back(app.authorize(**asked))["error"] == error


def test_a_denial_comes_back_as_access_denied(app: Caller) -> None:
    app.cc.options.deny = True

    back = sent_back(app.authorize())

    assert back["error"] == "access_denied"
    assert "code" not in back


def test_a_person_can_be_asked_with_a_page(app: Caller) -> None:
    app.cc.options.ask = True

    page = app.authorize()
    allowed = app.session.post(
        page.url, data={"decision": "allow"}, allow_redirects=False, timeout=10
    )
    denied = app.session.post(
        page.url, data={"decision": "deny"}, allow_redirects=False, timeout=10
    )

    assert page.status_code == 200
    assert ">Allow</button>" in page.text
    assert "code" in sent_back(allowed)
    assert sent_back(denied)["error"] == "access_denied"


def test_a_token_answer_has_the_documented_members(app: Caller) -> None:
    tokens = exchange(app, sent_back(app.authorize())["code"]).json()

    assert tokens.keys() == {"token_type", "expires_in", "access_token", "scope", "refresh_token"}
    assert tokens["token_type"] == "Bearer"
    assert tokens["expires_in"] == 86_400
    assert tokens["scope"] == "contact_data account_read offline_access"
    assert tokens["access_token"].startswith("eyJ")
    assert 900 <= len(tokens["access_token"]) <= 1_300
    assert len(tokens["refresh_token"]) == 42


def test_without_offline_access_there_is_no_refresh_token(app: Caller) -> None:
    back = sent_back(app.authorize(scope="contact_data"))

    assert "refresh_token" not in exchange(app, back["code"]).json()


def test_a_code_works_once(app: Caller) -> None:
    code = sent_back(app.authorize())["code"]

    assert exchange(app, code).status_code == 200
    again = exchange(app, code)
    assert again.status_code == 400
    assert again.json()["error"] == "invalid_grant"


def test_a_code_lives_five_minutes(app: Caller) -> None:
    code = sent_back(app.authorize())["code"]
    app.clock.advance(minutes=5)

    assert exchange(app, code).json()["error"] == "invalid_grant"


def test_the_redirect_uri_is_repeated_in_the_exchange(app: Caller) -> None:
    code = sent_back(app.authorize())["code"]

    assert exchange(app, code, redirect_uri="https://other/").json()["error"] == "invalid_grant"


def test_a_wrong_secret_is_an_invalid_client(app: Caller) -> None:
    token = app.tokens["refresh_token"]
    form = {"grant_type": "refresh_token", "refresh_token": token}

    for auth in (("stand-in-client", "old"), None):
        answer = app.token(form, auth=auth)

        assert answer.status_code == 401
        assert answer.json()["error"] == "invalid_client"
    assert app.refresh(token).status_code == 200


def test_an_application_without_secret_proves_itself_by_pkce() -> None:
    verifier = "v" * 64
    digest = hashlib.sha256(verifier.encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    with connected(client_secret=None) as app:

        def attempt(verifier: str) -> requests.Response:
            back = sent_back(app.authorize(code_challenge=challenge, code_challenge_method="S256"))
            form = {
                "grant_type": "authorization_code",
                "code": back["code"],
                "redirect_uri": CALLBACK,
                "client_id": "stand-in-client",
                "code_verifier": verifier,
            }
            return app.token(form, auth=None)

        assert sent_back(app.authorize())["error"] == "invalid_request"
        assert attempt("w" * 64).json()["error"] == "invalid_grant"
        assert attempt(verifier).status_code == 200


def test_an_unknown_grant_type_is_refused(app: Caller) -> None:
    answer = app.token({"grant_type": "client_credentials"})

    assert answer.json()["error"] == "unsupported_grant_type"
    assert app.token({}).json()["error"] == "invalid_request"


def test_each_refresh_returns_a_new_refresh_token(app: Caller) -> None:
    first = app.tokens["refresh_token"]
    second = app.refresh(first).json()["refresh_token"]
    third = app.refresh(second).json()["refresh_token"]

    assert len({first, second, third}) == 3


def test_a_spent_refresh_token_ends_the_newest_set_as_well(app: Caller) -> None:
    fresh = app.refresh(app.tokens["refresh_token"]).json()

    again = app.refresh(app.tokens["refresh_token"])

    assert again.status_code == 400
    assert again.json() == {
        "error": "invalid_grant",
        "error_description": "The refresh token is invalid or expired.",
    }
    assert app.refresh(fresh["refresh_token"]).json()["error"] == "invalid_grant"
    app.use(fresh)
    assert app.get("/contact_lists").status_code == 401


def test_leniently_a_spent_refresh_token_harms_only_itself(app: Caller) -> None:
    app.cc.options.reuse_revokes = False
    fresh = app.refresh(app.tokens["refresh_token"]).json()

    assert app.refresh(app.tokens["refresh_token"]).status_code == 400
    assert app.refresh(fresh["refresh_token"]).status_code == 200


def test_long_lived_refresh_tokens_stay_the_same(app: Caller) -> None:
    app.cc.options.refresh_tokens = "long_lived"
    token = app.tokens["refresh_token"]

    assert app.refresh(token).json()["refresh_token"] == token
    app.cc.options.omit_refresh_token = True
    assert "refresh_token" not in app.refresh(token).json()
    assert app.refresh(token).status_code == 200


def test_a_refresh_token_dies_after_180_unused_days(app: Caller) -> None:
    app.clock.advance(days=179)
    used = app.refresh(app.tokens["refresh_token"]).json()["refresh_token"]
    app.clock.advance(days=179)
    used = app.refresh(used).json()["refresh_token"]
    app.clock.advance(days=181)

    assert app.refresh(used).json()["error"] == "invalid_grant"


def test_a_new_consent_ends_the_refresh_tokens_of_the_same_account_only(app: Caller) -> None:
    other = app.cc.issue_tokens(account_id="another")
    app.cc.issue_tokens()

    assert app.refresh(app.tokens["refresh_token"]).status_code == 400
    assert app.refresh(other["refresh_token"]).status_code == 200


def test_an_access_token_lives_as_long_as_it_says(app: Caller) -> None:
    app.cc.options.expires_in = 60
    app.use(app.cc.issue_tokens())
    app.clock.advance(seconds=59)
    assert app.get("/contact_lists").status_code == 200

    app.clock.advance(seconds=1)

    assert app.get("/contact_lists").status_code == 401


def test_access_tokens_can_be_made_to_expire_alone(app: Caller) -> None:
    app.cc.expire_access_tokens()

    assert app.get("/contact_lists").status_code == 401
    assert app.refresh(app.tokens["refresh_token"]).status_code == 200


def test_a_withdrawn_consent_ends_everything(app: Caller) -> None:
    app.cc.revoke()

    assert app.get("/contact_lists").status_code == 401
    assert app.refresh(app.tokens["refresh_token"]).json()["error"] == "invalid_grant"


@pytest.mark.parametrize("header", [None, "Bearer ", "Bearer eyJ.x.y", "Basic YTpi"])
def test_a_call_without_a_valid_token_gets_the_401_that_was_seen(
    app: Caller, header: str | None
) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = requests.get(f"{app.cc.api_url}/contact_lists", headers=headers, timeout=10)

    assert answer.status_code == 401
    assert answer.text == '{"error_key":"unauthorized","error_message":"Unauthorized"}'
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Content-Length"] == "59"
    assert answer.headers["WWW-Authenticate"] == "Bearer realm=api.cc.email"
    assert answer.headers["x-amzn-ErrorType"] == "UnauthorizedException"
    assert answer.headers["x-amzn-RequestId"]


def test_a_missing_scope_is_forbidden(app: Caller) -> None:
    app.use(app.cc.issue_tokens(["contact_data"]))

    assert app.get("/account/summary").status_code == 403
    assert app.get("/contact_lists").status_code == 200
    assert app.get("/account/user/privileges").status_code == 200


def test_a_missing_privilege_of_the_person_is_forbidden(app: Caller) -> None:
    """Reading activities takes the privilege to write contacts."""
    app.cc.options.privileges = ("contacts:read",)

    assert app.get("/activities").status_code == 403
    assert app.get("/contacts").status_code == 200
    names = [each["privilege_name"] for each in app.get("/account/user/privileges").json()]
    assert names == ["contacts:read"]


def test_a_deactivated_application_is_forbidden_everything(app: Caller) -> None:
    app.cc.options.deactivated = True

    assert app.get("/account/user/privileges").status_code == 403


def test_the_summary_tells_which_account_the_token_is_for(app: Caller) -> None:
    app.use(app.cc.issue_tokens(account_id="another"))

    summary = app.get("/account/summary").json()

    assert summary["encoded_account_id"] == "another"
    assert summary["organization_name"] == "Stand-in Company"
    assert "physical_address" not in summary
    detailed = app.get("/account/summary", extra_fields="physical_address").json()
    assert "physical_address" in detailed
