"""Three people for every test: Alice (owner), Bob (member) and Charlie (a stranger); and the
servers of tests whose gateways are processes of their own."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import hypothesis
import psycopg
import pytest
from django.conf import settings
from django.db import connection

from accounts import login, management_keys
from accounts.connections import conninfo_of
from accounts.models import Membership, Organization, Project, User
from tests.emptying import empty_tables_after_tests
from tests.parts import Servers, run_servers


def pytest_configure() -> None:
    # A password costs a third of a second by the real hasher, and every test has two of them.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    # On a busy machine an example may take longer than 200 ms, and ten longer than a second to be
    # made up, which says nothing of the code.
    too_slow = [hypothesis.HealthCheck.too_slow]
    hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=too_slow)
    hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    """Take away what a test committed by means of our own."""
    with django_db_blocker.unblock():
        empty_tables_after_tests(connection)


@pytest.fixture(autouse=True)
def forgotten_guesses() -> None:
    """Wrong passwords and keys are counted for the life of a process; each test begins anew."""
    login.BY_ADDRESS.forget()
    login.BY_ACCOUNT.forget()
    login.RIGHT_BEFORE.forget()
    management_keys.WRONG_KEYS.forget()


@pytest.fixture
def alice(db: None) -> User:
    return User.objects.create_user("alice@example.org", "alice's password", name="Alice")


@pytest.fixture
def bob(db: None) -> User:
    return User.objects.create_user("bob@example.org", "bob's password", name="Bob")


@pytest.fixture
def charlie(db: None) -> User:
    return User.objects.create_user("charlie@example.org", "charlie's password", name="Charlie")


@pytest.fixture
def operator(db: None) -> User:
    return User.objects.create_superuser("operator@example.org", "operator's password")


@pytest.fixture
def acme(alice: User, bob: User) -> Organization:
    acme = Organization.objects.create(slug="acme", name="Acme", time_zone="Europe/Berlin")
    Membership.objects.create(organization=acme, user=alice, role=Membership.Role.OWNER)
    Membership.objects.create(organization=acme, user=bob, role=Membership.Role.MEMBER)
    return acme


@pytest.fixture
def project(acme: Organization) -> Project:
    return Project.objects.create(organization=acme, slug="default", name="Default")


@pytest.fixture
def dsn(db: None) -> str:
    """The test database as libpq names it, for connections that are not Django's."""
    return conninfo_of(connection.settings_dict)


@pytest.fixture
async def aconn(dsn: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """A second connection. It sees only what was committed: use `transaction=True`."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as second:
        yield second


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    with run_servers() as started:
        yield started
