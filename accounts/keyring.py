"""Every key, in memory: the only place where a call's key is looked up and judged.

A Subscriber of the change log (changes.py). A look-up reads dictionaries and computes a digest; it
never waits and never asks a database, so there is nothing to race with or to flood. Whoever cannot
prove the secret learns nothing: an unknown key and a wrong secret are refused alike.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from hashlib import blake2b
from math import inf

import psycopg

from accounts import keys
from accounts.addresses import Network, is_inside, parse_address
from accounts.changes import Change
from accounts.errors import KeyRefused, MalformedKey
from accounts.keyrows import KEYS, KINDS, Key, KeyRecord, Secret, Shelf

__all__ = ["KeyRecord", "KeyRefused", "Keyring", "Secret"]

BATCH = 500

logger = logging.getLogger(__name__)


class Keyring:
    """All keys of the installation, about 0.6 KB each."""

    kinds = KINDS

    def __init__(self, *, prefixes: Collection[str], peppers: Mapping[int, bytes]) -> None:
        self._prefixes = frozenset(prefixes)
        self._peppers = dict(peppers)
        # An unknown key is compared with this, so that it takes as long as a wrong secret.
        self._decoys = (Secret(secrets.token_bytes(32), max(peppers), None),)
        self._shelf = Shelf()
        self._records: dict[str, KeyRecord] = {}
        # What was proven since the last change, and in unix seconds until when it is good, by a
        # digest that nobody outside can compute, so that no text of a key is kept: a repeat costs a
        # fifth of a proof.
        self._proof = blake2b(digest_size=16, key=secrets.token_bytes(32))
        self._proven: dict[bytes, tuple[KeyRecord, float]] = {}

    def authenticate(self, token: str, *, now: float, address: str | None) -> KeyRecord:
        """Return the key that may call now from this address, or raise KeyRefused.

        `now` is in unix seconds. The refusal is `unknown` for whatever does not prove a secret.
        """
        proof = self._proof.copy()
        proof.update(token.encode())
        digest = proof.digest()
        proven = self._proven.get(digest)
        if proven is None:
            proven = self._proven[digest] = self._prove(token)
        record, ends_at = proven
        if now >= ends_at:
            raise KeyRefused("expired")
        if record.networks and not _may_come_from(address, record.networks):
            raise KeyRefused("address_not_allowed")
        return record

    def _prove(self, token: str) -> tuple[KeyRecord, float]:
        """Return the key that a text belongs to, and when that ends. Raises KeyRefused."""
        try:
            public_id = keys.parse(token, self._prefixes).public_id
        except MalformedKey as error:
            raise _refuse_text(token, error) from None
        key = self._shelf.keys.get(public_id)
        secret = self._find_secret(token, (key.secrets if key else ()) or self._decoys)
        if key is None or secret is None:
            raise KeyRefused("unknown")
        record = self._records.get(public_id) or self._describe(key)
        if record.refusal is not None:
            raise KeyRefused(record.refusal)
        ends = [end for end in (record.expires_at, secret.ends_at) if end is not None]
        return record, min(ends, default=inf)

    def __len__(self) -> int:
        return len(self._shelf.keys)

    async def load(self, connection: psycopg.AsyncConnection) -> None:
        shelf = Shelf()
        async with connection.transaction(), connection.cursor("keyring", binary=True) as cursor:
            await cursor.execute(KEYS)
            while rows := await cursor.fetchmany(BATCH):
                shelf.put(rows)
        self._warn_of_missing_peppers(shelf)
        self._shelf, self._records, self._proven = shelf, {}, {}

    async def refresh(self, connection: psycopg.AsyncConnection, changes: Sequence[Change]) -> None:
        try:
            await self._shelf.refresh(connection, changes)
        finally:
            # Records are made again at the next call of their key, so that a change of an
            # organization costs one row to read, however many keys it has.
            self._records.clear()
            self._proven.clear()

    def _find_secret(self, token: str, candidates: Iterable[Secret]) -> Secret | None:
        for secret in candidates:
            pepper = self._peppers.get(secret.pepper_version)
            if pepper is not None and keys.matches(secret.mac, token, pepper):
                return secret
        return None

    def _describe(self, key: Key) -> KeyRecord:
        record = self._records[key.public_id] = self._shelf.describe(key)
        return record

    def _warn_of_missing_peppers(self, shelf: Shelf) -> None:
        missing = shelf.find_pepper_versions() - self._peppers.keys()
        if missing:
            logger.error(
                "KEY_PEPPERS lacks version %s: the keys made under it are refused.",
                ", ".join(map(str, sorted(missing))),
            )


def _refuse_text(token: str, error: MalformedKey) -> KeyRefused:
    if not token:
        return KeyRefused("missing")
    return KeyRefused("malformed", error.message)


def _may_come_from(address: str | None, networks: Iterable[Network]) -> bool:
    parsed = parse_address(address)
    return parsed is not None and is_inside(parsed, networks)
