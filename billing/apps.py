"""The Django application that knows what was used, what is allowed and what it costs."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from django.apps import AppConfig
from django.db import OperationalError, connections
from django.db.models.signals import post_migrate


class BillingConfig(AppConfig):
    name = "billing"
    verbose_name = "Used, allowed, charged"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        post_migrate.connect(make_first_partitions, sender=self)


def make_first_partitions(*, using: str, **_: Any) -> None:
    """See to it that the days ahead have partitions before the first event, not an hour later.

    A server too busy to be locked is no reason not to start: the task tries again, and until then
    the default partition takes the events.
    """
    from billing.partitions import make_partitions

    connection = connections[using]
    if "usage_event" not in connection.introspection.table_names():
        return
    try:
        make_partitions(connection, today=datetime.now(UTC).date())
    except OperationalError as error:
        logging.getLogger(__name__).warning("partitions will be made later: %s", error)
