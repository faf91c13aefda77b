"""What whole answers have in common in every dialect: an id, perhaps an error, and usage. Pure.

Nothing here raises on what a provider sends: figures that cannot be used are a fault, said in
words.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import msgspec

from billing.usage import INT64_MAX, Usage
from gateway.protocols.body import UNREADABLE
from gateway.protocols.form import Answer, Metered
from gateway.protocols.usage import MAX_TOKENS, Contradiction

Raw = msgspec.Raw
T = TypeVar("T")
Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_TOKENS)]

MISSING = Metered(usage=None, fault="usage is missing")
NO_ID = ""
MAX_ID_LENGTH = 200

_ticks = msgspec.json.Decoder(Annotated[int, msgspec.Meta(ge=0, le=INT64_MAX)])
_text = msgspec.json.Decoder(str)


def no_answer(body: bytes) -> Answer:
    """Return what stands for a body that is no answer at all."""
    return Answer(is_answer=False, upstream_id=NO_ID, metered=MISSING, output_bytes=len(body))


def read_members(
    body: bytes,
    decoder: msgspec.json.Decoder[Any],
    *,
    content: str,
    read_usage: Callable[[Raw], Metered],
) -> Answer:
    """Read the body of a 200. `is_answer` is false for garbage, HTML and an error object.

    `decoder` gives the members as Raw: id, usage, error, and under the name `content` the output.
    """
    try:
        read = decoder.decode(body)
    except UNREADABLE:
        return no_answer(body)
    return Answer(
        is_answer=not is_truthy(read.error),
        upstream_id=read_id(read.id),
        metered=read_usage(read.usage),
        output_bytes=len(getattr(read, content)),
    )


def read_counts(raw: Raw, decoder: msgspec.json.Decoder[T], count: Callable[[T], Usage]) -> Metered:
    """Read a usage object by its dialect's names. What cannot be used is named in `fault`."""
    if not is_truthy(raw):
        return MISSING
    try:
        said = decoder.decode(raw)
    except UNREADABLE as error:
        return Metered(usage=None, fault=f"usage cannot be read: {error}"[:300])
    return meter(count, said)


def meter(count: Callable[[T], Usage], said: T) -> Metered:
    """Sort what was said into buckets, with the provider's own price where it names one."""
    try:
        usage = count(said)
    except Contradiction as error:
        return Metered(usage=None, fault=f"usage contradicts itself: {error}")
    raw: Raw | None = getattr(said, "cost_in_usd_ticks", None)
    return Metered(usage=usage, fault=None, reported_cost_ticks=read_ticks(raw) if raw else None)


def read_id(raw: Raw) -> str:
    """The upstream's id of the answer: an attribute for support, so anything odd is left out."""
    if not raw or len(raw) > MAX_ID_LENGTH:
        return NO_ID
    return clean_id(read_text(raw))


def clean_id(text: str) -> str:
    """Return an id as it was read, or NO_ID for what cannot be one."""
    return text if len(text) <= MAX_ID_LENGTH and text.isprintable() else NO_ID


def read_text(raw: Raw) -> str:
    """A member that is text; '' for anything else."""
    if not raw or memoryview(raw)[0] != ord('"'):
        return ""
    try:
        return _text.decode(raw)
    except UNREADABLE:
        return ""


def is_truthy(raw: Raw) -> bool:
    """Whether a client in Python or JavaScript would take the value for something."""
    return bytes(raw) not in {b"", b"null", b"false", b"0", b'""', b"{}", b"[]"}


def read_ticks(raw: Raw) -> int | None:
    """The provider's own price; an unusable one leaves the token counts standing."""
    try:
        ticks: int = _ticks.decode(raw)
        return ticks
    except UNREADABLE:
        return None
