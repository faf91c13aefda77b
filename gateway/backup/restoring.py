"""Restoring a backup into an empty database, or into one whose contents may go.

The whole file is read and proven before anything is touched. The database comes back in one
transaction, and what was there is set aside until that has committed: whatever happens, there is
one of the two, whole. What the file says of secrets is written to a file of its own or compared,
because this process cannot change its own environment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec
from django.db import connection, transaction
from django.db.migrations.loader import MigrationLoader

from accounts.connections import conninfo_of
from gateway.backup import archive
from gateway.backup.archive import BackupError
from gateway.backup.contents import Head, missing_secrets, split
from gateway.backup.programs import find_programs

# The schema that holds what was there while a restore runs.
ASIDE = "before_restore"


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """`missing` names the variables that have to be put right before the installation starts."""

    head: Head
    missing: list[str]
    needs_migration: bool


def restore_backup(
    path: Path, *, passphrase: str | None, replace: bool = False, secrets_to: Path | None = None
) -> Restored:
    """Make the database what a backup says. Raises BackupError.

    A database that holds tables is refused without `replace`, and one that gateways are alive in
    always. A restore that fails leaves it as it was; one that was killed is undone by the next.
    `secrets_to` is a new file for the secrets.
    """
    head = _prove(path, passphrase)
    needs_migration = _check_migrations(head)
    programs = find_programs(conninfo_of(connection.settings_dict))
    if secrets_to is not None:
        _write_secrets(secrets_to, head.secrets)
    _undo_what_was_killed()
    _make_room(replace=replace)
    connection.close()
    _, database = split(archive.read(path, passphrase=passphrase))
    try:
        programs.restore(database)
    except BaseException:
        _put_back()
        raise
    _run(f"DROP SCHEMA IF EXISTS {ASIDE} CASCADE")
    missing = missing_secrets(head.secrets)
    return Restored(head=head, missing=missing, needs_migration=needs_migration)


def read_head(path: Path, *, passphrase: str | None) -> Head:
    """Return what a backup says of itself, after its first pieces. Raises BackupError."""
    return split(archive.read(path, passphrase=passphrase))[0]


def _prove(path: Path, passphrase: str | None) -> Head:
    """Read everything once: a backup that is damaged at its end must not cost what is there."""
    head, database = split(archive.read(path, passphrase=passphrase))
    for _ in database:
        pass
    return head


def _check_migrations(head: Head) -> bool:
    """Say whether this version has migrations that the backup lacks; refuse a newer backup."""
    ours = {f"{app}.{name}" for app, name in MigrationLoader(None).disk_migrations}
    apps = {name.partition(".")[0] for name in ours}
    newer = sorted({each for each in head.migrations if each.partition(".")[0] in apps} - ours)
    if newer:
        raise BackupError(
            f"The backup is of a newer version ({head.version}): this one does not know"
            f" {newer[-1]}. Restore it with that version."
        )
    return bool(ours - set(head.migrations))


def _make_room(*, replace: bool) -> None:
    """Set aside what is there, where that is wanted. Raises BackupError where something is in the
    way."""
    tables = connection.introspection.table_names()
    if not tables:
        return
    if not replace:
        raise BackupError(
            f"The database {connection.settings_dict['NAME']} holds {len(tables)} tables. Name an"
            " empty one, or say --replace to lose what is in it."
        )
    with connection.cursor() as cursor:
        if "gateway_process" in tables:
            cursor.execute(
                "SELECT count(*) FROM gateway_process"
                " WHERE ended_at IS NULL AND lease_until > clock_timestamp()"
            )
            if alive := cursor.fetchone()[0]:
                raise BackupError(
                    f"{alive} gateway processes are alive in this database: stop them first."
                )
    _run(f"ALTER SCHEMA public RENAME TO {ASIDE}", "CREATE SCHEMA public")


def _undo_what_was_killed() -> None:
    """Put back what a killed restore set aside; raise BackupError where others have come since."""
    if _has_aside() and connection.introspection.table_names():
        raise BackupError(
            f"The schema {ASIDE} holds what was there before a restore that was killed, and there"
            f" are tables beside it. If those are right, say DROP SCHEMA {ASIDE} CASCADE; if not,"
            f" DROP SCHEMA public CASCADE. Then restore again."
        )
    _put_back()


def _put_back() -> None:
    if _has_aside():
        _run("DROP SCHEMA IF EXISTS public CASCADE", f"ALTER SCHEMA {ASIDE} RENAME TO public")


def _has_aside() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [ASIDE])
        return cursor.fetchone() is not None


def _run(*statements: str) -> None:
    """Execute all or none."""
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def _write_secrets(path: Path, secrets: Mapping[str, str]) -> None:
    """Write a new file. One that says the same already is of an earlier try, which was refused."""
    if not secrets:
        raise BackupError("The backup holds no secrets.")
    text = "".join(f"{name}={value}\n" for name, value in secrets.items())
    try:
        if path.exists() and path.read_bytes() == text.encode():
            return
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise BackupError(f"{path} cannot be written: {error.strerror}.") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
