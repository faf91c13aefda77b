"""The Django application that knows who may call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = "Who may call"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from accounts.proxies import check_https

        register(check_triggers, Tags.database)
        register(check_https, Tags.security, deploy=True)


def check_triggers(*, databases: Sequence[str] | None, **_: Any) -> list[CheckMessage]:
    """`manage.py check --database default`, and so `migrate`: no change can go unseen."""
    from accounts.triggers import find_missing_triggers

    return [
        Error(
            f"The trigger {missing} is missing or disabled, so changes go unseen.",
            hint="ALTER TABLE ... ENABLE TRIGGER, or restore it from its migration.",
            id="accounts.E001",
        )
        for alias in databases or ()
        for missing in find_missing_triggers(connections[alias])
    ]
