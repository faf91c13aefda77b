"""Every error has one shape, names the field, and says nothing that the asker may not know."""

import json
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client, RequestFactory

from accounts import errors as domain
from accounts.api import errors
from accounts.api.fields import MAX_BODY_BYTES
from accounts.models import Organization, User
from tests.api.asking import Api

pytestmark = pytest.mark.django_db
# These are the authentication's, which answers with 401 itself.
OF_AUTHENTICATION = {domain.KeyRefused, domain.MalformedKey, domain.MustWait}


def post(user: User, body: bytes, content_type: str = "application/json") -> Any:
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client.post("/api/v1/organizations/acme/projects", body, content_type=content_type)


def test_every_refusal_of_the_domain_has_a_status() -> None:
    kinds = set(domain.AccountsError.__subclasses__())
    assert kinds - OF_AUTHENTICATION == set(errors.STATUSES)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[1",
        b"\xff\xfe",
        b'{"name": NaN}',
        b'{"name": Infinity}',
        b"[" * 100_000,
        b'{"name": ' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_no_json_is_refused_as_such(alice: User, acme: Organization, body: bytes) -> None:
    answer = post(alice, body)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "parse_error"


@pytest.mark.parametrize("body", [b"[]", b'"text"', b"5", b"null", b"true"])
def test_a_body_that_is_no_object_is_refused(alice: User, acme: Organization, body: bytes) -> None:
    answer = post(alice, body)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid"


@pytest.mark.parametrize("name", ["\x00", "a\x00b", "\ud800"])
def test_text_that_cannot_be_stored_is_refused_by_its_field(
    alice: User, acme: Organization, name: str
) -> None:
    answer = post(alice, json.dumps({"slug": "new", "name": name}).encode())
    assert answer.status_code == 400
    assert answer.json()["error"]["field"] == "name"


def test_other_formats_are_refused(alice: User, acme: Organization) -> None:
    answer = post(alice, b"slug=new&name=New", "application/x-www-form-urlencoded")
    assert answer.status_code == 415
    assert answer.json()["error"]["code"] == "unsupported_media_type"


def test_a_body_beyond_the_bound_is_not_read(alice: User, acme: Organization) -> None:
    body = json.dumps({"slug": "new", "name": "N" * MAX_BODY_BYTES}).encode()
    answer = post(alice, body)
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "too_large"


def test_a_body_without_a_length_is_refused_and_not_taken_for_empty(alices: Api) -> None:
    path = "organizations/acme/projects"
    answer = alices.post(path, {"slug": "new", "name": "New"}, Transfer_Encoding="chunked")
    assert (answer.status, answer.error["code"]) == (411, "length_required")


@pytest.mark.parametrize(
    "path",
    ["", "never", "organizations/acme/never", "organizations/", "organizations/acme/keys/a/b"],
)
def test_an_address_of_nothing_is_a_404_in_the_same_shape(
    alices: Api, nobody: Api, path: str
) -> None:
    for api in (alices, nobody):
        answer = api.get(path)
        assert (answer.status, answer.error["code"]) == (404, "not_found")
    assert Client().get("/api/v2/x").json()["error"]["code"] == "not_found"


def test_a_method_that_an_address_does_not_have_is_told(alices: Api) -> None:
    answer = alices.ask("PUT", "organizations/acme", {})
    assert (answer.status, answer.error["code"]) == (405, "method_not_allowed")
    assert "PATCH" in answer.headers["allow"]


def test_who_may_not_learns_nothing_about_what_was_sent(bobs: Api, charlies: Api) -> None:
    nonsense = {"slug": 5, "colour": "red"}
    assert bobs.post("organizations/acme/projects", nonsense).error["code"] == "permission_denied"
    assert charlies.post("organizations/acme/projects", nonsense).status == 404


@pytest.mark.parametrize("number", ["0", "9223372036854775808", "9" * 40, "9" * 5000])
def test_a_number_that_no_row_can_have_is_not_found(alices: Api, number: str) -> None:
    assert alices.get(f"organizations/acme/members/{number}").status == 404


def test_what_fails_unforeseen_says_nothing_but_its_id(
    caplog: pytest.LogCaptureFixture,
) -> None:
    request = RequestFactory().get("/api/v1/organizations")
    answer = errors.answer_error(ValueError("canary"), {"request": request})
    assert answer.status_code == 500
    assert answer.data["error"]["code"] == "internal"
    assert "canary" not in str(answer.data)
    assert answer.data["error"]["request_id"] in caplog.text


def test_a_database_that_is_away_is_a_503() -> None:
    request = RequestFactory().get("/api/v1/organizations")
    answer = errors.answer_error(OperationalError("canary"), {"request": request})
    assert answer.status_code == 503
    assert (answer.data["error"]["code"], "canary" in str(answer.data)) == ("unavailable", False)


def test_what_fails_before_any_view_has_the_same_shape() -> None:
    request = RequestFactory().get("/api/v1/organizations")
    try:
        raise OperationalError("canary")
    except OperationalError:
        answer = errors.answer_failure(request)
    assert answer.status_code == 503
    assert json.loads(answer.content)["error"]["code"] == "unavailable"
    unreadable = errors.answer_unreadable(request, ValueError())
    assert unreadable.status_code == 400
    assert json.loads(unreadable.content)["error"]["code"] == "parse_error"


def test_pages_keep_pages_of_their_own() -> None:
    answer = Client().get("/never")
    assert answer.status_code == 404
    assert answer["content-type"].startswith("text/html")
