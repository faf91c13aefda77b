"""Is the database as this version wants it? A process starts on the schema of one release before,
and says so until the migrations have run (docs/decisions/0016)."""

from __future__ import annotations

from functools import cache
from typing import Any

import psycopg
from django.db.migrations.loader import MigrationLoader
from psycopg import AsyncConnection

APPS = frozenset({"accounts", "billing", "gateway", "console"})


class SchemaMissing(Exception):
    """The database has none of our tables."""


async def find_missing_migrations(connection: AsyncConnection[Any]) -> frozenset[str]:
    """Return which of our migrations the database lacks, as app.name. Raises SchemaMissing."""
    try:
        cursor = await connection.execute("SELECT app || '.' || name FROM django_migrations")
    except psycopg.errors.UndefinedTable:
        raise SchemaMissing("The database has no tables: run `manage.py migrate` first.") from None
    missing = known_migrations() - {str(row[0]) for row in await cursor.fetchall()}
    if missing == known_migrations():
        raise SchemaMissing("The database has no tables of ours: run `manage.py migrate` first.")
    return missing


@cache
def known_migrations() -> frozenset[str]:
    """Return the migrations of our own apps that came with this version."""
    found = MigrationLoader(None, ignore_no_migrations=True).disk_migrations
    return frozenset(f"{app}.{name}" for app, name in found if app in APPS)
