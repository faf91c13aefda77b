"""A Responses request: read once, checked where it costs, routes or refers to what is kept.

Nothing is kept, here or at the provider: what one organization left in the operator's account
another could read, and an answer that is fetched later would be metered by nobody. So every
request goes on with `store: false`, and one that builds on a kept answer is refused.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from gateway.errors import BadRequest
from gateway.protocols.answer import is_truthy
from gateway.protocols.body import (
    ABSENT,
    Members,
    check_unchecked,
    decode_as,
    decode_members,
    encode_members,
    is_null,
)
from gateway.protocols.fields import Cap, Name, check_model_name, read_tags
from gateway.protocols.form import Request
from gateway.protocols.openai_responses.features import FEATURE_FIELDS, Item, Tool, find_features

CAP_FIELD = "max_output_tokens"
# What asks for something that is kept at the provider, and what that is.
STATE_FIELDS = {
    "previous_response_id": "an earlier answer",
    "conversation": "a conversation",
    "background": "an answer that is fetched later",
    "prompt": "a prompt",
    "store": "the answer of this request",
}
_Input = Annotated[list[Item], msgspec.Meta(min_length=1)]


class _Body(msgspec.Struct):
    """The fields that are checked here. One pass over the body reads them all."""

    model: Name
    input: str | _Input
    stream: bool | None = None
    max_output_tokens: Cap | None = None
    temperature: float | None = None
    top_p: float | None = None
    tools: list[Tool] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    metadata: msgspec.Raw = ABSENT
    reasoning: msgspec.Raw = ABSENT


_body = msgspec.json.Decoder(_Body)
_CHECKED = frozenset(_Body.__struct_fields__)
_KNOWN = _CHECKED | FEATURE_FIELDS | STATE_FIELDS.keys()


class ResponsesRequest(Request, frozen=True, kw_only=True):
    """`members` is the top level as sent."""

    members: Members


def read_request(body: bytes) -> ResponsesRequest:
    """Read a body of POST /v1/responses; raise BadRequest, and nothing else, for a bad one."""
    members = decode_members(body)
    _refuse_state(members)
    read = decode_as(_body, body)
    check_model_name(read.model)
    if not members.keys() <= _CHECKED:
        check_unchecked(members, checked=_CHECKED, known=_KNOWN)
    if not isinstance(read.input, str):
        _refuse_references(read.input)
    user = read.user or read.safety_identifier
    return ResponsesRequest(
        members=members,
        model=read.model,
        stream=bool(read.stream),
        answers=1,
        output_cap=read.max_output_tokens,
        cap_field=CAP_FIELD,
        size_bytes=len(body),
        wants_usage=True,
        asks_reasoning=not is_null(read.reasoning),
        features=find_features(members, read.input, read.tools),
        tags=read_tags(read.metadata, user=user),
    )


def write_request(
    request: ResponsesRequest, *, upstream_model: str, output_cap: int | None, **_: Any
) -> bytes:
    """Write the body for one route: what the caller sent, under the upstream's model name.

    `output_cap` lowers the caller's cap, or sets one where there is none; it never raises one.
    """
    members: dict[str, Any] = request.members | {"model": upstream_model, "store": False}
    asked = request.output_cap
    cap = asked if output_cap is None else min(asked or output_cap, output_cap)
    if cap is not None:
        members[CAP_FIELD] = cap
    return encode_members(members)


def _refuse_state(members: Members) -> None:
    for name in STATE_FIELDS.keys() & members.keys():
        if is_truthy(members[name]):
            raise _refuse_kept(name, STATE_FIELDS[name])


def _refuse_references(items: list[Item]) -> None:
    for at, item in enumerate(items):
        if item.type == "item_reference" or not (item.type or item.role):
            raise _refuse_kept(f"input[{at}]", "an item of an earlier answer")


def _refuse_kept(field: str, what: str) -> BadRequest:
    return BadRequest(
        f"'{field}' asks for {what} to be kept at the provider. Nothing is kept: send the whole "
        "input with every request, and 'store': false.",
        field,
        "state_not_kept",
    )
