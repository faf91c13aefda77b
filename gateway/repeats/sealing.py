"""Answers at rest: sealed under keys that are derived from CREDENTIAL_KEYS, newest first.

Each is sealed together with the id of its call, so that a row cannot be given another one's.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

# Sealing takes a few ms a megabyte: what is larger than this is done off the loop.
SMALL_BYTES = 64 * 2**10


async def seal_answer(call_id: str, body: bytes) -> bytes:
    text = call_id.encode() + body
    fernet = _fernet(tuple(settings.CREDENTIAL_KEYS))
    if len(body) <= SMALL_BYTES:
        return fernet.encrypt(text)
    return await asyncio.to_thread(fernet.encrypt, text)


async def open_answer(call_id: str, sealed: bytes) -> bytes | None:
    """Return the answer of that call; None where no key opens it or it is another's."""
    fernet = _fernet(tuple(settings.CREDENTIAL_KEYS))
    try:
        if len(sealed) <= SMALL_BYTES:
            text = fernet.decrypt(sealed)
        else:
            text = await asyncio.to_thread(fernet.decrypt, sealed)
    except InvalidToken:
        return None
    said, body = text[: len(call_id)], text[len(call_id) :]
    return body if said == call_id.encode() else None


@lru_cache(maxsize=4)
def _fernet(keys: Sequence[str]) -> MultiFernet:
    return MultiFernet([Fernet(_derive(key)) for key in keys])


def _derive(key: str) -> bytes:
    derived = HKDF(SHA256(), length=32, salt=None, info=b"tollgate kept answers")
    return base64.urlsafe_b64encode(derived.derive(base64.urlsafe_b64decode(key)))
