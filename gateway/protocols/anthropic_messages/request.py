"""A messages request: read once, checked where it costs or routes, written anew.

Fields that decide neither are the provider's to judge and pass as they were sent. Whatever is
read here is what the provider reads: see body.py.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec

from gateway.protocols.answer import read_text
from gateway.protocols.anthropic_messages.features import (
    KNOWN_FIELDS,
    Block,
    Message,
    Tool,
    find_features,
    refuse_state,
)
from gateway.protocols.body import (
    ABSENT,
    Members,
    check_unchecked,
    decode_as,
    decode_members,
    encode_members,
)
from gateway.protocols.fields import Cap, Int64, Name, check_model_name, read_tags
from gateway.protocols.form import Request

# The version that a caller without `anthropic-version` gets, and every translated call: later
# ones refuse sampling parameters, which callers of other dialects send as a matter of course.
DEFAULT_VERSION = "2023-06-01"
CAP_FIELD = "max_tokens"


class Thinking(msgspec.Struct):
    type: str = ""
    budget_tokens: Int64 | None = None


class _Body(msgspec.Struct):
    """The fields that are checked here. One pass over the body reads them all."""

    model: Name
    messages: Annotated[list[Message], msgspec.Meta(min_length=1)]
    max_tokens: Cap
    stream: bool | None = None
    system: str | list[Block] | None = None
    tools: list[Tool] | None = None
    thinking: Thinking | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: Int64 | None = None
    metadata: msgspec.Raw = ABSENT


_body = msgspec.json.Decoder(_Body)
_object = msgspec.json.Decoder(Members)
_CHECKED = frozenset(_Body.__struct_fields__)
_UNSIGNED = re.compile(rb'"signature"\s*:\s*""')


class MessagesRequest(Request, frozen=True, kw_only=True):
    """`members` is the top level as sent."""

    members: Members
    thinking: Thinking | None


def read_request(body: bytes) -> MessagesRequest:
    """Read a body of POST /v1/messages; raise BadRequest, and nothing else, for a bad one."""
    members = decode_members(body)
    read = decode_as(_body, body)
    check_model_name(read.model)
    if not members.keys() <= _CHECKED:
        check_unchecked(members, checked=_CHECKED, known=KNOWN_FIELDS)
        refuse_state(members)
    return MessagesRequest(
        members=members,
        model=read.model,
        stream=bool(read.stream),
        answers=1,
        output_cap=read.max_tokens,
        cap_field=CAP_FIELD,
        size_bytes=len(body),
        wants_usage=True,
        asks_reasoning=read.thinking is not None and read.thinking.type != "disabled",
        thinking=read.thinking,
        features=find_features(members, read.messages, read.system, read.tools),
        tags=read_user(read.metadata),
    )


def write_request(
    request: MessagesRequest, *, upstream_model: str, output_cap: int | None, **_: Any
) -> bytes:
    """Write the body for one route: what the caller sent, under the upstream's model name.

    `output_cap` lowers the caller's cap; it never raises it. A budget for thinking that no longer
    lies below the cap, as it has to, is lowered with it.
    """
    members: dict[str, Any] = request.members | {"model": upstream_model}
    asked = request.output_cap or 0
    cap = asked if output_cap is None else min(asked, output_cap)
    members[CAP_FIELD] = cap
    if _UNSIGNED.search(request.members["messages"]):
        members["messages"] = _drop_unsigned(request.members["messages"])
    thinking = request.thinking
    if cap < asked and thinking is not None and (thinking.budget_tokens or 0) >= cap:
        sent = _object.decode(request.members["thinking"])
        members["thinking"] = sent | {"budget_tokens": max(cap - 1, 1)}
    return encode_members(members)


def _drop_unsigned(raw: msgspec.Raw) -> list[Any]:
    """Leave out thoughts without a signature: they are another provider's, told here before, and
    Anthropic refuses a request for them. A conversation may change its model on the way."""
    messages: list[dict[str, Any]] = []
    for message in msgspec.json.decode(raw):
        content = message.get("content")
        if isinstance(content, list):
            content = [block for block in content if not _is_unsigned(block)]
        if content or message.get("role") == "system":
            messages.append({**message, "content": content} if content else message)
    return messages


def _is_unsigned(block: dict[str, Any]) -> bool:
    return block.get("type") == "thinking" and block.get("signature") == ""


def read_user(metadata: msgspec.Raw) -> dict[str, str]:
    """Return the tag `user` from `metadata.user_id`, the one thing that Anthropic takes there."""
    if not metadata or memoryview(metadata)[0] != ord("{"):
        return {}
    user = read_text(_object.decode(metadata).get("user_id", ABSENT))
    return read_tags(ABSENT, user=user)
