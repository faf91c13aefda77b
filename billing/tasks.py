"""What Celery runs for billing: each task calls one function, which is safe to repeat."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from celery import shared_task
from django.conf import settings
from django.db import connection

from accounts.connections import conninfo_of
from billing import partitions, refusals, retention, rollups, status
from billing.ledger.processes import reap_ended_processes


@shared_task(name="billing.fold_usage")
def fold_usage() -> None:
    rollups.fold_usage(connection)


@shared_task(name="billing.make_partitions")
def make_partitions() -> None:
    partitions.make_partitions(connection, today=datetime.now(UTC).date())


@shared_task(name="billing.drop_old_days")
def drop_old_days() -> None:
    today = datetime.now(UTC).date()
    retention.drop_old_days(connection, today=today, keep_days=settings.RETENTION_DAYS)


@shared_task(name="billing.check_ledger")
def check_ledger() -> None:
    status.record_check(connection)


@shared_task(name="billing.trim_refusals")
def trim_refusals() -> None:
    refusals.trim_refusals(connection)


@shared_task(name="billing.reap_processes")
def reap_processes() -> None:
    conninfo = conninfo_of(connection.settings_dict)
    asyncio.run(reap_ended_processes(conninfo, settings.TOLLGATE_DATA / "spool"))
