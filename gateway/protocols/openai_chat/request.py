"""A chat completions request: read once, checked where it costs or routes, written anew.

Fields that decide neither are the provider's to judge and pass as they were sent. Whatever is
read here is what the provider reads: see body.py.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from gateway.protocols.body import (
    ABSENT,
    Members,
    check_unchecked,
    decode_as,
    decode_members,
    encode_members,
    is_null,
)
from gateway.protocols.fields import (
    AnswerCount,
    Cap,
    Int64,
    Name,
    check_model_name,
    read_tags,
)
from gateway.protocols.form import Request
from gateway.protocols.openai_chat.features import FEATURE_FIELDS, Message, Tool, find_features

# Silence is the dangerous answer: a server that does not know `max_completion_tokens` ignores it
# and writes on without a cap (llama-cpp-python does: abetlen/llama-cpp-python#1907), while a
# reasoning model of OpenAI refuses `max_tokens` loudly. Routes to OpenAI should name the other.
DEFAULT_CAP_FIELD = "max_tokens"
CAP_FIELDS = ("max_completion_tokens", "max_tokens")


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Body(msgspec.Struct, gc=False):
    """The fields that are checked here. One pass over the body reads them all."""

    model: Name
    messages: Annotated[list[Message], msgspec.Meta(min_length=1)]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    n: AnswerCount | None = None
    max_tokens: Cap | None = None
    max_completion_tokens: Cap | None = None
    temperature: float | None = None
    top_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: Int64 | None = None
    tools: list[Tool] | None = None
    modalities: list[str] | None = None
    service_tier: str | None = None
    user: str | None = None
    metadata: msgspec.Raw = ABSENT


_body = msgspec.json.Decoder(_Body)
_object = msgspec.json.Decoder(Members)
_CHECKED = frozenset(_Body.__struct_fields__)
_KNOWN = _CHECKED | FEATURE_FIELDS
_REASONING_FIELDS = frozenset({"reasoning_effort", "reasoning", "thinking", "enable_thinking"})


class ChatRequest(Request, frozen=True, kw_only=True):
    """`members` is the top level as sent; `max_tokens` and `max_completion_tokens` as read."""

    members: Members
    max_tokens: int | None
    max_completion_tokens: int | None


def read_request(body: bytes) -> ChatRequest:
    """Read a body of POST /v1/chat/completions; raise BadRequest, and nothing else, for a bad one.

    With both caps given, the larger one bounds the answer: whichever the provider goes by, it
    cannot be longer.
    """
    members = decode_members(body)
    read = decode_as(_body, body)
    check_model_name(read.model)
    if not members.keys() <= _CHECKED:
        check_unchecked(members, checked=_CHECKED, known=_KNOWN)
    options = read.stream_options
    return ChatRequest(
        members=members,
        model=read.model,
        stream=bool(read.stream),
        answers=read.n or 1,
        output_cap=_choose_cap(read),
        cap_field="max_completion_tokens" if read.max_completion_tokens else DEFAULT_CAP_FIELD,
        max_tokens=read.max_tokens,
        max_completion_tokens=read.max_completion_tokens,
        size_bytes=len(body),
        wants_usage=options is not None and options.include_usage is True,
        asks_reasoning=not _REASONING_FIELDS.isdisjoint(members),
        features=find_features(
            members, read.messages, read.tools, read.modalities, read.service_tier
        ),
        tags=read_tags(read.metadata, user=read.user) if read.user or read.metadata else {},
    )


def write_request(
    request: ChatRequest,
    *,
    upstream_model: str,
    output_cap: int | None,
    cap_field: str | None = None,
) -> bytes:
    """Write the body for one route: what the caller sent, under the upstream's model name.

    `output_cap` lowers the caller's cap, or sets one where there is none; it never raises one.
    `cap_field` is the only name that the route's provider takes for it; None keeps the caller's.
    A stream is always asked for its usage, and nothing is kept.
    """
    members: dict[str, Any] = request.members | {"model": upstream_model}
    _put_cap(members, request, output_cap, cap_field)
    if request.stream and not request.wants_usage:
        members["stream_options"] = ask_for_usage(request.members)
    if "store" in members:
        members["store"] = False
    return encode_members(members)


def ask_for_usage(members: Members) -> dict[str, Any]:
    """Return the stream options of a request, with usage in them."""
    sent = members.get("stream_options", ABSENT)
    options = {} if is_null(sent) else _object.decode(sent)
    return options | {"include_usage": True}


def _put_cap(
    members: dict[str, Any], request: ChatRequest, output_cap: int | None, cap_field: str | None
) -> None:
    asked = request.output_cap
    cap = asked if output_cap is None else min(asked or output_cap, output_cap)
    if cap_field is not None:
        for name in CAP_FIELDS:
            members.pop(name, None)
        if cap is not None:
            members[cap_field] = cap
    elif cap is not None:
        if asked is None:
            members[DEFAULT_CAP_FIELD] = cap
        if request.max_tokens is not None:
            members["max_tokens"] = min(request.max_tokens, cap)
        if request.max_completion_tokens is not None:
            members["max_completion_tokens"] = min(request.max_completion_tokens, cap)


def _choose_cap(read: _Body) -> int | None:
    if read.max_tokens is None or read.max_completion_tokens is None:
        return read.max_tokens or read.max_completion_tokens
    return max(read.max_tokens, read.max_completion_tokens)
