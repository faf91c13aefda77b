"""Whole responses, read into the one form and written from it, and the items that streams have too.
Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from billing.usage import Usage
from gateway.protocols.body import UNREADABLE
from gateway.protocols.conversation import (
    Answered,
    Head,
    Refusal,
    Reply,
    Stop,
    Text,
    Thinking,
    ToolCall,
    Untranslatable,
)
from gateway.protocols.openai_responses.request import ResponsesRequest
from gateway.protocols.openai_responses.tools import Kind, find_kinds, write_call

Item = dict[str, Any]

# What the answer repeats of the request, and what it says where that was not said.
_ECHOED: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}

# Between the parts of a summary, which is one text elsewhere.
PART_END = "\n\n"
_INCOMPLETE = {Stop.LENGTH: "max_output_tokens", Stop.REFUSAL: "content_filter"}
_STOPS = {reason: stop for stop, reason in _INCOMPLETE.items()}


class _Part(msgspec.Struct):
    type: str = ""
    text: str = ""
    refusal: str = ""


class _Item(msgspec.Struct):
    """Reasoning is a summary, or `content` where a provider tells all of it."""

    type: str = ""
    content: list[_Part] | None = None
    summary: list[_Part] | None = None
    call_id: str = ""
    name: str = ""
    arguments: str = ""


class _Details(msgspec.Struct):
    reason: str | None = None


class Response(msgspec.Struct):
    """What is read of a response; `output` may be empty in the events of a stream."""

    output: list[_Item] | None = None
    incomplete_details: _Details | None = None


_response = msgspec.json.Decoder(Response)


def read_reply(body: bytes, *, names: Mapping[str, str], call_id: str) -> Reply:
    """Read an answer. Raises Untranslatable. `names` are tools' own names by those that they were
    given to the provider under."""
    try:
        response = _response.decode(body)
    except UNREADABLE as error:
        raise Untranslatable(f"the answer is no response: {error}") from None
    parts = tuple(part for item in response.output or () for part in _read_item(item, names))
    has_called = any(isinstance(part, ToolCall) for part in parts)
    return Reply(parts=parts, stop=read_stop(response, has_called=has_called))


def read_stop(response: Response, *, has_called: bool) -> Stop:
    """Calls of tools show by being there: the response is completed all the same."""
    details = response.incomplete_details
    if details is not None and details.reason in _STOPS:
        return _STOPS[details.reason]
    return Stop.TOOL_CALLS if has_called else Stop.END


def _read_item(item: _Item, names: Mapping[str, str]) -> Iterator[Answered]:
    """What hosted tools did has no counterpart, nor has reasoning that is encrypted."""
    match item.type:
        case "message":
            for part in item.content or ():
                if part.type == "refusal" and part.refusal:
                    yield Refusal(part.refusal)
                elif part.text:
                    yield Text(part.text)
        case "reasoning":
            thoughts = [part.text for part in item.summary or item.content or () if part.text]
            if thoughts:
                yield Thinking(PART_END.join(thoughts))
        case "function_call":
            yield ToolCall(item.call_id, names.get(item.name, item.name), item.arguments)


def write_reply(reply: Reply, head: Head, usage: Usage | None) -> bytes:
    """Write the body of an answer."""
    kinds = find_kinds(head.request)
    output = [write_item(part, head.call_id, at, kinds) for at, part in enumerate(reply.parts)]
    return msgspec.json.encode(write_response(head, stop=reply.stop, output=output, usage=usage))


def write_response(
    head: Head, *, stop: Stop | None, output: list[Item], usage: Usage | None
) -> dict[str, Any]:
    """Write a response object: finished for a reason, or still in progress."""
    reason = _INCOMPLETE.get(stop or Stop.END)
    status = "in_progress" if stop is None else "completed" if reason is None else "incomplete"
    return {
        "id": f"resp_{_plain(head.call_id)}",
        "object": "response",
        "created_at": head.created,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None if reason is None else {"reason": reason},
        "model": head.model,
        "output": output,
        "previous_response_id": None,
        "reasoning": _write_reasoning(head),
        "store": False,
        **_write_echo(head),
        "usage": None if usage is None else write_usage(usage),
    }


def _write_echo(head: Head) -> dict[str, Any]:
    members = head.request.members if isinstance(head.request, ResponsesRequest) else {}
    echoed = {name: members.get(name, value) for name, value in _ECHOED.items()}
    for name, raw in echoed.items():
        if isinstance(raw, msgspec.Raw) and bytes(raw) == b"null":
            echoed[name] = _ECHOED[name]
    return echoed


def _write_reasoning(head: Head) -> Any:
    members = head.request.members if isinstance(head.request, ResponsesRequest) else {}
    return members.get("reasoning", {"effort": None, "summary": None})


def write_item(part: Answered, call_id: str, at: int, kinds: Mapping[str, Kind]) -> Item:
    """Write a part of the answer as the item at its place, complete; `kinds` is find_kinds()'s."""
    match part:
        case Text(text=text):
            return message_item(call_id, at, [text_part(text)])
        case Refusal(text=text):
            return message_item(call_id, at, [{"type": "refusal", "refusal": text}])
        case Thinking(text=text):
            summary = [{"type": "summary_text", "text": text}] if text else []
            return {"id": item_id("rs", call_id, at), "type": "reasoning", "summary": summary}
        case ToolCall(name=name):
            is_free = name in kinds and kinds[name].is_free
            return write_call(part, item_id("ctc" if is_free else "fc", call_id, at), kinds)


def message_item(call_id: str, at: int, content: list[Item], status: str = "completed") -> Item:
    return {
        "id": item_id("msg", call_id, at),
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": content,
    }


def text_part(text: str) -> Item:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def item_id(prefix: str, call_id: str, at: int) -> str:
    return f"{prefix}_{_plain(call_id)}_{at}"


def _plain(call_id: str) -> str:
    return call_id.replace("-", "")


def write_usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write_5m + usage.cache_write_1h,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total_tokens,
    }
