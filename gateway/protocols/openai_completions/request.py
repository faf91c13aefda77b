"""A completions request: read once, checked where it costs or routes, written anew."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.errors import BadRequest
from gateway.protocols.body import (
    ABSENT,
    MAX_NUMBERS,
    Members,
    check_unchecked,
    decode_as,
    decode_members,
    encode_members,
)
from gateway.protocols.fields import AnswerCount, Cap, Int64, Name, check_model_name, read_tags
from gateway.protocols.form import Request
from gateway.protocols.openai_chat.request import ask_for_usage
from gateway.protocols.prompts import MAX_PROMPTS, Prompts, count_prompts

CAP_FIELD = "max_tokens"
# What OpenAI and those who follow it write at most where a request does not say.
DEFAULT_CAP = 16


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Body(msgspec.Struct):
    """The fields that are checked here. One pass over the body reads them all."""

    model: Name
    prompt: Prompts | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    n: AnswerCount | None = None
    best_of: AnswerCount | None = None
    max_tokens: Cap | None = None
    temperature: float | None = None
    top_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: Int64 | None = None
    user: str | None = None


_body = msgspec.json.Decoder(_Body)
_CHECKED = frozenset(_Body.__struct_fields__)


class CompletionRequest(Request, frozen=True, kw_only=True):
    """`members` is the top level as sent, `prompt` its prompt or prompts."""

    members: Members
    prompt: Prompts | None


def read_request(body: bytes) -> CompletionRequest:
    """Read a body of POST /v1/completions; raise BadRequest, and nothing else, for a bad one.

    Of `best_of` answers all are billed, whichever are shown.
    """
    members = decode_members(body, max_elements=MAX_NUMBERS)
    read = decode_as(_body, body)
    check_model_name(read.model)
    if not members.keys() <= _CHECKED:
        check_unchecked(members, checked=_CHECKED, known=_CHECKED)
    prompts = count_prompts(read.prompt)
    if prompts > MAX_PROMPTS:
        raise BadRequest(f"'prompt' holds more than {MAX_PROMPTS} prompts.", "prompt")
    options = read.stream_options
    return CompletionRequest(
        members=members,
        prompt=read.prompt,
        model=read.model,
        stream=bool(read.stream),
        prompts=prompts,
        answers=max(read.n or 1, read.best_of or 1) * prompts,
        output_cap=read.max_tokens or DEFAULT_CAP,
        cap_field=CAP_FIELD,
        size_bytes=len(body),
        wants_usage=options is not None and options.include_usage is True,
        asks_reasoning=False,
        features=(),
        tags=read_tags(ABSENT, user=read.user),
    )


def write_request(
    request: CompletionRequest, *, upstream_model: str, output_cap: int | None, **_: Any
) -> bytes:
    """Write the body for one route: what the caller sent, under the upstream's model name.

    `output_cap` lowers the caller's cap; it never raises it. A stream is always asked for usage.
    """
    members: dict[str, Any] = request.members | {"model": upstream_model}
    asked = request.output_cap or DEFAULT_CAP
    members[CAP_FIELD] = asked if output_cap is None else min(asked, output_cap)
    if request.stream and not request.wants_usage:
        members["stream_options"] = ask_for_usage(request.members)
    return encode_members(members)
