"""A gateway that is served, and OpenAI's own client with management keys of acme."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import uvloop
from openai import AsyncOpenAI

from accounts.issuance import IssuedKey, issue_key
from accounts.management_keys import issue_management_key
from accounts.models import Membership, Organization, Project, User
from tests.calls.serving import Served, configure, serve


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The gateway runs on uvloop."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def service(transactional_db: None, project: Project) -> IssuedKey:
    return issue_key(project=project, name="service")


@pytest.fixture
def own(project: Project, bob: User) -> IssuedKey:
    """A key of Bob's."""
    his = Membership.objects.get(user=bob, organization=project.organization)
    return issue_key(project=project, name="bob's", owner=his)


def make_management_key(
    maker: User, organization: Organization | None, *, scope: str = "write"
) -> str:
    return issue_management_key(
        organization=organization, name="ci", scope=scope, made_by=maker
    ).plaintext


@pytest.fixture
def alices_key(transactional_db: None, alice: User, acme: Organization) -> str:
    return make_management_key(alice, acme)


@pytest.fixture
def bobs_key(transactional_db: None, bob: User, acme: Organization) -> str:
    return make_management_key(bob, acme)


@pytest.fixture
def charlies_key(transactional_db: None, charlie: User) -> str:
    """A stranger's, who owns an organization of his own."""
    globex = Organization.objects.create(slug="globex", name="Globex")
    Membership.objects.create(organization=globex, user=charlie, role=Membership.Role.OWNER)
    return make_management_key(charlie, globex)


@pytest.fixture
async def served(
    transactional_db: None, dsn: str, tmp_path: Path, service: IssuedKey
) -> AsyncIterator[Served]:
    async with serve(configure(dsn, tmp_path), key=service.plaintext) as found:
        yield found


Client = Callable[..., AsyncOpenAI]


@pytest.fixture
async def client(served: Served) -> AsyncIterator[Client]:
    """Return a function that makes OpenAI's client for a management key."""
    async with AsyncExitStack() as stack:

        def make(key: str, *, organization: str | None = None) -> AsyncOpenAI:
            made = AsyncOpenAI(
                admin_api_key=key,
                api_key="unused",
                base_url=f"{served.url}/v1",
                max_retries=0,
                organization=organization,
            )
            stack.push_async_callback(made.close)
            return made

        yield make
