"""`manage.py restore FILE [--passphrase-file FILE] [--replace] [--secrets-to FILE] [--look]`."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gateway.backup import BackupError, restore_backup
from gateway.backup.contents import Head
from gateway.backup.passphrases import add_passphrase_argument, read_passphrase
from gateway.backup.restoring import read_head


class Command(BaseCommand):
    help = "Make an empty database what a backup says. Stop web, gateway, worker and beat first."
    # There is nothing to name an actor in until it is done; it replaces the audit as well.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path)
        add_passphrase_argument(parser)
        parser.add_argument(
            "--replace", action="store_true", help="Lose what the database holds now."
        )
        parser.add_argument(
            "--secrets-to",
            metavar="FILE",
            type=Path,
            help="Write the secrets of the backup to a new file, as lines NAME=value.",
        )
        parser.add_argument(
            "--look", action="store_true", help="Say what the file is, and change nothing."
        )

    def handle(
        self,
        *,
        file: Path,
        passphrase_file: Path | None,
        replace: bool,
        secrets_to: Path | None,
        look: bool,
        **options: Any,
    ) -> None:
        try:
            passphrase = read_passphrase(passphrase_file)
            if look:
                self._describe(read_head(file, passphrase=passphrase))
                return
            done = restore_backup(
                file, passphrase=passphrase, replace=replace, secrets_to=secrets_to
            )
        except BackupError as error:
            raise CommandError(str(error)) from error
        self._describe(done.head)
        self.stdout.write("Restored.")
        if done.needs_migration:
            self.stdout.write("This version is newer: run `manage.py migrate` before you start it.")
        for name in done.missing:
            self.stderr.write(
                f"{name} lacks what the backup was made with: take it from the file of"
                " --secrets-to, or keys and credentials will be refused."
            )

    def _describe(self, head: Head) -> None:
        secrets = "with its secrets" if head.secrets else "without secrets"
        self.stdout.write(f"A backup of version {head.version}, made at {head.made_at}, {secrets}.")
