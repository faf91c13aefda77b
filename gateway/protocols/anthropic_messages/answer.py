"""A whole message, and the usage object that streams bring in two parts."""

from __future__ import annotations

import msgspec

from billing.usage import Usage as Buckets
from gateway.protocols.answer import (
    Count,
    meter,
    read_counts,
    read_members,
)
from gateway.protocols.body import ABSENT
from gateway.protocols.form import Answer, Metered
from gateway.protocols.usage import Contradiction, sort_counts

Raw = msgspec.Raw


class _CacheCreation(msgspec.Struct):
    ephemeral_5m_input_tokens: Count | None = None
    ephemeral_1h_input_tokens: Count | None = None


class _OutputDetails(msgspec.Struct):
    thinking_tokens: Count | None = None


class Usage(msgspec.Struct):
    """Anthropic's names. `input_tokens` leaves out what was read from the cache or written."""

    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_creation: _CacheCreation | None = None
    output_tokens_details: _OutputDetails | None = None
    cost_in_usd_ticks: Raw = ABSENT


class _Answer(msgspec.Struct):
    id: Raw = ABSENT
    content: Raw = ABSENT
    usage: Raw = ABSENT
    error: Raw = ABSENT


_answer = msgspec.json.Decoder(_Answer)
usage_decoder = msgspec.json.Decoder(Usage)
_NO_CREATION = _CacheCreation()
_NO_DETAILS = _OutputDetails()


def read_answer(body: bytes) -> Answer:
    """Read the body of a 200. `is_answer` is false for garbage, HTML and an error object."""
    return read_members(body, _answer, content="content", read_usage=_read_usage)


def _read_usage(raw: Raw) -> Metered:
    return read_counts(raw, usage_decoder, count)


def count(said: Usage) -> Buckets:
    """Sort by the names that every dialect's counts have."""
    if said.input_tokens is None:
        raise Contradiction("input_tokens is missing")
    if said.output_tokens is None:
        raise Contradiction("output_tokens is missing")
    written_5m, written_1h = _split_creation(said)
    cached = said.cache_read_input_tokens or 0
    prompt = said.input_tokens + cached + written_5m + written_1h
    return sort_counts(
        prompt=prompt,
        completion=said.output_tokens,
        total=prompt + said.output_tokens,
        cached=cached,
        cache_write_5m=written_5m,
        cache_write_1h=written_1h,
        reasoning=(said.output_tokens_details or _NO_DETAILS).thinking_tokens,
    )


def _split_creation(said: Usage) -> tuple[int, int]:
    """Return what was written to the cache for five minutes and for an hour.

    A stream's last figures tell the sum alone, its first ones both parts: what was written in
    between is taken for the dearer of the kinds that were named. Without parts it is five minutes,
    Anthropic's default.
    """
    parts = said.cache_creation or _NO_CREATION
    short, long = parts.ephemeral_5m_input_tokens or 0, parts.ephemeral_1h_input_tokens or 0
    total = said.cache_creation_input_tokens
    if total is None:
        return short, long
    rest = total - short - long
    if rest < 0:
        raise Contradiction("cache_creation is more than cache_creation_input_tokens")
    return (short, long + rest) if long else (short + rest, 0)


def merge(earlier: Usage, later: Usage) -> Usage:
    """Put the usage of message_delta over that of message_start, field by field.

    Input only grows while an answer is made (a hosted tool adds to it), and some servers say zero
    at one of the two places: the larger figure is the true one. Output is counted up, so the last
    figure counts.
    """
    return Usage(
        input_tokens=_larger(earlier.input_tokens, later.input_tokens),
        output_tokens=_last(earlier.output_tokens, later.output_tokens),
        cache_read_input_tokens=_larger(
            earlier.cache_read_input_tokens, later.cache_read_input_tokens
        ),
        cache_creation_input_tokens=_larger(
            earlier.cache_creation_input_tokens, later.cache_creation_input_tokens
        ),
        cache_creation=later.cache_creation or earlier.cache_creation,
        output_tokens_details=later.output_tokens_details or earlier.output_tokens_details,
        cost_in_usd_ticks=later.cost_in_usd_ticks or earlier.cost_in_usd_ticks,
    )


def meter_merged(said: Usage) -> Metered:
    return meter(count, said)


def _larger(earlier: int | None, later: int | None) -> int | None:
    if earlier is None or later is None:
        return earlier if later is None else later
    return max(earlier, later)


def _last(earlier: int | None, later: int | None) -> int | None:
    return earlier if later is None else later
