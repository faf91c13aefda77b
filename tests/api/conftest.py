"""The people of tests/conftest.py, each with the API in hand."""

import pytest

from accounts.models import Membership, Organization, User
from tests.api.asking import Api


@pytest.fixture
def nobody() -> Api:
    return Api()


@pytest.fixture
def alices(alice: User, acme: Organization) -> Api:
    """The API in the hands of acme's owner."""
    return Api(alice)


@pytest.fixture
def bobs(bob: User, acme: Organization) -> Api:
    """... of a member of acme."""
    return Api(bob)


@pytest.fixture
def charlies(charlie: User) -> Api:
    """... of a stranger, who owns an organization of his own."""
    globex = Organization.objects.create(slug="globex", name="Globex")
    Membership.objects.create(organization=globex, user=charlie, role=Membership.Role.OWNER)
    return Api(charlie)


@pytest.fixture
def operators(operator: User) -> Api:
    return Api(operator)


@pytest.fixture
def his(bob: User, acme: Organization) -> Membership:
    """Bob's membership of acme."""
    return Membership.objects.get(user=bob, organization=acme)


@pytest.fixture
def hers(alice: User, acme: Organization) -> Membership:
    """Alice's."""
    return Membership.objects.get(user=alice, organization=acme)
