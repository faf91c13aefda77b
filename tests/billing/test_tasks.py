"""Tasks and commands: what they are called, and that each does its one thing on the real parts."""

from __future__ import annotations

import asyncio
import io
import uuid
from datetime import UTC, datetime, timedelta

import msgspec
import psycopg
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection

from billing import tasks
from billing.check import check_ledger
from billing.ledger import processes, settlement
from billing.models import GatewayProcess, Rollup, RollupDelta
from billing.partitions import name_of
from billing.usage import new_id
from config.celery import app
from tests.billing.facts import NOON, make_event, store


def command(name: str, *arguments: str) -> str:
    out = io.StringIO()
    call_command(name, *arguments, stdout=out)
    return out.getvalue()


def test_every_task_of_the_schedule_that_is_ours_exists() -> None:
    app.loader.import_default_modules()
    ours = {str(entry["task"]) for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    ours = {name for name in ours if name.startswith(("accounts.", "billing.", "gateway."))}
    assert len(ours) == 9
    assert ours <= set(app.tasks)


@pytest.mark.django_db
def test_the_fold_task_folds() -> None:
    store([make_event()])
    tasks.fold_usage()
    assert (Rollup.objects.count(), RollupDelta.objects.count()) == (1, 0)


@pytest.mark.django_db
def test_the_partition_task_has_tomorrow_made() -> None:
    tasks.make_partitions()
    with connection.cursor() as cursor:
        tomorrow = datetime.now(UTC).date() + timedelta(days=1)
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [name_of(tomorrow)])
        assert cursor.fetchone()[0]


@pytest.mark.django_db(transaction=True)
def test_the_reaper_ends_a_process_whose_lease_ran_out() -> None:
    past = datetime.now(UTC) - timedelta(minutes=1)
    GatewayProcess.objects.create(id=uuid.uuid4(), host="x", started_at=past, lease_until=past)
    tasks.reap_processes()
    assert GatewayProcess.objects.get().ended_at is not None


@pytest.mark.django_db
def test_the_fold_command_says_what_it_did() -> None:
    store([make_event(), make_event(key=2)])
    assert command("fold_usage") == "Deltas folded: 2, left: 0.\n"


@pytest.mark.django_db(transaction=True)
def test_the_rebuild_command_keeps_to_its_days() -> None:
    store([make_event(NOON), make_event(NOON + timedelta(days=1))])
    made = command("rebuild_rollups", "--since", "2026-03-11", "--until", "2026-03-12")
    assert made == "Rollups made from facts: 1.\n"
    assert command("rebuild_rollups") == "Rollups made from facts: 2.\n"


@pytest.mark.django_db(transaction=True)
def test_what_the_ledger_settles_is_folded_and_agrees_with_the_facts(dsn: str) -> None:
    events = [msgspec.json.encode(make_event(key=n % 3, tags={"k": str(n)})) for n in range(20)]

    async def settle_twice() -> None:
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as own:
            await processes.register(own, process := new_id())
            for _ in range(2):
                await settlement.settle(own, process=process, events=events, windows=[])

    asyncio.run(settle_twice())
    tasks.fold_usage()
    assert sum(Rollup.objects.values_list("calls", flat=True)) == 20
    assert check_ledger(connection).differences == []
