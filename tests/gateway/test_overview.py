"""What is wrong with the installation, by name, and the page that shows it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone
from redis import Redis

from accounts.models import User
from billing.models import GatewayProcess, LedgerCheck
from billing.rollups import fold_usage
from billing.status import FIGURES
from billing.usage import new_id
from gateway.overview import (
    ProcessState,
    count_waiting_tasks,
    find_failing_routes,
    find_troubles,
)
from local.children import find_free_port
from tests.billing.facts import make_event, store
from tests.gateway.catalogs import add_model, add_provider, add_route

NOW = datetime(2026, 3, 1, tzinfo=UTC)
WELL = dict.fromkeys(FIGURES, 0.0)


def state(**changes: Any) -> ProcessState:
    started = {"id": new_id(), "host": "a", "started_at": NOW - timedelta(days=1)}
    return ProcessState(**{**started, "silent_seconds": 2.0, **changes})


def names(
    *processes: ProcessState,
    figures: dict[str, float] | None = None,
    waiting_tasks: int | None = 0,
) -> list[str]:
    found = find_troubles(
        {**WELL, **(figures or {})}, processes or [state()], waiting_tasks=waiting_tasks, now=NOW
    )
    return [trouble.name for trouble in found]


def test_nothing_is_wrong_with_a_quiet_installation() -> None:
    assert names() == []


@pytest.mark.parametrize(
    ("figures", "name"),
    [
        ({"fold_lag_seconds": 61.0}, "fold_waits"),
        ({"ledger_check_differences": 1.0}, "ledger_differs"),
        ({"ledger_check_age_seconds": 4 * 3600.0}, "ledger_unchecked"),
        ({"ledger_check_age_seconds": -1.0}, "ledger_unchecked"),
        ({"attempts_finished_recently": 9.0, "attempts_stored_recently": 8.0}, "events_missing"),
        ({"windows_over_limit": 1.0}, "windows_over_limit"),
        ({"routes_suspended": 1.0}, "routes_suspended"),
        ({"settlement_conflicts": 1.0}, "settlement_conflicts"),
        ({"rejected_events": 1.0}, "rejected_events"),
        ({"default_partition_rows": 1.0}, "no_partition"),
    ],
)
def test_a_figure_that_is_wrong_is_named(figures: dict[str, float], name: str) -> None:
    assert names(figures=figures) == [name]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"silent_seconds": 31.0}, "process_silent"),
        ({"silent_seconds": None}, "process_silent"),
        ({"degraded": ["spool_full"]}, "spool_full"),
        ({"queue": 5, "lag_seconds": 61.0}, "settlement_waits"),
    ],
)
def test_a_process_that_ails_is_named(changes: dict[str, Any], name: str) -> None:
    assert names(state(), state(**changes)) == [name]


@pytest.mark.django_db
def test_a_route_that_does_not_answer_is_named_once_while_it_may_be_called() -> None:
    route = add_route(add_model("gpt-4o"), add_provider("openai"))
    both = [state(failing_routes=[route.pk, 0]), state(failing_routes=[route.pk])]
    silent = state(failing_routes=[route.pk], silent_seconds=99.0)
    [trouble] = find_failing_routes([*both, silent])
    assert trouble.name == "route_fails"
    assert trouble.text.startswith("Provider openai failed calls of gpt-4o ")
    assert trouble.text.endswith("says 2 processes.")
    route.enabled = False
    route.save()
    assert list(find_failing_routes(both)) == []


def test_no_process_is_the_first_thing_to_say() -> None:
    troubles = list(find_troubles({**WELL, "rejected_events": 1}, [], waiting_tasks=0, now=NOW))
    assert [trouble.name for trouble in troubles] == ["no_process", "rejected_events"]


def test_background_work_that_is_not_done_is_named() -> None:
    assert names(waiting_tasks=None) == ["redis_away"]
    assert names(waiting_tasks=101) == ["tasks_wait"]


def test_attempts_in_a_queue_are_not_missing() -> None:
    waits = {"attempts_finished_recently": 9.0, "attempts_stored_recently": 6.0}
    assert names(state(queue=3), figures=waits) == []


def test_a_new_installation_need_not_have_been_checked() -> None:
    young = state(started_at=NOW - timedelta(minutes=5))
    assert names(young, figures={"ledger_check_age_seconds": -1.0}) == []


@pytest.fixture
def operator(client: Client, db: None) -> Client:
    client.force_login(User.objects.create_superuser("operator@example.org", "a password"))
    return client


def test_the_page_shows_processes_checks_and_what_is_wrong(operator: Client) -> None:
    now = timezone.now()
    process = GatewayProcess.objects.create(
        id=new_id(),
        host="gateway-7",
        started_at=now,
        lease_until=Now() + timedelta(seconds=30),
        report={"version": "9.9.9", "degraded": ["draws_wait"], "queue": 4, "unheard_of": 1},
        reported_at=now,
    )
    LedgerCheck.objects.create(
        seconds=1.5,
        differences=["Window 7 has more than it should."],
        **dict.fromkeys(("windows", "events", "adjustments", "conflicts", "rejected"), 1),
    )
    page = operator.get("/admin/health/").content.decode()
    shown = [
        str(process.id)[:13],
        "gateway-7",
        "9.9.9",
        "draws_wait",
        "Window 7 has more than it should.",
        "ledger_differs",
        *FIGURES,
    ]
    assert [text for text in shown if text not in page] == []


def test_routes_are_shown_with_what_failed(operator: Client) -> None:
    now = timezone.now()
    store([make_event(now), make_event(now, outcome="upstream_failed")])
    fold_usage(connection)
    page = operator.get("/admin/health/")
    assert [(route.provider, route.failed) for route in page.context["overview"].routes] == [
        ("openai", 1)
    ]
    assert "50.0 %" in page.content.decode()


def test_a_check_of_the_ledger_is_left_to_a_worker(operator: Client, settings: Any) -> None:
    with Redis.from_url(settings.REDIS_URL) as redis:
        redis.delete("celery")
        before = count_waiting_tasks()
        answer = operator.post("/admin/health/check-ledger/", follow=True)
        assert "A worker was asked" in answer.content.decode()
        assert (before, count_waiting_tasks()) == (0, 1)
        assert "billing.check_ledger" in str(redis.lindex("celery", 0))
        redis.delete("celery")
    assert operator.get("/admin/health/check-ledger/").status_code == 405


def test_redis_away_is_no_error_of_the_page(operator: Client, settings: Any) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{find_free_port()}/0"
    page = operator.get("/admin/health/")
    assert page.context["overview"].waiting_tasks is None
    assert "redis_away" in page.content.decode()


def test_a_trigger_that_is_missing_is_named(operator: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER tollgate_watch ON route")
    assert "The trigger route: tollgate_watch" in operator.get("/admin/").content.decode()


def test_charlie_may_not_ask_for_a_check(client: Client, charlie: User) -> None:
    client.force_login(charlie)
    answer = client.post("/admin/health/check-ledger/")
    assert (answer.status_code, answer["location"][:13]) == (302, "/admin/login/")
