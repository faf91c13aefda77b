"""Recompute the ledger from facts; exit 1 when anything differs."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from billing.check import check_ledger


class Command(BaseCommand):
    help = "Compare windows, allowances and rollups with the facts they were made of."

    def handle(self, **_: Any) -> None:
        findings = check_ledger(connection)
        for sentence in findings.differences:
            self.stdout.write(sentence)
        if findings.differences:
            raise CommandError(findings.summary, returncode=1)
        self.stdout.write(findings.summary)
