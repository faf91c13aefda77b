"""Limits: how they stand, asking for more and answering, and what is not anybody's to see."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from accounts.issuance import issue_key
from accounts.models import ApiKey, Membership, Organization, Project
from billing.models import Quota, QuotaRaise, RaiseRequest

pytestmark = pytest.mark.django_db


def address(name: str, **parts: object) -> str:
    return reverse(name, kwargs={"organization": "acme", **parts})


def test_a_member_asks_and_an_owner_approves(bobs: Client, alices: Client, quota: Quota) -> None:
    page = bobs.get(reverse("limit_link", args=[quota.pk]), follow=True)
    assert b"Ask for more" in page.content
    bobs.post(address("limit", quota=quota.pk), {"amount": "2.50", "reason": "A demo"})
    asked = RaiseRequest.objects.get()
    assert b"A demo" in alices.get(address("limits")).content
    form = {"amount": "2.00", "until": "2099-12-31"}
    alices.post(address("approve", number=asked.pk), form)
    asked.refresh_from_db()
    assert asked.quota_raise is not None
    assert (asked.quota_raise.amount, asked.decided_by) == (2 * 10**10, "alice@example.org")
    assert str(asked.quota_raise.ends_at) == "2099-12-31 23:00:00+00:00"  # Berlin's midnight.
    assert b"$0.00 of $7.00" in bobs.get(address("limits")).content


def test_a_request_is_answered_once(alices: Client, asked: RaiseRequest) -> None:
    alices.post(address("decline", number=asked.pk), {"no-reason": "Not this month"})
    late = alices.post(address("approve", number=asked.pk), {"amount": "1", "until": "2099-12-31"})
    assert late.status_code == 404
    asked.refresh_from_db()
    assert (asked.answer, asked.quota_raise) == ("Not this month", None)
    assert not QuotaRaise.objects.exists()


def test_nobody_asks_twice_at_a_time(bobs: Client, asked: RaiseRequest) -> None:
    again = bobs.post(address("limit", quota=asked.quota_id), {"amount": "9", "reason": "And more"})
    assert b"was asked about before" in again.content
    assert RaiseRequest.objects.count() == 1


@pytest.mark.parametrize("amount", ["0", "-1", "much", "999999999999", "1e400"])
def test_an_amount_that_means_nothing_names_its_field(
    bobs: Client, quota: Quota, amount: str
) -> None:
    page = bobs.post(address("limit", quota=quota.pk), {"amount": amount, "reason": "x"})
    assert page.status_code == 200
    assert b'aria-invalid="true"' in page.content
    assert not RaiseRequest.objects.exists()


def test_limits_of_other_people_and_their_keys_do_not_exist_for_a_member(
    bobs: Client, acme: Organization, project: Project
) -> None:
    hers = Membership.objects.get(organization=acme, user__email="alice@example.org")
    key = issue_key(project=project, name="hers", owner=hers).key
    for scope, number in (("member", hers.pk), ("key", key.pk)):
        quota = Quota.objects.create(
            organization=acme.pk, scope=scope, scope_id=number, unit="cost", window="day", limit=1
        )
        assert bobs.get(address("limit", quota=quota.pk)).status_code == 404


def test_an_owner_does_not_limit_the_organization_as_a_whole(
    alices: Client, acme: Organization
) -> None:
    form = {"target": f"organization-{acme.pk}", "unit": "cost", "limit": "1", "window": "day"}
    page = alices.post(address("new_limit"), {**form, "mode": "enforce"})
    assert b"aria-invalid" in page.content
    assert not Quota.objects.exists()


def test_a_limit_smaller_than_one_call_says_so(
    alices: Client, quota: Quota, model: str, service_key: ApiKey
) -> None:
    tokens = Quota.objects.create(
        organization=quota.organization,
        scope="key",
        scope_id=service_key.pk,
        unit="output_tokens",
        window="day",
        limit=100,
        hold="bounded",
    )
    page = alices.get(address("limit", quota=tokens.pk)).content.decode()
    assert f"long answers of {model} may take 4096" in page


def test_a_raise_ends_on_a_day_that_every_zone_has(alices: Client, asked: RaiseRequest) -> None:
    form = {"amount": "1", "until": "9999-12-31"}
    assert b'id="id_until_error"' in alices.post(address("approve", number=asked.pk), form).content
    assert not QuotaRaise.objects.exists()
