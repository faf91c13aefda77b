"""`manage.py reseal_credentials`: seal what is secret here under the newest key."""

from typing import Any

from django.core.management.base import CommandError
from django.db import transaction

from accounts.audit import AuditedCommand
from console.secondfactors import reseal_second_factors
from gateway.credentials import CredentialError, reseal_credentials


class Command(AuditedCommand):
    help = (
        "Seal every provider's credential, and the secrets of people's second factors, anew under "
        "the first key of CREDENTIAL_KEYS."
    )

    def handle(self, **options: Any) -> None:
        try:
            with transaction.atomic():
                factors = reseal_second_factors()
                credentials = reseal_credentials()
        except CredentialError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"Sealed under the first key of CREDENTIAL_KEYS: {credentials} credentials and "
            f"{factors} second factors."
        )
