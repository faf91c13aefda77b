"""Limits that are counted in Redis: how full they are is shown while Redis is there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from redis import Redis

from accounts.models import Organization, Project
from billing.ledger.rates import write_key
from billing.models import Quota
from billing.quotas.standing import find_windows

pytestmark = pytest.mark.django_db


@pytest.fixture
def redis(settings: Any) -> Iterator[Redis]:
    client = Redis.from_url(settings.REDIS_URL)
    client.flushdb()
    yield client
    client.flushdb()
    client.close()


@pytest.fixture
def minute(acme: Organization, project: Project) -> Quota:
    return make(acme, project, unit="requests", window="minute", limit=600)


@pytest.fixture
def at_once(acme: Organization, project: Project) -> Quota:
    return make(acme, project, unit="concurrency", window="none", limit=20)


def make(acme: Organization, project: Project, **fields: Any) -> Quota:
    return Quota.objects.create(
        organization=acme.pk, scope="project", scope_id=project.pk, **fields
    )


def count(redis: Redis, quota: Quota, amount: int) -> None:
    """As gateways do in the minute that is now, and in the one that may begin before it is read."""
    for start in (0, 60):
        at = (int(time.time()) + start) // 60 * 60
        redis.set(f"tollgate:{{{quota.organization}}}:{quota.pk}:{at}", amount)


def run(redis: Redis, quota: Quota, process: str, amount: int, *, seconds: int) -> None:
    key = write_key(organization=quota.organization, quota=quota.pk, starts_at=None)
    redis.hset(key, process, f"{amount}:{int((time.time() + seconds) * 1000)}")


def test_requests_of_this_minute_and_calls_at_once_are_shown(
    alices: Client, minute: Quota, at_once: Quota, redis: Redis
) -> None:
    limits = reverse("limits", args=["acme"])
    assert "0 of 600" in alices.get(limits).content.decode()
    count(redis, minute, 570)
    run(redis, at_once, "one", 3, seconds=15)
    run(redis, at_once, "another", 4, seconds=15)
    run(redis, at_once, "gone", 9, seconds=-1)
    page = alices.get(limits).content.decode()
    assert "570 of 600" in page
    assert "7 of 20" in page
    assert "Near a limit" in page
    assert "every minute" in page
    assert "as calls end" in page
    told = alices.get("/api/v1/organizations/acme/quotas").json()
    rows = told["items"]
    assert {row["unit"]: row["window_now"]["drawn"] for row in rows} == {
        "requests": "570",
        "concurrency": "7",
    }
    assert {row["window_now"]["used"] for row in rows} == {"0"}


def test_a_cost_of_a_minute_is_told_by_the_api_in_dollars(
    alices: Client, acme: Organization, project: Project, redis: Redis
) -> None:
    count(redis, make(acme, project, unit="cost", window="minute", limit=10**11), 15 * 10**9)
    [row] = alices.get("/api/v1/organizations/acme/quotas").json()["items"]
    assert (row["window_now"]["used"], row["window_now"]["drawn"]) == ("0.00", "1.50")


def test_without_redis_the_page_says_what_is_allowed(
    alices: Client, minute: Quota, settings: Any
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    page = alices.get(reverse("limit", args=["acme", minute.pk])).content.decode()
    assert "at most 600" in page
    assert find_windows([minute]) == {}
