"""A whole response, and the usage object that the last event of a stream brings as well."""

from __future__ import annotations

import msgspec

from billing.usage import Usage
from gateway.protocols.answer import Count, read_counts, read_members
from gateway.protocols.body import ABSENT
from gateway.protocols.form import Answer, Metered
from gateway.protocols.usage import sort_counts

Raw = msgspec.Raw


class _InputDetails(msgspec.Struct):
    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: Count | None = None


class _Usage(msgspec.Struct):
    input_tokens: Count
    output_tokens: Count | None = None
    total_tokens: Count | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None
    cost_in_usd_ticks: Raw = ABSENT


class _Answer(msgspec.Struct):
    id: Raw = ABSENT
    output: Raw = ABSENT
    usage: Raw = ABSENT
    error: Raw = ABSENT


_answer = msgspec.json.Decoder(_Answer)
_usage = msgspec.json.Decoder(_Usage)
_NO_INPUT_DETAILS = _InputDetails()
_NO_OUTPUT_DETAILS = _OutputDetails()


def read_answer(body: bytes) -> Answer:
    """Read the body of a 200. `is_answer` is false for garbage, HTML and a response that failed."""
    return read_members(body, _answer, content="output", read_usage=read_usage)


def read_usage(raw: Raw) -> Metered:
    """Read a usage object into buckets. Never raises."""
    return read_counts(raw, _usage, _count)


def _count(said: _Usage) -> Usage:
    given = said.input_tokens_details or _NO_INPUT_DETAILS
    return sort_counts(
        prompt=said.input_tokens,
        completion=said.output_tokens,
        total=said.total_tokens,
        cached=given.cached_tokens or 0,
        cache_write_5m=given.cache_write_tokens or 0,
        reasoning=(said.output_tokens_details or _NO_OUTPUT_DETAILS).reasoning_tokens,
    )
