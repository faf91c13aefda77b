"""Passwords that are guessed at: by one address, about one account, and by nobody at all."""

from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.test import Client, RequestFactory

from accounts import login
from accounts.models import User

pytestmark = pytest.mark.django_db
PASSWORD = "operator's password"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr("accounts.login.monotonic", lambda: now[0])
    return now


def log_in(
    password: str, *, address: str = "192.0.2.1", email: str = "operator@example.org"
) -> int:
    form = {"username": email, "password": password}
    return Client(REMOTE_ADDR=address).post("/admin/login/", form).status_code


def test_an_address_that_is_wrong_too_often_waits_for_right_passwords_too(
    operator: User, clock: list[float]
) -> None:
    assert {log_in("wrong") for _ in range(15)} == {200}
    answer = Client(REMOTE_ADDR="192.0.2.1").post(
        "/admin/login/", {"username": operator.email, "password": PASSWORD}
    )
    assert (answer.status_code, answer["Retry-After"]) == (429, "20")
    assert log_in(PASSWORD, address="192.0.2.2") == 302
    clock[0] += 20
    assert log_in(PASSWORD) == 302


def test_whoever_waits_costs_no_query_and_no_hash(
    operator: User, clock: list[float], django_assert_num_queries: Any
) -> None:
    for _ in range(15):
        log_in("wrong")
    request = RequestFactory().post("/", REMOTE_ADDR="192.0.2.1")
    with django_assert_num_queries(0), pytest.raises(login.TooManyLogins):
        authenticate(request, username=operator.email, password=PASSWORD)


def test_an_account_guessed_at_from_many_addresses_stays_open_to_where_it_was_used(
    operator: User, clock: list[float]
) -> None:
    assert log_in(PASSWORD, address="198.51.100.7") == 302
    for number in range(50):
        assert log_in("wrong", address=f"192.0.2.{number}") == 200
    assert log_in("wrong", address="192.0.2.99") == 429
    assert log_in(PASSWORD, address="198.51.100.7") == 302
    assert log_in(PASSWORD, address="192.0.2.99", email="else@example.org") == 200


def test_an_address_in_a_header_is_believed_from_a_trusted_proxy_only(
    operator: User, clock: list[float], settings: Any
) -> None:
    """Else whoever writes another address each time is never too often wrong."""
    form = {"username": operator.email, "password": "wrong"}
    statuses = [
        Client(REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_FOR=f"203.0.113.{number}")
        .post("/admin/login/", form)
        .status_code
        for number in range(16)
    ]
    assert statuses == [200] * 15 + [429]


def test_a_program_of_ours_waits_for_nobody(operator: User) -> None:
    for _ in range(20):
        assert authenticate(None, username=operator.email, password="wrong") is None
    assert authenticate(None, username=operator.email, password=PASSWORD) == operator
