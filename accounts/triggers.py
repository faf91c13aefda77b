"""The triggers behind the change log and the audit log, as migration operations.

A watched table cannot be changed without a row in change_log (what caches must read again) and one
in audit_event (who did it), whether the ORM, the admin, a shell or SQL wrote it. Writers of watched
tables take one advisory lock, before any row lock, and keep it until they commit: so the order of
`seq` is the order of commits, and a reader that has seen N never misses a smaller number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.operations.special import RunSQL

# The number of the lock is the eight letters of "tollgate" read as one integer.
FUNCTIONS = """
CREATE FUNCTION tollgate_take_turn() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(8390043843661231205);
    RETURN NULL;
END $$;

CREATE FUNCTION tollgate_log_change(kind text, object_id bigint, organization bigint)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO change_log (kind, object_id, organization, at)
    VALUES (kind, object_id, organization, clock_timestamp());
    PERFORM pg_notify('tollgate_changes', '');
END $$;

CREATE FUNCTION tollgate_audit(
    kind text, object_id bigint, organization bigint, action text, before jsonb, after jsonb)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit_event
        (at, organization, actor, via, address, action, object_kind, object_id, before, after)
    VALUES (
        clock_timestamp(), organization,
        coalesce(nullif(current_setting('tollgate.actor', true), ''), session_user::text),
        coalesce(nullif(current_setting('tollgate.via', true), ''), 'sql'),
        nullif(current_setting('tollgate.address', true), '')::inet,
        action, kind, object_id, before, after);
END $$;
"""
DROP_FUNCTIONS = """
DROP FUNCTION IF EXISTS tollgate_refuse_truncate();
DROP FUNCTION tollgate_audit(text, bigint, bigint, text, jsonb, jsonb);
DROP FUNCTION tollgate_log_change(text, bigint, bigint);
DROP FUNCTION tollgate_take_turn();
"""


def watch(
    table: str,
    *,
    organization: str | None = "organization_id",
    parent: str | None = None,
    secret_columns: Sequence[str] = (),
    ignored_columns: Sequence[str] = (),
    logged: bool = True,
) -> list[Operation]:
    """Return the operations that watch `table` from this migration on.

    `organization` is a column, an SQL expression over the row `changed`, or None. The change log
    names the row by `id`, or by the column `parent` where caches look the parent up instead.
    Values of `secret_columns` never reach the audit log, though their change does; a change of
    nothing but `ignored_columns` is no change. With `logged=False` the table is only audited.
    """
    for name in (table, parent or table, *secret_columns, *ignored_columns):
        if not _is_name(name):
            raise ValueError(f"{name!r} is not the name of a table or column")
    function = _ROW_FUNCTION.format(
        table=table,
        organization=_organization_of_row(organization),
        ignored=_array(ignored_columns),
        secret=_array([*secret_columns, *ignored_columns]),
        log=_LOG.format(table=table, object_id=parent or "id") if logged else "",
    )
    turn = _TURN_TRIGGER.format(table=table) if logged else ""
    drop_turn = f"DROP TRIGGER tollgate_turn ON {table};" if logged else ""
    whole = REFUSE_TRUNCATE + _KEEP_WHOLE.format(table=table)
    return [
        Watch(
            table,
            triggers=["tollgate_watch", "tollgate_whole", *(["tollgate_turn"] if logged else [])],
            sql=function + turn + _ROW_TRIGGER.format(table=table) + whole,
            reverse_sql=f"DROP TRIGGER tollgate_watch ON {table}; {drop_turn}"
            f"DROP TRIGGER IF EXISTS tollgate_whole ON {table};"
            f"DROP FUNCTION tollgate_watch_{table}();",
        )
    ]


class Watch(RunSQL):
    """Begins to watch a table; remembers which triggers have to be there from then on."""

    def __init__(self, table: str, *, triggers: Sequence[str], sql: str, reverse_sql: str) -> None:
        super().__init__(sql, reverse_sql)
        self.table = table
        self.triggers = frozenset(triggers)


def watched_tables(loader: MigrationLoader) -> Iterator[Watch]:
    """Return what the migrations that were applied to the loader's database watch."""
    for key, migration in loader.disk_migrations.items():
        if key in loader.applied_migrations:
            yield from (each for each in migration.operations if isinstance(each, Watch))


def find_missing_triggers(connection: BaseDatabaseWrapper) -> list[str]:
    """Return, as `table: trigger`, what was dropped or disabled and lets changes go unseen."""
    with connection.cursor() as cursor:
        cursor.execute(_ENABLED_TRIGGERS)
        enabled = {(table, trigger) for table, trigger in cursor.fetchall()}
    return [
        f"{watch.table}: {trigger}"
        for watch in watched_tables(MigrationLoader(connection))
        for trigger in sorted(watch.triggers)
        if (watch.table, trigger) not in enabled
    ]


def list_watched(connection: BaseDatabaseWrapper) -> list[str]:
    """Return the tables whose changes are audited, by name."""
    with connection.cursor() as cursor:
        cursor.execute(_ENABLED_TRIGGERS)
        return sorted(table for table, name in cursor.fetchall() if name == "tollgate_watch")


_ENABLED_TRIGGERS = """
SELECT c.relname, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema() AND t.tgname LIKE 'tollgate%' AND t.tgenabled IN ('O', 'A')
"""


_ROW_FUNCTION = """
CREATE FUNCTION tollgate_watch_{table}() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed {table}%ROWTYPE;
    before jsonb := to_jsonb(OLD) - {ignored};
    after jsonb := to_jsonb(NEW) - {ignored};
    its_organization bigint;
BEGIN
    IF before IS NOT DISTINCT FROM after THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'DELETE' THEN changed := OLD; ELSE changed := NEW; END IF;
    its_organization := {organization};
    {log}
    PERFORM tollgate_audit(
        '{table}', changed.id, its_organization, lower(TG_OP),
        before - {secret}, after - {secret});
    RETURN NULL;
END $$;
"""
_LOG = """
    PERFORM tollgate_log_change('{table}', changed.{object_id}, its_organization);
    IF TG_OP = 'UPDATE' AND OLD.{object_id} <> NEW.{object_id} THEN
        PERFORM tollgate_log_change('{table}', OLD.{object_id}, its_organization);
    END IF;
"""
# TRUNCATE fires no trigger of a row, so what is watched cannot be emptied that way. A new table
# must not depend on when the others were given this, so each brings the function.
REFUSE_TRUNCATE = """
CREATE OR REPLACE FUNCTION tollgate_refuse_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is never emptied at once: DELETE leaves a trace of each row', TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
"""
_KEEP_WHOLE = """
CREATE OR REPLACE TRIGGER tollgate_whole BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION tollgate_refuse_truncate();
"""
_TURN_TRIGGER = """
CREATE TRIGGER tollgate_turn BEFORE INSERT OR UPDATE OR DELETE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION tollgate_take_turn();
"""
_ROW_TRIGGER = """
CREATE TRIGGER tollgate_watch AFTER INSERT OR UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION tollgate_watch_{table}();
"""


def _organization_of_row(organization: str | None) -> str:
    if organization is None:
        return "NULL"
    return f"changed.{organization}" if _is_name(organization) else f"({organization})"


def _array(columns: Sequence[str]) -> str:
    return "'{" + ",".join(columns) + "}'::text[]"


def _is_name(text: str) -> bool:
    return re.fullmatch(r"[a-z_][a-z0-9_]*", text) is not None
