"""What tests have committed goes away in some 20 ms, where Django's flush takes half a second.

Django empties every table by TRUNCATE, also those that nobody wrote to, and makes content types and
permissions anew. Here rows are deleted where there are any, without triggers and foreign keys, and
those stay. That takes a superuser, which the account of our own server is; for others it is
Django's way.
"""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import TransactionTestCase

# Made by migrations for good, and the same for every test.
KEPT = ("auth_permission", "django_content_type", "django_migrations", "django_site")

_EMPTY = """
DO $$
DECLARE
    filled regclass;
BEGIN
    SET LOCAL session_replication_role = replica;
    FOR filled IN
        SELECT c.oid FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
            AND NOT c.relispartition AND c.relname <> ALL (%s)
    LOOP
        EXECUTE format('DELETE FROM %%s', filled);
    END LOOP;
END $$
"""
# The product refuses TRUNCATE, which is Django's way.
_ALLOW_TRUNCATE = """
DO $$
DECLARE
    kept regclass;
BEGIN
    FOR kept IN SELECT tgrelid FROM pg_trigger WHERE tgname = 'tollgate_whole' LOOP
        EXECUTE format('ALTER TABLE %s DISABLE TRIGGER tollgate_whole', kept);
    END LOOP;
END $$
"""


def empty_tables_after_tests(connection: BaseDatabaseWrapper) -> None:
    """Have every test that commits end with empty tables."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('is_superuser')::boolean")
        (may_delete_unseen,) = cursor.fetchone()
        if not may_delete_unseen:
            cursor.execute(_ALLOW_TRUNCATE)
            return

    def empty_tables(case: Any) -> None:
        names = ", ".join(f"'{name}'" for name in KEPT)
        with connection.cursor() as cursor:
            cursor.execute(_EMPTY % f"ARRAY[{names}]")

    TransactionTestCase._fixture_teardown = empty_tables  # type: ignore[attr-defined]
