"""The people of tests/conftest.py, each with the API in hand."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.core.signals import request_finished, request_started
from django.db import close_old_connections

from accounts.invitations import invite
from accounts.issuance import issue_key
from accounts.management_keys import issue_management_key
from accounts.models import ApiKey, Membership, Organization, Project, User
from billing.models import RouteSuspension
from billing.prices import add_price
from billing.pricing import parse_prices
from billing.quotas import parse_quota, raise_limit, set_quota
from billing.quotas.asking import ask_for_more
from billing.usage import new_id
from gateway.providers import make_provider
from gateway.routes import make_model, make_route
from tests.api.asking import Api
from tests.billing.facts import make_event, store


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


@pytest.fixture
def world(project: Project, alice: User, operator: User, his: Membership) -> dict[str, str]:
    """What addresses can name, by the names of their parts: acme's, but for what operators have
    and `operators_key`, a management key of theirs."""
    acme = project.organization
    invitation, _ = invite(acme, email="invited@example.org", role="member", invited_by=alice)
    ours, theirs = (
        issue_management_key(organization=whose, name="ci", scope="read", made_by=operator)
        for whose in (acme, None)
    )
    key = issue_key(project=project, name="service").key
    return {
        "organization": acme.slug,
        "project": project.slug,
        "member": str(his.pk),
        "invitation": str(invitation.pk),
        "key": key.public_id,
        "management_key": ours.key.public_id,
        "operators_key": theirs.key.public_id,
        "user": str(his.user_id),
        **make_limits(project, his),
        **make_catalog(),
        "call": use_once(key),
    }


def make_limits(project: Project, member: Membership) -> dict[str, str]:
    """A quota of a project, with a raise and a member's request for more; and a route that strict
    quotas leave out."""
    fields = parse_quota({"unit": "cost", "limit": "1.00", "window": "day"}, scope="project")
    organization = project.organization_id
    quota, _ = set_quota(
        organization=organization, scope="project", scope_id=project.pk, fields=fields
    )
    more = raise_limit(quota, amount="1.00", ends_at=datetime(2099, 1, 1, tzinfo=UTC))
    asked = ask_for_more(quota, member=member.pk, amount="1.00", reason="a launch")
    return {
        "quota": str(quota.pk),
        "quota_raise": str(more.pk),
        "raise_request": str(asked.pk),
        "suspension": str(suspend_route().pk),
    }


def suspend_route() -> RouteSuspension:
    """One attempt cost twice what was held for it."""
    route = {"model": "gpt-4o", "provider": "openai", "upstream_model": "gpt-4o"}
    ticks = {"held_ticks": 10**10, "cost_ticks": 2 * 10**10}
    suspension = RouteSuspension.objects.create(**route, **ticks, event_id=new_id())
    suspension.refresh_from_db()
    return suspension


def make_catalog() -> dict[str, str]:
    """A model with a price, and a provider that serves it."""
    url = "https://api.openai.com/v1"
    provider = make_provider(name="openai", protocol="openai", base_url=url)
    model = make_model(name="gpt-4o", context_window=128_000, max_output_tokens=16_384)
    route = make_route(model, provider, upstream_model="gpt-4o")
    begins = datetime(2026, 1, 1, tzinfo=UTC)
    figures = parse_prices({"input": "2.50", "output": "10.00"})
    price, _ = add_price(model=model.name, effective_from=begins, figures=figures)
    return {
        "provider": provider.name,
        "model": model.name,
        "route": str(route.pk),
        "price": str(price.pk),
    }


def use_once(key: ApiKey) -> str:
    """One call of a key; its id."""
    event = make_event(organization=key.organization_id, project=key.project_id, key=key.pk)
    store([event])
    return event.call_id


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what takes long to collect where none of it would run; None leaves it to others."""
    is_slow = collection_path.name == "test_fuzzed_at_length.py"
    return True if is_slow and config.option.markexpr == "not slow" else None


@pytest.fixture
def within_the_transaction(db: None) -> Iterator[None]:
    """Keep requests of a WSGI application from closing the connection that the test rolls back."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def headers(operator: User) -> dict[str, str]:
    """Those of somebody who may do everything."""
    key = issue_management_key(organization=None, name="fuzz", scope="write", made_by=operator)
    return {"Authorization": f"Bearer {key.plaintext}"}
