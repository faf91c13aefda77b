"""POST /v1/messages/count_tokens: how long a prompt is. Costs nothing at Anthropic.

A provider of another protocol has no such endpoint; for its models the answer is an estimate made
here, because coding tools ask before they send.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from billing.usage import Usage
from gateway.protocols.answer import Count, is_truthy, no_answer
from gateway.protocols.anthropic_messages.features import (
    KNOWN_FIELDS,
    Block,
    Message,
    Tool,
    refuse_state,
)
from gateway.protocols.body import (
    ABSENT,
    UNREADABLE,
    Members,
    check_unchecked,
    decode_as,
    decode_members,
    encode_members,
)
from gateway.protocols.fields import Name, check_model_name
from gateway.protocols.form import Answer, Metered, Request

# English and code come to about four bytes a token in the vendors' tokenizers, other languages
# and JSON to fewer; a message costs a few tokens beside its text, an image some 1,500 of them.
BYTES_PER_TOKEN = 3.5
TOKENS_PER_MESSAGE = 4
TOKENS_PER_SOURCE = 1500
_SOURCES = frozenset({"base64", "url", "file"})


class _Body(msgspec.Struct):
    model: Name
    messages: Annotated[list[Message], msgspec.Meta(min_length=1)]
    system: str | list[Block] | None = None
    tools: list[Tool] | None = None


class _Answer(msgspec.Struct):
    input_tokens: Count | None = None
    error: msgspec.Raw = ABSENT


_body = msgspec.json.Decoder(_Body)
_answer = msgspec.json.Decoder(_Answer)
_CHECKED = frozenset(_Body.__struct_fields__)


class CountRequest(Request, frozen=True, kw_only=True):
    members: Members


def read_count_request(body: bytes) -> CountRequest:
    """Read a body of POST /v1/messages/count_tokens. It asks for no answer, so nothing is dear."""
    members = decode_members(body)
    read = decode_as(_body, body)
    check_model_name(read.model)
    if not members.keys() <= _CHECKED:
        check_unchecked(members, checked=_CHECKED, known=KNOWN_FIELDS)
        refuse_state(members)
    return CountRequest(
        members=members,
        model=read.model,
        stream=False,
        is_free=True,
        answers=0,
        output_cap=None,
        cap_field="max_tokens",
        size_bytes=len(body),
        wants_usage=False,
        asks_reasoning=False,
        features=(),
        tags={},
    )


def write_count_request(request: CountRequest, *, upstream_model: str, **_: Any) -> bytes:
    return encode_members(request.members | {"model": upstream_model})


def read_counted(body: bytes) -> Answer:
    """Read the body of a 200: the count is the answer, and nothing was used."""
    try:
        read = _answer.decode(body)
    except UNREADABLE:
        return no_answer(body)
    return Answer(
        is_answer=read.input_tokens is not None and not is_truthy(read.error),
        upstream_id="",
        metered=Metered(usage=Usage(), fault=None),
        output_bytes=0,
    )


def estimate_tokens(request: CountRequest) -> int:
    """Return about how many tokens the prompt has for a model whose tokenizer is not known."""
    messages = msgspec.json.decode(request.members["messages"])
    system = msgspec.json.decode(request.members.get("system", b"null"))
    text, sources = _measure([messages, system])
    text += len(request.members.get("tools", b""))
    tokens = text / BYTES_PER_TOKEN + sources * TOKENS_PER_SOURCE
    return max(1, round(tokens) + TOKENS_PER_MESSAGE * len(messages))


def _measure(value: Any) -> tuple[int, int]:
    """Return the bytes of all text in a value, and how many images and files it has."""
    text, sources = 0, 0
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            text += len(one.encode())
        elif isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            is_source = one.get("type") in _SOURCES
            sources += is_source
            waiting += () if is_source else one.values()
    return text, sources
