"""`manage.py reseal_credentials`: seal what we know of providers under the newest key."""

from typing import Any

from django.core.management.base import CommandError

from accounts.audit import AuditedCommand
from gateway.credentials import CredentialError, reseal_credentials


class Command(AuditedCommand):
    help = "Seal every provider's credential anew under the first key of CREDENTIAL_KEYS."

    def handle(self, **options: Any) -> None:
        try:
            count = reseal_credentials()
        except CredentialError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Sealed under the first key of CREDENTIAL_KEYS: {count} credentials.")
