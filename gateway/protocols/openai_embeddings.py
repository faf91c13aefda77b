"""OpenAI's embeddings: vectors for texts, as numbers or in base64. Pure.

Only input is used. The vectors pass as they came, in whichever form the caller asked for; a
provider of messages has none, so nothing is translated.
"""

from __future__ import annotations

from typing import Any

import msgspec

from billing.usage import Usage
from gateway.errors import BadRequest
from gateway.protocols.answer import Count, is_truthy, no_answer, read_counts, read_id
from gateway.protocols.body import (
    ABSENT,
    MAX_NUMBERS,
    UNREADABLE,
    Members,
    check_unchecked,
    decode_as,
    decode_members,
    encode_members,
)
from gateway.protocols.fields import Int64, Name, check_model_name, read_tags
from gateway.protocols.form import Answer, Request
from gateway.protocols.prompts import MAX_PROMPTS, Prompts, count_prompts
from gateway.protocols.usage import sort_counts


class _Body(msgspec.Struct):
    model: Name
    input: Prompts
    dimensions: Int64 | None = None
    user: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: Count
    completion_tokens: Count = 0
    total_tokens: Count | None = None
    cost_in_usd_ticks: msgspec.Raw = ABSENT


class _Answer(msgspec.Struct):
    id: msgspec.Raw = ABSENT
    usage: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT


_body = msgspec.json.Decoder(_Body)
_answer = msgspec.json.Decoder(_Answer)
_usage = msgspec.json.Decoder(_Usage)
_CHECKED = frozenset(_Body.__struct_fields__)


class EmbeddingsRequest(Request, frozen=True, kw_only=True):
    """`members` is the top level as sent."""

    members: Members


def read_request(body: bytes) -> EmbeddingsRequest:
    """Read a body of POST /v1/embeddings; raise BadRequest, and nothing else, for a bad one."""
    members = decode_members(body, max_elements=MAX_NUMBERS)
    read = decode_as(_body, body)
    check_model_name(read.model)
    if not members.keys() <= _CHECKED:
        check_unchecked(members, checked=_CHECKED, known=_CHECKED)
    prompts = count_prompts(read.input)
    if prompts > MAX_PROMPTS:
        raise BadRequest(f"'input' holds more than {MAX_PROMPTS} texts.", "input")
    return EmbeddingsRequest(
        members=members,
        model=read.model,
        stream=False,
        prompts=prompts,
        answers=0,
        output_cap=None,
        cap_field="dimensions",
        size_bytes=len(body),
        wants_usage=False,
        asks_reasoning=False,
        features=(),
        tags=read_tags(ABSENT, user=read.user),
    )


def write_request(request: EmbeddingsRequest, *, upstream_model: str, **_: Any) -> bytes:
    """Write the body for one route: what the caller sent, under the upstream's model name."""
    return encode_members(request.members | {"model": upstream_model})


def read_answer(body: bytes) -> Answer:
    """Read the body of a 200. Its vectors are no output in tokens."""
    try:
        read = _answer.decode(body)
    except UNREADABLE:
        return no_answer(body)
    return Answer(
        is_answer=not is_truthy(read.error),
        upstream_id=read_id(read.id),
        metered=read_counts(read.usage, _usage, _count),
        output_bytes=0,
    )


def _count(said: _Usage) -> Usage:
    return sort_counts(
        prompt=said.prompt_tokens, completion=said.completion_tokens, total=said.total_tokens
    )
