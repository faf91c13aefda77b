"""Letters about requests for more: who gets one, what it says, and that none is needed."""

from __future__ import annotations

from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse

from accounts.models import Membership, Organization, User
from billing.models import Quota, RaiseRequest

pytestmark = pytest.mark.django_db
Capture = Any


def address(name: str, **parts: object) -> str:
    return reverse(name, kwargs={"organization": "acme", **parts})


@pytest.fixture
def people(acme: Organization) -> list[User]:
    """One of every role beside Alice, who owns it, and Bob, and an admin who has left."""
    found = []
    for role in ("admin", "viewer", "billing"):
        user = User.objects.create_user(f"{role}@example.org")
        Membership.objects.create(organization=acme, user=user, role=role)
        found.append(user)
    gone = User.objects.create_user("gone@example.org")
    Membership.objects.create(
        organization=acme, user=gone, role="admin", left_at="2026-01-01T00:00Z"
    )
    return found


def ask(client: Client, quota: Quota, capture: Capture) -> None:
    with capture(execute=True):
        client.post(address("limit", quota=quota.pk), {"amount": "2.50", "reason": "A demo"})


def test_who_may_answer_gets_a_letter_with_the_way_to_it(
    bobs: Client,
    quota: Quota,
    people: list[User],
    settings: Any,
    django_capture_on_commit_callbacks: Capture,
) -> None:
    ask(bobs, quota, django_capture_on_commit_callbacks)
    assert [letter.to for letter in mail.outbox] == [["alice@example.org"], ["admin@example.org"]]
    body = str(mail.outbox[0].body)
    assert "bob@example.org asks for 2.50 USD more of the limit on cost a month of project" in body
    assert "What for: A demo" in body
    assert f"{settings.PUBLIC_URL}/limits/{quota.pk}" in body


def test_who_asks_for_something_of_their_own_to_answer_gets_no_letter_of_it(
    alices: Client, quota: Quota, django_capture_on_commit_callbacks: Capture
) -> None:
    ask(alices, quota, django_capture_on_commit_callbacks)
    assert RaiseRequest.objects.count() == 1
    assert mail.outbox == []


def test_a_limit_of_the_whole_organization_is_the_operators_to_answer(
    bobs: Client, acme: Organization, operator: User, django_capture_on_commit_callbacks: Capture
) -> None:
    whole = Quota.objects.create(
        organization=acme.pk,
        scope="organization",
        scope_id=acme.pk,
        unit="cost",
        window="month",
        limit=1,
    )
    ask(bobs, whole, django_capture_on_commit_callbacks)
    assert [letter.to for letter in mail.outbox] == [[operator.email]]


def test_whoever_asked_is_told_the_answer(
    alices: Client,
    asked: RaiseRequest,
    quota: Quota,
    bobs: Client,
    django_capture_on_commit_callbacks: Capture,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        form = {"amount": "2.00", "until": "2099-12-31"}
        alices.post(address("approve", number=asked.pk), form)
    [letter] = mail.outbox
    assert (letter.to, letter.subject) == (
        ["bob@example.org"],
        "Tollgate: Your request for more was approved",
    )
    assert "by 2.00 USD, until 2100-01-01 00:00 Europe/Berlin" in str(letter.body)
    ask(bobs, quota, django_capture_on_commit_callbacks)
    mail.outbox.clear()
    with django_capture_on_commit_callbacks(execute=True):
        second = RaiseRequest.objects.get(decided_at=None)
        alices.post(address("decline", number=second.pk), {"no-reason": "Not this month"})
    [letter] = mail.outbox
    assert letter.to == ["bob@example.org"]
    assert "Why: Not this month" in str(letter.body)


def test_a_mail_server_that_fails_stops_no_request(
    bobs: Client, quota: Quota, settings: Any, django_capture_on_commit_callbacks: Capture
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1  # Nobody is there.
    with django_capture_on_commit_callbacks(execute=False) as callbacks:
        form = {"amount": "2.50", "reason": "A demo"}
        answer = bobs.post(address("limit", quota=quota.pk), form)
    assert answer.status_code == 302
    with pytest.raises(OSError, match="refused"):
        callbacks[-1]()
    assert RaiseRequest.objects.count() == 1
