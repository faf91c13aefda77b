"""`manage.py revoke_key`: end a key with all its secrets, for good."""

from __future__ import annotations

from django.core.management.base import CommandError, CommandParser

from accounts.audit import AuditedCommand
from accounts.errors import InvalidField
from accounts.issuance import revoke_key
from accounts.models import ApiKey


class Command(AuditedCommand):
    help = "Revoke an API key. Every process refuses it within a second; it never comes back."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("public_id", metavar="PUBLIC_ID")
        parser.add_argument("--reason", default="")

    def handle(self, *_: object, public_id: str, reason: str = "", **__: object) -> None:
        key = ApiKey.objects.filter(public_id=public_id).first()
        if key is None:
            raise CommandError("PUBLIC_ID: there is no key with this public id.")
        try:
            revoked = revoke_key(key, reason)
        except InvalidField as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"Key {public_id} is revoked." if revoked else f"Key {public_id} was revoked before."
        )
