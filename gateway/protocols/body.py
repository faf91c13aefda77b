"""A JSON request body, decoded one level and written anew. Pure bytes; no dialect.

What comes out holds each top-level name once, valid UTF-8 and only numbers that every JSON reader
reads alike, so that the provider reads exactly what was bounded. Deeper values stay as they were
sent: of a name repeated in there the last one counts, as in the JSON readers in wide use.
"""

from __future__ import annotations

import math
import re
from typing import Any, TypeVar

import msgspec

from billing.usage import INT64_MAX
from gateway.errors import BadRequest
from gateway.protocols.surrogates import find_half

T = TypeVar("T")
Members = dict[str, msgspec.Raw]
# The default of a Raw field: msgspec takes no union with None there.
ABSENT = msgspec.Raw()

# What msgspec raises for bytes that are no JSON, or none of the type that was asked for.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

# An element is whatever stands in a list or an object beside others. Reading 100,000 messages takes
# a second of a loop that serves everybody; no window is so wide that so many would fit. Lists of
# numbers are another matter: prompts may be written as tokens.
MAX_ELEMENTS = 100_000
MAX_NUMBERS = 1_000_000
MAX_MEMBERS = 500
MAX_NAME_LENGTH = 200

_members = msgspec.json.Decoder(Members)
_name = msgspec.json.Decoder(str)
_encode = msgspec.json.Encoder().encode
_NAME = re.compile(rb'\s*("[^"\\]*(?:\\.[^"\\]*)*")\s*:\s*')
_AFTER = re.compile(rb"\s*([,}])")
_PLACE = re.compile(r" - at `\$?\.?(.*)`$")
_MISSING = re.compile(r"missing required field `(\w+)`")


def decode_members(body: bytes, *, max_elements: int = MAX_ELEMENTS) -> Members:
    """Return the top-level members as they were written; raise BadRequest for anything else."""
    if not body.isascii():
        _check_utf8(body)
    members = decode_as(_members, body)
    if len(body) > 2 * max_elements and _has_more_elements(body, max_elements):
        message = f"The request body has more than {max_elements:,} elements."
        raise BadRequest(message, code="too_many_elements")
    if len(members) > MAX_MEMBERS:
        raise BadRequest("The request body has too many fields.", code="invalid_json")
    # `{`, and for each member two quotes, a colon and a comma or `}`: nothing is left over for a
    # name said twice, for spaces or for escapes in names. Most clients write without any spaces.
    shortest = 1 + 4 * len(members) + sum(map(len, members)) + sum(map(len, members.values()))
    if len(body) != shortest:
        _refuse_repeated(body, members)
    return members


def decode_as(decoder: msgspec.json.Decoder[T], body: bytes | msgspec.Raw) -> T:
    """Decode by a type, with BadRequest naming the field that does not fit."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _name_field(str(error)) from None
    except msgspec.DecodeError as error:
        raise BadRequest(_explain(error, bytes(body)), code="invalid_json") from None
    except RecursionError:
        message = "The request body is nested too deeply."
        raise BadRequest(message, code="invalid_json") from None


def _explain(error: msgspec.DecodeError, body: bytes) -> str:
    """Half of a character has a message of its own: msgspec calls it a body that was truncated."""
    half = find_half(body)
    if half is None:
        return f"The request body is not valid JSON: {error}."
    escape = body[half : half + 6].decode()
    return (
        f"The request body holds half of a character: {escape} at byte {half} is a surrogate"
        " without its other half. Cut text between characters, not between UTF-16 units."
    )


def encode_members(members: dict[str, Any]) -> bytes:
    """Write members anew: Raw values byte for byte, plain ones as JSON."""
    return _encode(members)


def check_unchecked(members: Members, *, checked: frozenset[str], known: frozenset[str]) -> None:
    """Check what no type has: the numbers, and names that imitate one of `known`.

    Some JSON readers match names whatever their case (Go's does), so `Max_Tokens` would be read by
    the provider and not by us.
    """
    for name in members.keys() - checked:
        folded = name.casefold()
        if folded != name and folded in known:
            raise BadRequest(f"'{name}' has to be written '{folded}'.", name)
        if len(name) > MAX_NAME_LENGTH:
            raise BadRequest(f"The name '{name[:50]}…' is too long.", name[:50])
        _check_number(name, members[name])


def is_null(raw: msgspec.Raw) -> bool:
    """True where a member is null or was not sent (ABSENT)."""
    return not raw or bytes(raw) == b"null"


def _check_number(name: str, raw: msgspec.Raw) -> None:
    first = memoryview(raw)[0]
    if first != 0x2D and not 0x30 <= first <= 0x39:
        return
    text = bytes(raw)
    # No number that fits takes as many characters; int() of a longer text is slow or refused.
    if len(text) > 400 or not _is_portable(text):
        raise BadRequest(f"The number in '{name}' is out of range.", name, "number_out_of_range")


def _is_portable(text: bytes) -> bool:
    if text.lstrip(b"-").isdigit():
        return -INT64_MAX - 1 <= int(text) <= INT64_MAX
    return math.isfinite(float(text))


def _has_more_elements(body: bytes, most: int) -> bool:
    """Count what begins an element outside of texts, where texts could be hiding more of it.

    Text may hold as many commas as it likes. It is cut out by its quotes, once those in the text
    itself, which are escaped, are gone; so many quotes that there is a text for every element are
    too many by themselves.
    """
    if _count_elements(body) <= most:
        return False
    bare = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    if bare.count(b'"') > 4 * most:
        return True
    return _count_elements(b"".join(bare.split(b'"')[::2])) > most


def _count_elements(text: bytes) -> int:
    return text.count(b",") + text.count(b"{") + text.count(b"[")


def _check_utf8(body: bytes) -> None:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        message = f"The request body is not valid UTF-8 (byte {error.start})."
        raise BadRequest(message, code="invalid_json") from None


def _refuse_repeated(body: bytes, members: Members) -> None:
    """Walk the top level as it was written; `members` holds the last value of each name.

    A name seen before, or one whose value here is not its last, was said twice. The body is known
    to be valid JSON, so a value that begins with the whole last value and is then followed by a
    comma or the end is that value.
    """
    seen: set[str] = set()
    at = body.index(b"{") + 1
    while (spelled := _NAME.match(body, at)) is not None:
        name = _name.decode(spelled[1])
        value = bytes(members[name])
        at = spelled.end() + len(value)
        after = _AFTER.match(body, at)
        if name in seen or after is None or not body.startswith(value, spelled.end()):
            message = f"'{name[:MAX_NAME_LENGTH]}' is given more than once."
            raise BadRequest(message, name[:MAX_NAME_LENGTH], "duplicate_field")
        seen.add(name)
        at = after.end()


def _name_field(sentence: str) -> BadRequest:
    """msgspec says `Expected `str`, got `int` - at `$.messages[2].role``; keep what and where."""
    place = _PLACE.search(sentence)
    field = place[1] if place else ""
    what = sentence[: place.start()] if place else sentence
    missing = _MISSING.search(what)
    if missing is not None:
        field = f"{field}.{missing[1]}" if field else missing[1]
        return BadRequest(f"'{field}' is required.", field, "missing_required_parameter")
    if not field:
        return BadRequest("The request body has to be a JSON object.", code="invalid_json")
    return BadRequest(f"'{field}' is not acceptable: {what}.".replace("`", ""), field)
