"""The file of a backup: a first line that says what it is, then chunks, plain or sealed.

Sealed chunks are ChaCha20-Poly1305 under a key that scrypt makes of a passphrase. A chunk's number
is its nonce, and the last one is marked, so chunks can be neither exchanged nor cut off without
being noticed. A plain file has the same chunks with a checksum at its end. Nothing here knows what
is inside.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

PLAIN = b"tollgate backup 1, not sealed\n"
SEALED = b"tollgate backup 1, sealed\n"
CHUNK_BYTES = 2**18
MAX_CHUNK_BYTES = CHUNK_BYTES + 64
MIN_PASSPHRASE_LENGTH = 12
# 64 MB and a fraction of a second for each guess at a passphrase.
SCRYPT = {"length": 32, "n": 2**16, "r": 8, "p": 1}
MORE, LAST = b"\0", b"\1"


class BackupError(Exception):
    """A backup cannot be made or restored; the message says why, and quotes no secret."""


def write(path: Path, pieces: Iterable[bytes], *, passphrase: str | None) -> int:
    """Write a new file that only its owner can read; return its size. Removed where it fails."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise BackupError(f"{path} is there already; it is not overwritten.") from None
    except OSError as error:
        raise BackupError(f"{path} cannot be written: {error.strerror}.") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            box = _begin(file, passphrase)
            for number, (chunk, mark) in enumerate(_mark(_cut(pieces))):
                sealed = box.close(number, chunk, mark)
                file.write(mark + len(sealed).to_bytes(4, "big") + sealed)
            file.flush()
            os.fsync(file.fileno())
            return file.tell()
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def read(path: Path, *, passphrase: str | None) -> Iterator[bytes]:
    """Yield the contents. Raises BackupError as soon as something is not as it was written; only
    after the last piece is the whole of it proven."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise BackupError(f"{path} cannot be read: {error.strerror}.") from None
    with file:
        box = _recognize(file, path, passphrase)
        number, mark = 0, MORE
        while mark != LAST:
            mark, size = file.read(1), int.from_bytes(file.read(4), "big")
            sealed = file.read(size) if size <= MAX_CHUNK_BYTES else b""
            if mark not in {MORE, LAST} or len(sealed) != size:
                raise BackupError(f"{path} is cut off or damaged.")
            yield box.open(number, sealed, mark)
            number += 1
        if file.read(1):
            raise BackupError(f"{path} goes on after its end: it is damaged.")


def is_sealed(path: Path) -> bool:
    """Say whether a backup needs a passphrase. Raises BackupError for what is no backup."""
    try:
        with path.open("rb") as file:
            first = file.readline(64)
    except OSError as error:
        raise BackupError(f"{path} cannot be read: {error.strerror}.") from None
    if first not in {PLAIN, SEALED}:
        raise BackupError(f"{path} is no backup of this product.")
    return first == SEALED


class _Plain:
    """Chunks as they are, each behind a checksum of all that came up to it."""

    def __init__(self) -> None:
        self._sum = hashlib.sha256()

    def close(self, number: int, chunk: bytes, mark: bytes) -> bytes:
        self._sum.update(mark + chunk)
        return self._sum.digest() + chunk

    def open(self, number: int, sealed: bytes, mark: bytes) -> bytes:
        chunk = sealed[32:]
        self._sum.update(mark + chunk)
        if self._sum.digest() != sealed[:32]:
            raise BackupError("The backup is damaged: a checksum does not fit.")
        return chunk


class _Sealed:
    """Chunks that nobody reads or changes without the passphrase."""

    def __init__(self, passphrase: str, salt: bytes) -> None:
        key = Scrypt(salt=salt, **SCRYPT).derive(passphrase.encode())
        self._cipher = ChaCha20Poly1305(key)

    def close(self, number: int, chunk: bytes, mark: bytes) -> bytes:
        return self._cipher.encrypt(number.to_bytes(12, "big"), chunk, mark)

    def open(self, number: int, sealed: bytes, mark: bytes) -> bytes:
        try:
            return self._cipher.decrypt(number.to_bytes(12, "big"), sealed, mark)
        except InvalidTag:
            raise BackupError("The passphrase is another one, or the backup is damaged.") from None


def _begin(file: BinaryIO, passphrase: str | None) -> _Plain | _Sealed:
    if passphrase is None:
        file.write(PLAIN)
        return _Plain()
    if len(passphrase) < MIN_PASSPHRASE_LENGTH:
        raise BackupError(f"The passphrase is shorter than {MIN_PASSPHRASE_LENGTH} characters.")
    salt = os.urandom(16)
    file.write(SEALED + salt)
    return _Sealed(passphrase, salt)


def _recognize(file: BinaryIO, path: Path, passphrase: str | None) -> _Plain | _Sealed:
    if not is_sealed(path):
        file.seek(len(PLAIN))
        return _Plain()
    if passphrase is None:
        raise BackupError(f"{path} is sealed: name the file with its passphrase.")
    file.seek(len(SEALED))
    return _Sealed(passphrase, file.read(16))


def _cut(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same bytes in chunks of one size; the last may be shorter, or empty."""
    waiting = b""
    for piece in pieces:
        waiting += piece
        while len(waiting) >= CHUNK_BYTES:
            yield waiting[:CHUNK_BYTES]
            waiting = waiting[CHUNK_BYTES:]
    yield waiting


def _mark(chunks: Iterator[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Say of each chunk whether another comes."""
    chunk = next(chunks)
    for following in chunks:
        yield chunk, MORE
        chunk = following
    yield chunk, LAST
