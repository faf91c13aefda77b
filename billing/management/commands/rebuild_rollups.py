"""Make rollups again from the facts they are derived from."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import UTC, date, datetime, time
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from billing.rollups import rebuild_rollups


class Command(BaseCommand):
    help = "Recompute rollups from events and corrections; settlement goes on meanwhile."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--since", type=date.fromisoformat, metavar="DATE", help="first day (UTC)"
        )
        parser.add_argument(
            "--until", type=date.fromisoformat, metavar="DATE", help="first day left out (UTC)"
        )

    def handle(self, *, since: date | None, until: date | None, **_: Any) -> None:
        try:
            made = rebuild_rollups(connection, since=_midnight(since), until=_midnight(until))
        except ValueError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"Rollups made from facts: {made}.")


def _midnight(day: date | None) -> datetime | None:
    return None if day is None else datetime.combine(day, time(), tzinfo=UTC)
