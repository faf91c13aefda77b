"""Providers are made, changed and given their credential here, whoever asks: admin, API or a page.

A credential goes in and never comes out: it is sealed before it is stored, and the newest is used.
Gateways learn of every change by the change log.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import transaction

from accounts import rows
from accounts.errors import InUse, InvalidField
from gateway.credentials import CredentialError, Secret, check_secret, open_sealed, seal
from gateway.models import Credential, Provider
from gateway.upstream import check_base_url

CHANGEABLE = frozenset({"protocol", "base_url", "responses", "cap_field", "enabled"})


def make_provider(*, name: str, protocol: str, base_url: str, **columns: Any) -> Provider:
    """Make a provider, without a credential yet. Raises InvalidField."""
    assert CHANGEABLE.issuperset(columns)
    _check_base_url(base_url)
    return rows.insert(Provider(name=name, protocol=protocol, base_url=base_url, **columns))


def change_provider(provider: Provider, changes: Mapping[str, Any]) -> None:
    """Change what is given, of all but its name. Raises InvalidField.

    The name stays: prices and facts name it.
    """
    assert CHANGEABLE.issuperset(changes)
    if "base_url" in changes:
        _check_base_url(changes["base_url"])
    rows.change(provider, changes)


def set_credential(provider: Provider, text: str, *, source: str) -> bool:
    """Use this secret at the provider from now on; False where it is used already.

    `source` says where it came from, such as env:NAME. Raises InvalidField, which quotes nothing.
    """
    try:
        secret = Secret(check_secret(text))
    except ValueError as error:
        raise InvalidField("credential", str(error)) from None
    if _is_same(provider.credentials.first(), secret):
        return False
    provider.credentials.create(sealed=seal(secret.reveal()), source=source)
    return True


def remove_provider(provider: Provider) -> None:
    """Take a provider away, with its credentials. Raises InUse while routes lead to it."""
    with transaction.atomic():
        if provider.routes.exists():
            raise InUse("Routes lead to this provider: remove them first, or switch it off.")
        provider.delete()


def _check_base_url(base_url: str) -> None:
    try:
        check_base_url(base_url, settings.UPSTREAM_ALLOWED_NETWORKS)
    except ValueError as error:
        raise InvalidField("base_url", str(error)) from None


def _is_same(current: Credential | None, secret: Secret) -> bool:
    if current is None:
        return False
    try:
        return open_sealed(current.sealed) == secret
    except CredentialError:
        return False
