"""`manage.py reseal_credentials`: seal what we know of providers under the newest key."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gateway.credentials import CredentialError, reseal_credentials


class Command(BaseCommand):
    help = "Seal every provider's credential anew under the first key of CREDENTIAL_KEYS."

    def handle(self, **options: Any) -> None:
        try:
            count = reseal_credentials()
        except CredentialError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{count} credentials are sealed under the first key of CREDENTIAL_KEYS.")
