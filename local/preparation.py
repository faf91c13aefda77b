"""`python -m local.preparation [PROVIDER_URL]`: make the database ready to be served from.

Brings it to this version and, with a demo provider's address, declares the demo. A database that
a newer version has migrated is refused, because this one cannot know what changed.
"""

import os
import sys

from local.errors import LocalError
from local.folder import DataFolder


def main(arguments: list[str]) -> int:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    try:
        connect()
        migrate()
        if arguments:
            declare(arguments[0])
    except LocalError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def connect() -> None:
    """Raise LocalError where there is no connection to be had; the reason holds no password."""
    from django.db import OperationalError, connection

    try:
        connection.ensure_connection()
    except OperationalError as error:
        reason = " ".join(str(error).split())
        raise LocalError(
            f"The database that DATABASE_URL names cannot be used ({reason}): start it or mend the "
            "address; without one the embedded database is used."
        ) from error


def migrate() -> None:
    """Apply the migrations that are missing. Raises LocalError for a newer database."""
    from django.core.management import call_command
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    loader = MigrationExecutor(connection).loader
    newer = sorted(
        f"{app}.{name}"
        for app, name in loader.applied_migrations.keys() - loader.disk_migrations.keys()
        if app in loader.migrated_apps
    )
    if newer:
        raise LocalError(
            f"The database was migrated by a newer Tollgate ({newer[-1]} is unknown here): run "
            "that version, or set TOLLGATE_DATA to another folder."
        )
    if loader.disk_migrations.keys() - loader.applied_migrations.keys():
        call_command("migrate", interactive=False, verbosity=0)


def declare(provider_url: str) -> None:
    from django.conf import settings
    from django.core.management import CommandError

    from local.demo import declare_demo

    try:
        declare_demo(DataFolder(settings.TOLLGATE_DATA), provider_url=provider_url)
    except CommandError as error:
        reasons = " ".join(str(error).split("\n"))
        raise LocalError(f"The demo could not be declared: {reasons}") from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
