"""A limit is ended by those who may, once they have been told what that means."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from billing.models import Quota

pytestmark = pytest.mark.django_db


def address(name: str, quota: Quota) -> str:
    return reverse(name, kwargs={"organization": "acme", "quota": quota.pk})


def is_living(quota: Quota) -> bool:
    quota.refresh_from_db()
    return quota.ends_at is None


def test_it_is_asked_before_a_limit_ends(alices: Client, quota: Quota) -> None:
    """One press of "End it" took the limit away."""
    page = alices.get(address("limit", quota)).content.decode()
    assert f'action="{address("end_limit", quota)}"' not in page
    assert f'href="{address("end_limit", quota)}"' in page
    question = alices.get(address("end_limit", quota)).content.decode()
    assert "End the limit?" in question
    assert is_living(quota)


def test_whoever_confirms_ends_it(alices: Client, quota: Quota) -> None:
    done = alices.post(address("end_limit", quota), follow=True)
    assert b"The limit is gone." in done.content
    assert not is_living(quota)


def test_a_member_and_a_stranger_end_nothing(bobs: Client, charlies: Client, quota: Quota) -> None:
    for client, status in ((bobs, 403), (charlies, 404)):
        assert client.get(address("end_limit", quota)).status_code == status
        assert client.post(address("end_limit", quota)).status_code == status
    assert is_living(quota)
