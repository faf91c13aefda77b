"""/health says what the operators' page of it says, and has the ledger checked."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from redis import Redis

from billing.models import LedgerCheck
from billing.rollups import fold_usage
from billing.status import FIGURES
from gateway.overview import count_waiting_tasks
from local.children import find_free_port
from tests.api.asking import Api
from tests.billing.facts import make_event, store

pytestmark = pytest.mark.django_db


def test_it_says_what_is_wrong_and_how_routes_do(operators: Api) -> None:
    now = timezone.now()
    store([make_event(now), make_event(now, outcome="upstream_failed")])
    fold_usage(connection)
    LedgerCheck.objects.create(
        seconds=1.5, differences=[], windows=1, events=2, adjustments=0, conflicts=0, rejected=0
    )
    found = operators.get("health").body
    assert "no_process" in {each["name"] for each in found["troubles"]}
    assert found["figures"].keys() == FIGURES.keys()
    assert [(each["provider"], each["failed"]) for each in found["routes"]] == [("openai", 1)]
    assert [(each["events"], each["differences"]) for each in found["checks"]] == [(2, [])]


def test_a_check_is_left_to_a_worker(operators: Api, settings: Any) -> None:
    with Redis.from_url(settings.REDIS_URL) as redis:
        redis.delete("celery")
        assert operators.post("health/check-ledger", {}).status == 202
        assert count_waiting_tasks() == 1
        redis.delete("celery")


def test_redis_away_is_said(operators: Api, settings: Any) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{find_free_port()}/0"
    found = operators.get("health").body
    assert found["waiting_tasks"] is None
    assert "redis_away" in {each["name"] for each in found["troubles"]}


def test_charlie_and_an_owner_are_not_told(alices: Api, charlies: Api) -> None:
    for api in (alices, charlies):
        assert api.get("health").status == 403
