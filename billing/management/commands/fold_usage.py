"""Fold waiting deltas into rollups now, as the task does every other second."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.db import connection

from billing.models import RollupDelta
from billing.rollups import fold_usage


class Command(BaseCommand):
    help = "Fold waiting usage deltas into the rollups that reports read."

    def handle(self, **_: Any) -> None:
        folded = fold_usage(connection)
        left = RollupDelta.objects.count()
        self.stdout.write(f"Deltas folded: {folded}, left: {left}.")
