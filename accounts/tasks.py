"""What Celery does for this app; each task calls one function."""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task

from accounts import changes, repeats


@shared_task(name="accounts.trim_change_log")
def trim_change_log() -> None:
    changes.trim_change_log(timedelta(days=7))


@shared_task(name="accounts.forget_old_requests")
def forget_old_requests() -> None:
    repeats.forget_old_requests()
