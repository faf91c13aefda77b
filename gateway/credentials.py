"""Our secrets at providers: sealed in the database, opened in memory, shown to nobody.

Sealing is Fernet under settings.CREDENTIAL_KEYS, newest first; every key of the list opens. An
opened secret is a Secret, whose text comes out by `reveal()` alone: not in a log line, a traceback,
a template or a task's arguments.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from functools import lru_cache
from typing import NoReturn

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import transaction

from gateway.models import Credential

MASK = "********"


class CredentialError(Exception):
    """A credential cannot be sealed or opened; the message names CREDENTIAL_KEYS, no secret."""


class Secret:
    """A text that does not show itself. Two are equal when their texts are."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text: for the header of a request to the provider, and nothing else."""
        return self._text

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is neither pickled nor copied")


def seal(text: str) -> bytes:
    """Return the text sealed under the newest key. Raises CredentialError for a bad key."""
    return _fernet().encrypt(text.encode())


def open_sealed(sealed: bytes | memoryview[int]) -> Secret:
    """Return what was sealed. Raises CredentialError where no key of the list opens it."""
    try:
        return Secret(_fernet().decrypt(bytes(sealed)).decode())
    except InvalidToken:
        raise CredentialError(
            "no key in CREDENTIAL_KEYS opens it: put the key that it was sealed with back at the "
            "end of the list, or set the credential anew"
        ) from None


def reseal_credentials() -> int:
    """Seal every credential anew under the newest key, so that older keys can go.

    Returns how many there are. Raises CredentialError, having changed none, if one does not open.
    """
    fernet = _fernet()
    with transaction.atomic():
        credentials = list(Credential.objects.select_for_update().order_by("id"))
        for credential in credentials:
            try:
                credential.sealed = fernet.rotate(bytes(credential.sealed))
            except InvalidToken:
                raise CredentialError(f"{credential}: no key in CREDENTIAL_KEYS opens it") from None
            credential.save(update_fields=["sealed"])
    return len(credentials)


def check_secret(text: str) -> str:
    """Return the text if it can stand in a header. Raises ValueError, which does not quote it."""
    if not text:
        raise ValueError("is empty")
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError("holds a character that cannot stand in a header")
    return text


def _fernet() -> MultiFernet:
    return _make_fernet(tuple(settings.CREDENTIAL_KEYS))


@lru_cache(maxsize=4)
def _make_fernet(keys: Sequence[str]) -> MultiFernet:
    try:
        return MultiFernet([Fernet(key) for key in keys])
    except ValueError as error:
        raise CredentialError(f"CREDENTIAL_KEYS: {error}") from None
