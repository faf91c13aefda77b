"""What a backup holds: a head that says what it is, the secrets, and the database as pg_dump wrote
it. The head's length comes first, so that the rest can be handed on while it is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec
from django.conf import settings

from gateway.backup.archive import BackupError

SECRETS = ("SECRET_KEY", "KEY_PEPPERS", "CREDENTIAL_KEYS")
MAX_HEAD_BYTES = 2**20


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """`migrations` are those that the database had, as app.name; `secrets` are as variables of the
    environment, empty where they were left out."""

    version: str
    made_at: str
    server_version: str
    migrations: list[str]
    secrets: dict[str, str]


def join(head: Head, database: Iterable[bytes]) -> Iterator[bytes]:
    encoded = msgspec.json.encode(head)
    yield len(encoded).to_bytes(8, "big") + encoded
    yield from database


def split(pieces: Iterator[bytes]) -> tuple[Head, Iterator[bytes]]:
    """Return the head, and the database for whoever goes on reading. Raises BackupError."""
    held = b""
    while len(held) < 8 or len(held) < 8 + int.from_bytes(held[:8], "big"):
        if len(held) >= 8 and int.from_bytes(held[:8], "big") > MAX_HEAD_BYTES:
            raise BackupError("The backup is damaged: its head makes no sense.")
        piece = next(pieces, None)
        if piece is None:
            raise BackupError("The backup is damaged: it ends within its head.")
        held += piece
    size = 8 + int.from_bytes(held[:8], "big")
    try:
        head = msgspec.json.decode(held[8:size], type=Head)
    except msgspec.MsgspecError as error:
        raise BackupError(f"The backup's head cannot be read: {error}.") from None

    def rest() -> Iterator[bytes]:
        yield held[size:]
        yield from pieces

    return head, rest()


def secrets_in_use() -> dict[str, str]:
    """Return the secrets of this process, as the environment would name them."""
    peppers = ",".join(f"{version}:{key.hex()}" for version, key in settings.KEY_PEPPERS.items())
    return {
        "SECRET_KEY": settings.SECRET_KEY,
        "KEY_PEPPERS": peppers,
        "CREDENTIAL_KEYS": ",".join(settings.CREDENTIAL_KEYS),
    }


def missing_secrets(wanted: Mapping[str, str]) -> list[str]:
    """Name the variables of which this process lacks something that a backup's database needs."""
    ours = secrets_in_use()
    return [
        name
        for name in ("KEY_PEPPERS", "CREDENTIAL_KEYS")
        if set(filter(None, wanted.get(name, "").split(","))) - set(ours[name].split(","))
    ]
