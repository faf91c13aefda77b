"""Making a backup, beside a running installation: pg_dump sees one moment of the database."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from accounts.connections import conninfo_of
from gateway.backup import archive
from gateway.backup.contents import Head, join, secrets_in_use
from gateway.backup.programs import find_programs


def make_backup(path: Path, *, passphrase: str | None, with_secrets: bool = True) -> int:
    """Write a backup to a new file; return its size in bytes. Raises BackupError."""
    programs = find_programs(conninfo_of(connection.settings_dict))
    head = Head(
        version=settings.VERSION,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        server_version=str(connection.cursor().connection.info.server_version),
        migrations=sorted(
            f"{app}.{name}" for app, name in MigrationRecorder(connection).applied_migrations()
        ),
        secrets=secrets_in_use() if with_secrets else {},
    )
    return archive.write(path, join(head, programs.dump()), passphrase=passphrase)
