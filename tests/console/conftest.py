"""People of every role with a browser of their own, and an organization that has one of each."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.invitations import invite
from accounts.issuance import issue_key
from accounts.models import ApiKey, Membership, Organization, Project, User
from billing.models import Quota, QuotaRaise, RaiseRequest
from billing.quotas import raise_limit
from billing.quotas.asking import ask_for_more
from tests.gateway.catalogs import add_model, add_provider, add_route


def browser(user: User | None = None) -> Client:
    client = Client()
    if user is not None:
        client.force_login(user)
    return client


@pytest.fixture
def alices(alice: User, acme: Organization) -> Client:
    """The browser of acme's owner."""
    return browser(alice)


@pytest.fixture
def bobs(bob: User, acme: Organization) -> Client:
    """... of a member."""
    return browser(bob)


@pytest.fixture
def charlies(charlie: User) -> Client:
    """... of a stranger, who owns an organization of his own."""
    globex = Organization.objects.create(slug="globex", name="Globex")
    Membership.objects.create(organization=globex, user=charlie, role=Membership.Role.OWNER)
    return browser(charlie)


@pytest.fixture
def his(bob: User, acme: Organization) -> Membership:
    return Membership.objects.get(user=bob, organization=acme)


@pytest.fixture
def model(db: None) -> str:
    add_route(add_model("gpt-4o"), add_provider("openai"))
    return "gpt-4o"


@pytest.fixture
def service_key(project: Project) -> ApiKey:
    return issue_key(project=project, name="nightly").key


@pytest.fixture
def quota(acme: Organization, project: Project) -> Quota:
    return Quota.objects.create(
        organization=acme.pk,
        scope="project",
        scope_id=project.pk,
        unit="cost",
        window="month",
        limit=5 * 10**10,
    )


@pytest.fixture
def asked(quota: Quota, his: Membership) -> RaiseRequest:
    return ask_for_more(quota, member=his.pk, amount="1.00", reason="a test of everything")


@pytest.fixture
def raised(quota: Quota) -> QuotaRaise:
    return raise_limit(quota, amount="2.00", ends_at=timezone.now() + timedelta(days=1))


@pytest.fixture
def token(acme: Organization, alice: User) -> str:
    return invite(acme, email="invited@example.org", role="member", invited_by=alice)[1]
