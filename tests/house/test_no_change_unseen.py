"""No change escapes the audit and the change log, by whatever way it comes.

The walk goes over every table there is. Triggers write both logs, so SQL is the way that shows it:
pages, API, commands and functions can do no more than SQL does.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.apps import apps
from django.core.management import get_commands, load_command_class
from django.db import IntegrityError, connection, transaction
from django.db.migrations.loader import MigrationLoader
from django.utils import timezone

from accounts.apps import check_triggers
from accounts.audit import AuditedCommand
from accounts.changes import Follower, Subscriber
from accounts.models import AuditEvent, ChangeLog, Project
from accounts.triggers import Watch, watched_tables
from gateway.lanes import Lanes
from gateway.process import GatewayProcess
from tests.calls.serving import configure
from tests.rows import make_everything

# Why nobody has to be told when one of these changes.
UNWATCHED = {
    "change_log": "a log itself",
    "audit_event": "a log itself, which the database lets nobody change",
    "usage_event": "facts, which the database lets nobody change",
    "adjustment": "facts, which the database lets nobody change",
    "settlement_conflict": "facts that were set aside",
    "rejected_event": "facts that were set aside",
    "repeatable_call": "which call a repeated request led to, for a day",
    "dropped_day": "what retention did, proven by check_ledger",
    "refusal": "samples, computed from by nobody",
    "ledger_check": "findings of a task",
    "quota_window": "the ledger's own, proven by check_ledger",
    "quota_raise_kept": "the ledger's own, written once",
    "allowance": "the ledger's own, proven by check_ledger",
    "gateway_process": "a process says how it is",
    "rollup": "derived, proven by check_ledger",
    "rollup_delta": "derived, proven by check_ledger",
    "rollup_tag": "derived, proven by check_ledger",
    "rollup_tag_delta": "derived, proven by check_ledger",
    "key_request": "which key a repeated request led to; the key is watched",
    "django_session": "who is logged in now",
    "usersessions_usersession": "who is logged in now",
    "account_emailconfirmation": "no links are sent, so no row is made",
    "socialaccount_socialapp": "the environment says it, so no row is made",
    "socialaccount_socialtoken": "none is kept",
    "django_admin_log": "the admin's own log; the audit is ours",
    "django_content_type": "made by migrations",
    "auth_permission": "made by migrations",
}
IGNORED_COLUMNS = {
    ("accounts_user", "last_login"),
    ("mfa_authenticator", "last_used_at"),
    ("socialaccount_socialaccount", "last_login"),
}
# Processes read nothing else of a user, so nothing else wakes them.
READ_OF_USERS = "is_active"
OTHER_VALUE = {
    "boolean": "NOT coalesce({column}, false)",
    "timestamp with time zone": "coalesce({column}, now()) + interval '1 second'",
    "bytea": "decode(repeat(md5({column}::text), 2), 'hex')",
    "jsonb": """'{{"changed": "yes"}}'""",
    "ARRAY": "'{{192.0.2.0/24}}'",
    "inet": "'192.0.2.1'",
    "uuid": "gen_random_uuid()",
    **dict.fromkeys(("bigint", "integer", "smallint"), "coalesce({column}, 0) + 1"),
    **dict.fromkeys(("character varying", "text"), "CASE {column} WHEN 'x' THEN 'y' ELSE 'x' END"),
}
# Commands that change nothing that is watched, and one that replaces the audit with the rest.
QUIET_COMMANDS = {"restore", "check_ledger", "fold_usage", "rebuild_rollups", "usage_report"}


@pytest.fixture
def everything(project: Project) -> list[str]:
    return make_everything(project)


def test_every_table_is_watched_or_says_why_not(db: None) -> None:
    tables = {model._meta.db_table for model in apps.get_models(include_auto_created=True)}
    watched = set(watches())
    assert tables - watched - UNWATCHED.keys() == set(), "neither watched nor explained"
    assert watched & UNWATCHED.keys() == set()
    assert (watched | UNWATCHED.keys()) - tables == set(), "no longer there"


def test_processes_keep_nothing_in_memory_that_is_not_in_the_change_log(
    dsn: str, tmp_path: Path
) -> None:
    known = {model._meta.db_table for model in apps.get_models(include_auto_created=True)}

    async def check() -> None:
        read: list[str] = []
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as second:
            remember_statements(second, read)
            for subscriber in subscribers(dsn, tmp_path):
                read.clear()
                await subscriber.load(second)
                named = re.findall(r"\b(?:FROM|JOIN)\s+([a-z_]+)", " ".join(read))
                tables = known.intersection(named)
                # Lanes are made of the other books and read nothing themselves.
                assert tables or isinstance(subscriber, Lanes), subscriber
                assert tables - subscriber.kinds == set(), subscriber

    asyncio.run(check())


def test_what_processes_keep_in_memory_takes_its_turn_and_is_watched(
    dsn: str, tmp_path: Path
) -> None:
    kinds = {kind for each in subscribers(dsn, tmp_path) for kind in each.kinds}
    assert len(kinds) >= 12
    logged = {name for name, watch in watches().items() if "tollgate_turn" in watch.triggers}
    # A user's change is logged by a trigger of its own, as a login must not wait for a turn.
    assert kinds - logged == {"accounts_user"}


def test_a_change_of_any_column_of_any_row_is_seen(everything: list[str]) -> None:
    for table, watch in watches().items():
        seen = 0
        for column, kind in columns(table):
            value = OTHER_VALUE[kind].format(column=f'"{column}"')
            changed = tried(f'UPDATE {table} SET "{column}" = {value}')
            assert changed.rows != 0, f"the tests have no row in {table}"
            if changed.rows is None or (table, column) in IGNORED_COLUMNS:
                continue
            seen += 1
            assert changed.audited == changed.rows, f"{table}.{column} changed unaudited"
            if is_followed(watch, column):
                assert changed.logged >= changed.rows, f"{table}.{column} changed unlogged"
        assert seen or table == "price", f"no column of {table} could be changed"


def test_a_row_that_comes_is_seen(everything: list[str]) -> None:
    inserts = AuditEvent.objects.filter(action="insert").values_list("object_kind", flat=True)
    assert set(watches()) - set(inserts) == set()


def test_the_audit_holds_no_secret(everything: list[str]) -> None:
    held = str(list(AuditEvent.objects.values_list("actor", "before", "after")))
    assert "terraform" in held
    assert [secret for secret in everything if secret in held] == []


def test_a_row_that_goes_is_seen(everything: list[str]) -> None:
    # Keys first: they hold their project and owner by keys that are checked at once.
    for table in sorted(watches(), key=lambda name: name != "api_key"):
        changed = tried(f"DELETE FROM {table}", keep=True)
        assert changed.rows, f"the tests have no row in {table}"
        assert changed.audited == changed.rows, table
        if "tollgate_turn" in watches()[table].triggers and table != "accounts_user":
            assert changed.logged >= changed.rows, table
    transaction.set_rollback(True)


@pytest.mark.parametrize(
    "way",
    [
        lambda: Project.objects.filter(slug="default").update(name="x"),
        lambda: Project.objects.bulk_update([renamed(Project.objects.get())], ["name"]),
        lambda: renamed(Project.objects.get()).save(),
        lambda: Project.objects.update_or_create(slug="default", defaults={"name": "x"}),
        lambda: Project.objects.bulk_create([twin(Project.objects.get())]),
        lambda: copy_in("project", twin(Project.objects.get())),
        lambda: run("UPDATE project SET name = o.name FROM organization o"),
        lambda: run("WITH w AS (UPDATE project SET name = 'x' RETURNING id) SELECT * FROM w"),
        lambda: run("DO $$ BEGIN UPDATE project SET name = 'x'; END $$"),
        lambda: run(
            "MERGE INTO project p USING organization o ON p.organization_id = o.id"
            " WHEN MATCHED THEN UPDATE SET name = 'x'"
        ),
    ],
)
def test_every_way_of_writing_is_seen(project: Project, way: Callable[[], object]) -> None:
    before = AuditEvent.objects.count(), ChangeLog.objects.count()
    way()
    assert (AuditEvent.objects.count(), ChangeLog.objects.count()) == (before[0] + 1, before[1] + 1)


def test_no_table_that_is_watched_can_be_emptied_at_once(everything: list[str]) -> None:
    for table in (*watches(), "audit_event"):
        with pytest.raises(IntegrityError, match="is never emptied at once"), as_in_production():
            run(f"TRUNCATE {table} CASCADE")


def test_the_audit_can_be_neither_rewritten_nor_cleared(project: Project) -> None:
    events = AuditEvent.objects.all()
    for change in (lambda: events.update(actor="nobody"), events.delete):
        with pytest.raises(IntegrityError, match="never changed"), transaction.atomic():
            change()
    old = AuditEvent.objects.latest("pk")
    old.pk, old.at = None, timezone.now() - timedelta(days=400)
    old.save()
    assert AuditEvent.objects.filter(pk=old.pk).delete()[0] == 1


def test_a_trigger_that_is_switched_off_is_noticed(project: Project) -> None:
    with as_in_production():
        assert check_triggers(databases=["default"]) == []
        run("ALTER TABLE project DISABLE TRIGGER tollgate_watch")
        run("DROP TRIGGER tollgate_turn ON quota")
        told = [error.msg for error in check_triggers(databases=["default"])]
    assert len(told) == 2
    assert "project: tollgate_watch" in str(told)
    assert "quota: tollgate_turn" in str(told)


def test_every_command_that_writes_says_who_ran_it() -> None:
    ours = {
        name: app
        for name, app in get_commands().items()
        if app in {"accounts", "billing", "gateway"}
    }
    assert len(ours) > 5
    unnamed = {
        name
        for name, app in ours.items()
        if not isinstance(load_command_class(app, name), AuditedCommand)
    }
    assert unnamed == QUIET_COMMANDS


class Changed:
    """How many rows a statement changed (None where a constraint refused it) and logs got."""

    rows: int | None = None
    audited = 0
    logged = 0


def tried(statement: str, *, keep: bool = False) -> Changed:
    """Execute a statement and count what it left in the logs; undo it unless it is to be kept."""
    changed = Changed()
    with transaction.atomic(), connection.cursor() as cursor:
        before = AuditEvent.objects.count(), ChangeLog.objects.count()
        try:
            with transaction.atomic():
                cursor.execute(statement)
                changed.rows = cursor.rowcount
        except IntegrityError:
            pass  # Refused is not unseen.
        changed.audited = AuditEvent.objects.count() - before[0]
        changed.logged = ChangeLog.objects.count() - before[1]
        transaction.set_rollback(not keep)
    return changed


@contextmanager
def as_in_production() -> Iterator[None]:
    """With the triggers that tests have to do without, and without a trace afterwards."""
    with transaction.atomic():
        run("SET CONSTRAINTS ALL IMMEDIATE")
        for table in (*watches(), "audit_event"):
            run(f"ALTER TABLE {table} ENABLE TRIGGER tollgate_whole")
        yield
        transaction.set_rollback(True)


def watches() -> dict[str, Watch]:
    return {watch.table: watch for watch in watched_tables(MigrationLoader(connection))}


def is_followed(watch: Watch, column: str) -> bool:
    if watch.table == "accounts_user":
        return column == READ_OF_USERS
    return "tollgate_turn" in watch.triggers


def columns(table: str) -> list[tuple[str, str]]:
    query = "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s"
    with connection.cursor() as cursor:
        cursor.execute(f"{query} AND table_schema = current_schema()", [table])
        return list(cursor.fetchall())


def subscribers(dsn: str, folder: Path) -> list[Subscriber]:
    """What a gateway process keeps true by the change log."""
    follower = GatewayProcess(configure(dsn, folder))._follower
    assert isinstance(follower, Follower)
    return list(follower._subscribers)


def remember_statements(second: psycopg.AsyncConnection[Any], read: list[str]) -> None:
    class Remembering(psycopg.AsyncCursor[Any]):
        async def execute(self, query: Any, *args: Any, **named: Any) -> Any:
            read.append(str(query))
            return await super().execute(query, *args, **named)

    class RememberingServer(psycopg.AsyncServerCursor[Any]):
        async def execute(self, query: Any, *args: Any, **named: Any) -> Any:
            read.append(str(query))
            return await super().execute(query, *args, **named)

    second.cursor_factory = Remembering
    second.server_cursor_factory = RememberingServer


def run(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def renamed(project: Project) -> Project:
    project.name = "x"
    return project


def twin(project: Project) -> Project:
    return Project(organization=project.organization, slug="twin", name="Twin")


def copy_in(table: str, row: Project) -> None:
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY {table} (organization_id, slug, name, made_at) FROM STDIN") as copy,
    ):
        copy.write_row((row.organization_id, row.slug, row.name, timezone.now()))
