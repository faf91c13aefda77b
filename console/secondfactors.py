"""The secrets of people's second factors: sealed in the database, as credentials are.

A database that somebody reads would otherwise give away every authenticator app's secret and every
recovery code. What was stored before it was sealed is read as it stands, and sealed by
`manage.py reseal_credentials`.
"""

from __future__ import annotations

from typing import Any

from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from django.db import transaction

from gateway.credentials import open_sealed, seal

MARK = "sealed:"


class SecondFactorAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """What allauth asks about second factors."""

    def encrypt(self, text: str) -> str:
        return MARK + seal(text).decode()

    def decrypt(self, encrypted_text: str) -> str:
        """Return the secret. Raises CredentialError where no key of CREDENTIAL_KEYS opens it."""
        if not encrypted_text.startswith(MARK):
            return encrypted_text
        return open_sealed(encrypted_text.removeprefix(MARK).encode()).reveal()


def reseal_second_factors() -> int:
    """Seal every secret anew under the newest key, so that older keys can go.

    Returns of how many factors. Raises CredentialError, having changed none, if one does not open.
    """
    kinds = (Authenticator.Type.TOTP, Authenticator.Type.RECOVERY_CODES)
    with transaction.atomic():
        found = list(Authenticator.objects.select_for_update().filter(type__in=kinds))
        for factor in found:
            factor.data = {name: _reseal(name, value) for name, value in factor.data.items()}
            factor.save(update_fields=["data"])
    return len(found)


def _reseal(name: str, value: Any) -> Any:
    adapter = SecondFactorAdapter()
    if name in {"secret", "seed"}:
        return adapter.encrypt(adapter.decrypt(value))
    if name == "migrated_codes":
        return [adapter.encrypt(adapter.decrypt(code)) for code in value]
    return value
