"""The text of a key: made, taken apart, digested and compared.

`<prefix>_<public id 12><secret 32><checksum 6>`, base62. The checksum is the CRC-32 of all before
it, so that a slip of the pen is found without a look-up; it protects nothing. Only an HMAC under a
pepper is ever stored. Pure: no Django, no database, no clock.
"""

from __future__ import annotations

import hmac
import re
import secrets
import string
from binascii import crc32
from collections.abc import Collection
from typing import NamedTuple

from accounts.errors import MalformedKey

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
PUBLIC_ID_LENGTH = 12
SECRET_LENGTH = 32
CHECKSUM_LENGTH = 6
BODY_LENGTH = PUBLIC_ID_LENGTH + SECRET_LENGTH + CHECKSUM_LENGTH
MAX_PREFIX_LENGTH = 16
# Also one that was cut or has grown: who pastes a key into the wrong place may miss a letter.
_LIKE_A_KEY = re.compile(
    rf"\b([A-Za-z0-9]{{1,{MAX_PREFIX_LENGTH}}}_[A-Za-z0-9]{{{PUBLIC_ID_LENGTH}}})[A-Za-z0-9]{{20,}}"
)
_PAIRS = tuple(high + low for high in ALPHABET for low in ALPHABET)


class NewKey(NamedTuple):
    """A key that was just made. `text` is shown once and kept nowhere."""

    text: str
    public_id: str

    def __repr__(self) -> str:
        return f"NewKey(public_id={self.public_id!r})"


class Presented(NamedTuple):
    """What the text of a key claims; nothing of it is proven yet."""

    prefix: str
    public_id: str


def parse(text: str, prefixes: Collection[str]) -> Presented:
    """Take a key apart. Raises MalformedKey unless form, prefix and checksum are right."""
    prefix, _, body = text.partition("_")
    if len(body) != BODY_LENGTH or prefix not in prefixes:
        raise MalformedKey("The text does not have the form of a key of this service.")
    if not (body.isascii() and body.isalnum()):
        raise MalformedKey("A key consists of letters and digits only.")
    if checksum(text[:-CHECKSUM_LENGTH]) != text[-CHECKSUM_LENGTH:]:
        raise MalformedKey("The checksum is wrong: the key was not copied whole.")
    return Presented(prefix, body[:PUBLIC_ID_LENGTH])


def make_key(prefix: str, *, public_id: str | None = None) -> NewKey:
    """Make a key with about 190 random bits; with `public_id`, a further secret of that key."""
    check_prefix(prefix)
    public_id = public_id or _draw(PUBLIC_ID_LENGTH)
    covered = f"{prefix}_{public_id}{_draw(SECRET_LENGTH)}"
    return NewKey(covered + checksum(covered), public_id)


def checksum(covered: str) -> str:
    """Return the CRC-32 of ASCII text as six base62 digits."""
    rest, low = divmod(crc32(covered.encode()), 3844)
    high, middle = divmod(rest, 3844)
    return _PAIRS[high] + _PAIRS[middle] + _PAIRS[low]


def digest(text: str, pepper: bytes) -> bytes:
    """Return the 32 bytes that are stored for a key: HMAC-SHA256 of its whole text."""
    return hmac.digest(pepper, text.encode(), "sha256")


def matches(mac: bytes, text: str, pepper: bytes) -> bool:
    """Compare in a time that tells nothing about where the first difference lies."""
    return hmac.compare_digest(mac, digest(text, pepper))


def hide(text: str) -> str:
    """Return a text with every key in it cut after its public id, for logs and messages."""
    return _LIKE_A_KEY.sub(r"\1…", text)


def check_prefix(prefix: str) -> None:
    """Raise ValueError for a prefix that keys could not be told apart with."""
    short_enough = 0 < len(prefix) <= MAX_PREFIX_LENGTH
    if not (short_enough and prefix.isascii() and prefix.isalnum()):
        raise ValueError(
            f"prefix {prefix!r}: a key's prefix is 1 to {MAX_PREFIX_LENGTH} letters and digits"
        )


def _draw(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))
