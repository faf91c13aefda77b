"""What Celery runs for the gateway: each task calls one function, which is safe to repeat."""

from __future__ import annotations

from celery import shared_task
from django.db import connection

from gateway import repeats


@shared_task(name="gateway.forget_old_calls")
def forget_old_calls() -> None:
    repeats.forget_old_calls(connection)
