"""`manage.py backup FILE [--passphrase-file FILE | --not-sealed] [--without-secrets]`."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from accounts.audit import AuditedCommand
from gateway.backup import BackupError, make_backup
from gateway.backup.passphrases import add_passphrase_argument, read_passphrase


class Command(AuditedCommand):
    help = (
        "Write the database, the peppers and the credential keys to a new file that only its owner"
        " can read. Works beside a running installation."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path)
        how = parser.add_mutually_exclusive_group(required=True)
        add_passphrase_argument(how)
        how.add_argument(
            "--not-sealed",
            action="store_true",
            help="Do not encrypt: whoever reads the file has every key and credential.",
        )
        parser.add_argument(
            "--without-secrets",
            action="store_true",
            help="Leave out SECRET_KEY, KEY_PEPPERS and CREDENTIAL_KEYS, which are kept elsewhere.",
        )

    def handle(
        self,
        *,
        file: Path,
        passphrase_file: Path | None,
        without_secrets: bool,
        **options: Any,
    ) -> None:
        try:
            passphrase = read_passphrase(passphrase_file)
            size = make_backup(file, passphrase=passphrase, with_secrets=not without_secrets)
        except BackupError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Wrote {file}, {size} bytes.")
        if passphrase is None:
            self.stderr.write(
                f"{file} is NOT encrypted. It holds digests of keys, people's addresses"
                + ("" if without_secrets else ", and the secrets that open everything in it")
                + ": keep it as you keep a password."
            )
