"""Roles, and the owner who cannot go."""

from __future__ import annotations

from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse

from accounts.models import Membership, Organization, User
from tests.console.conftest import browser

pytestmark = pytest.mark.django_db


def address(name: str, **parts: object) -> str:
    return reverse(name, kwargs={"organization": "acme", **parts})


def test_the_last_owner_stays(alices: Client, alice: User, acme: Organization) -> None:
    hers = Membership.objects.get(user=alice)
    assert b"An organization needs an owner" in alices.post(address("leave")).content
    page = alices.post(address("role", member=hers.pk), {"role": "viewer"})
    assert b"An organization needs an owner" in page.content
    hers.refresh_from_db()
    assert (hers.role, hers.left_at) == ("owner", None)


def test_an_admin_makes_no_owner(acme: Organization, his: Membership) -> None:
    user = User.objects.create_user("admin@example.org")
    Membership.objects.create(organization=acme, user=user, role="admin")
    admin = browser(user)
    assert b"aria-invalid" in admin.post(address("role", member=his.pk), {"role": "owner"}).content
    invited = {"email": "new@example.org", "role": "owner"}
    assert b"aria-invalid" in admin.post(address("invite"), invited).content
    hers = Membership.objects.get(organization=acme, role="owner")
    assert admin.post(address("remove", member=hers.pk)).status_code == 403


@pytest.mark.django_db(transaction=True)
def test_an_invitation_is_a_letter_with_a_link(alices: Client, acme: Organization) -> None:
    alices.post(address("invite"), {"email": "Dora@Example.org", "role": "viewer"})
    (letter,) = mail.outbox
    assert letter.to == ["dora@example.org"]
    assert "/invitations/" in letter.body


def test_who_leaves_is_told_which_keys_end(bobs: Client, bob: User, acme: Organization) -> None:
    bobs.post(address("leave"))
    assert bobs.get(address("organization")).status_code in {302, 404}
    assert not Membership.objects.filter(user=bob, left_at=None).exists()


def test_only_operators_make_organizations_where_signing_up_is_not_open(
    alices: Client, settings: Any
) -> None:
    settings.SIGNUP = "invited"
    form = {"name": "New", "time_zone": "UTC"}
    assert alices.post("/organizations/new", form).status_code == 403
    assert not Organization.objects.filter(slug="new").exists()


def test_a_new_organization_has_an_owner_and_a_project(charlies: Client) -> None:
    charlies.post("/organizations/new", {"name": "Näw & Co", "time_zone": "Europe/Paris"})
    made = Organization.objects.get(slug="naw-co")
    assert made.time_zone == "Europe/Paris"
    assert made.memberships.get().role == "owner"
    assert made.projects.get().slug == "default"


def test_what_is_wrong_with_a_form_is_a_sentence(alices: Client) -> None:
    page = alices.post("/organizations/new", {"name": "Acme", "slug": "acme", "time_zone": "UTC"})
    assert b"already exists.<" in page.content
    form = {"email": "alice@example.org", "role": "member"}
    assert b">alice@example.org is" in alices.post("/o/acme/people/invite", form).content
