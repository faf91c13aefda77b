"""Migrations are complete, one line an app, and never pull the floor from under a running release.

The release before runs on the schema of this one while it is rolled out. So it may leave out what
is added, and what is taken away was used by nobody since the release that the migration names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.models.fields import NOT_PROVIDED

from gateway.schema import APPS, known_migrations

REMOVING = (
    migrations.RemoveField,
    migrations.DeleteModel,
    migrations.RenameField,
    migrations.RenameModel,
)
REMOVING_SQL = re.compile(
    r"\b(DROP\s+(TABLE|COLUMN)|RENAME\s+(TO|COLUMN)|SET\s+NOT\s+NULL)\b", re.I
)
# Made before anything was released: nothing older ever ran on them.
BEFORE_FIRST_RELEASE = re.compile(r"^000[1-5]_")


def test_no_migration_is_missing(db: None) -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=1)


def test_each_app_has_one_newest_migration() -> None:
    loader = MigrationLoader(None)
    assert loader.detect_conflicts() == {}
    assert {app for app, _ in loader.disk_migrations} >= APPS - {"console"}
    assert len(known_migrations()) > 15


def test_what_is_added_may_be_left_out_by_the_release_before() -> None:
    demanded = [
        f"{name}: {operation.model_name}.{operation.name}"
        for name, operation, created in operations()
        if isinstance(operation, migrations.AddField)
        and operation.model_name.lower() not in created
        and not may_be_left_out(operation.field)
    ]
    assert demanded == [], "give it null=True or a db_default"


def test_what_is_taken_away_says_since_when_nothing_uses_it() -> None:
    loader = MigrationLoader(None)
    for (app, name), migration in loader.disk_migrations.items():
        if app in APPS and any(removes(each) for each in migration.operations):
            since = getattr(migration, "unused_since", None)
            assert since, f"{app}.{name} takes something away: add unused_since = 'x.y.z'"
            assert version(since) < version(settings.VERSION), f"{app}.{name}: one release later"


@pytest.mark.parametrize(
    ("operation", "is_removing"),
    [
        (migrations.RemoveField("quota", "mode"), True),
        (migrations.RunSQL("ALTER TABLE quota DROP COLUMN mode"), True),
        (migrations.RunSQL("ALTER TABLE quota ALTER mode SET NOT NULL"), True),
        (migrations.RunSQL("ALTER TABLE quota ADD COLUMN mood text"), False),
        (migrations.AddField("quota", "mood", models.TextField()), False),
    ],
)
def test_the_walk_tells_what_takes_away(operation: Any, is_removing: bool) -> None:
    assert removes(operation) == is_removing


def operations() -> Iterator[tuple[str, Any, set[str]]]:
    """Return every later operation with its migration and the models that this one creates."""
    for (app, name), migration in MigrationLoader(None).disk_migrations.items():
        if app not in APPS or BEFORE_FIRST_RELEASE.match(name):
            continue
        created = {
            each.name.lower()
            for each in migration.operations
            if isinstance(each, migrations.CreateModel)
        }
        for operation in migration.operations:
            yield f"{app}.{name}", operation, created


def may_be_left_out(field: models.Field[Any, Any]) -> bool:
    return field.null or field.db_default is not NOT_PROVIDED or field.many_to_many or False


def removes(operation: Any) -> bool:
    if isinstance(operation, migrations.RunSQL):
        return REMOVING_SQL.search(str(operation.sql)) is not None
    return isinstance(operation, REMOVING)


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))
