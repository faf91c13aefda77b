"""A whole chat completions answer, and the usage object that streams bring as well.

Only metering looks at an answer; its bytes go to the caller as they came. Nothing here raises on
what a provider sends: figures that cannot be used are a fault, said in words.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from billing.usage import INT64_MAX
from gateway.protocols.body import ABSENT, UNREADABLE
from gateway.protocols.form import Answer, Metered
from gateway.protocols.usage import MAX_TOKENS, Contradiction, Counts, sort_counts

Raw = msgspec.Raw
_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_TOKENS)]

MISSING = Metered(usage=None, fault="usage is missing")
NO_ID = ""
MAX_ID_LENGTH = 200


class _PromptDetails(msgspec.Struct):
    cached_tokens: _Count | None = None
    cache_write_tokens: _Count | None = None
    audio_tokens: _Count | None = None
    image_tokens: _Count | None = None


class _CompletionDetails(msgspec.Struct):
    reasoning_tokens: _Count | None = None
    audio_tokens: _Count | None = None


class _Usage(msgspec.Struct):
    """The names in use: OpenAI's and xAI's, and where others say what was cached (DeepSeek,
    Moonshot). Accepted and rejected prediction tokens are part of completion_tokens."""

    prompt_tokens: _Count
    completion_tokens: _Count | None = None
    total_tokens: _Count | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None
    prompt_cache_hit_tokens: _Count | None = None
    cached_tokens: _Count | None = None
    cost_in_usd_ticks: Raw = ABSENT


class _Answer(msgspec.Struct):
    id: Raw = ABSENT
    choices: Raw = ABSENT
    usage: Raw = ABSENT
    error: Raw = ABSENT


_answer = msgspec.json.Decoder(_Answer)
_usage = msgspec.json.Decoder(_Usage)
_ticks = msgspec.json.Decoder(Annotated[int, msgspec.Meta(ge=0, le=INT64_MAX)])
_id = msgspec.json.Decoder(str)
_NO_PROMPT_DETAILS = _PromptDetails()
_NO_COMPLETION_DETAILS = _CompletionDetails()


def read_answer(body: bytes) -> Answer:
    """Read the body of a 200. `is_answer` is false for garbage, HTML and an error object."""
    try:
        read = _answer.decode(body)
    except UNREADABLE:
        return Answer(is_answer=False, upstream_id=NO_ID, metered=MISSING, output_bytes=len(body))
    return Answer(
        is_answer=not is_truthy(read.error),
        upstream_id=read_id(read.id),
        metered=read_usage(read.usage),
        output_bytes=len(read.choices),
    )


def read_usage(raw: Raw) -> Metered:
    """Read a usage object into buckets. Never raises: what cannot be used is named in `fault`."""
    if not is_truthy(raw):
        return MISSING
    try:
        said = _usage.decode(raw)
        usage = sort_counts(_count(said))
    except UNREADABLE as error:
        return Metered(usage=None, fault=f"usage cannot be read: {error}"[:300])
    except Contradiction as error:
        return Metered(usage=None, fault=f"usage contradicts itself: {error}")
    return Metered(usage=usage, fault=None, reported_cost_ticks=_read_ticks(said.cost_in_usd_ticks))


def read_id(raw: Raw) -> str:
    """The upstream's id of the answer: an attribute for support, so anything odd is left out."""
    if not raw or len(raw) > MAX_ID_LENGTH:
        return NO_ID
    try:
        text = _id.decode(raw)
    except UNREADABLE:
        return NO_ID
    return text if text.isprintable() else NO_ID


def is_truthy(raw: Raw) -> bool:
    """Whether a client in Python or JavaScript would take the value for something."""
    return bytes(raw) not in {b"", b"null", b"false", b"0", b'""', b"{}", b"[]"}


def _count(said: _Usage) -> Counts:
    prompt = said.prompt_tokens_details or _NO_PROMPT_DETAILS
    completion = said.completion_tokens_details or _NO_COMPLETION_DETAILS
    cached = (prompt.cached_tokens, said.prompt_cache_hit_tokens, said.cached_tokens)
    return Counts(
        prompt=said.prompt_tokens,
        completion=said.completion_tokens,
        total=said.total_tokens,
        cached=next((count for count in cached if count is not None), 0),
        cache_write_5m=prompt.cache_write_tokens or 0,
        audio_input=prompt.audio_tokens or 0,
        image_input=prompt.image_tokens or 0,
        reasoning=completion.reasoning_tokens,
        audio_output=completion.audio_tokens or 0,
    )


def _read_ticks(raw: Raw) -> int | None:
    """The provider's own price; an unusable one leaves the token counts standing."""
    if not raw:
        return None
    try:
        ticks: int = _ticks.decode(raw)
        return ticks
    except UNREADABLE:
        return None
