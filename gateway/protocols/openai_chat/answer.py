"""A whole chat completions answer, and the usage object that streams bring as well."""

from __future__ import annotations

import msgspec

from billing.usage import Usage
from gateway.protocols.answer import (
    Count,
    clean_id,
    meter,
    read_counts,
    read_members,
)
from gateway.protocols.body import ABSENT, UNREADABLE
from gateway.protocols.form import Answer, Metered
from gateway.protocols.usage import sort_counts

Raw = msgspec.Raw


class _PromptDetails(msgspec.Struct, gc=False):
    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    audio_tokens: Count | None = None
    image_tokens: Count | None = None


class _CompletionDetails(msgspec.Struct, gc=False):
    reasoning_tokens: Count | None = None
    audio_tokens: Count | None = None


class _Usage(msgspec.Struct, gc=False):
    """The names in use: OpenAI's and xAI's, and where others say what was cached (DeepSeek,
    Moonshot). Accepted and rejected prediction tokens are part of completion_tokens."""

    prompt_tokens: Count
    completion_tokens: Count | None = None
    total_tokens: Count | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None
    prompt_cache_hit_tokens: Count | None = None
    cached_tokens: Count | None = None
    cost_in_usd_ticks: Raw = ABSENT


class _Answer(msgspec.Struct):
    id: Raw = ABSENT
    choices: Raw = ABSENT
    usage: Raw = ABSENT
    error: Raw = ABSENT


class _UsualAnswer(msgspec.Struct, gc=False):
    """An answer as it mostly is: read in one pass, where _Answer takes one a member."""

    id: str
    choices: Raw
    usage: _Usage
    error: None = None


_usual_answer = msgspec.json.Decoder(_UsualAnswer)
_answer = msgspec.json.Decoder(_Answer)
_usage = msgspec.json.Decoder(_Usage)
_NO_PROMPT_DETAILS = _PromptDetails()
_NO_COMPLETION_DETAILS = _CompletionDetails()


def read_answer(body: bytes) -> Answer:
    """Read the body of a 200. `is_answer` is false for garbage, HTML and an error object."""
    try:
        usual = _usual_answer.decode(body)
    except UNREADABLE:
        return read_members(body, _answer, content="choices", read_usage=read_usage)
    return Answer(
        is_answer=True,
        upstream_id=clean_id(usual.id),
        metered=meter(_count, usual.usage),
        output_bytes=len(usual.choices),
    )


def read_usage(raw: Raw) -> Metered:
    """Read a usage object into buckets. Never raises."""
    return read_counts(raw, _usage, _count)


def _count(said: _Usage) -> Usage:
    prompt = said.prompt_tokens_details or _NO_PROMPT_DETAILS
    completion = said.completion_tokens_details or _NO_COMPLETION_DETAILS
    cached = prompt.cached_tokens
    if cached is None:
        cached = said.prompt_cache_hit_tokens
    if cached is None:
        cached = said.cached_tokens
    return sort_counts(
        prompt=said.prompt_tokens,
        completion=said.completion_tokens,
        total=said.total_tokens,
        cached=cached or 0,
        cache_write_5m=prompt.cache_write_tokens or 0,
        audio_input=prompt.audio_tokens or 0,
        image_input=prompt.image_tokens or 0,
        reasoning=completion.reasoning_tokens,
        audio_output=completion.audio_tokens or 0,
    )
