"""Whole responses, written from the one form, and the items that streams have too. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from billing.usage import Usage
from gateway.protocols.conversation import (
    Answered,
    Head,
    Refusal,
    Reply,
    Stop,
    Text,
    Thinking,
    ToolCall,
)
from gateway.protocols.openai_responses.request import ResponsesRequest

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

_INCOMPLETE = {Stop.LENGTH: "max_output_tokens", Stop.REFUSAL: "content_filter"}


def write_reply(reply: Reply, head: Head, usage: Usage | None) -> bytes:
    """Write the body of an answer."""
    output = [write_item(part, head.call_id, at) for at, part in enumerate(reply.parts)]
    return msgspec.json.encode(write_response(head, stop=reply.stop, output=output, usage=usage))


def write_response(
    head: Head, *, stop: Stop | None, output: list[Item], usage: Usage | None
) -> dict[str, Any]:
    """Write a response object: finished for a reason, or still in progress."""
    reason = {Stop.LENGTH: "max_output_tokens", Stop.REFUSAL: "content_filter"}.get(
        stop or Stop.END
    )
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


def write_item(part: Answered, call_id: str, at: int) -> Item:
    """Write a part of the answer as the item at its place, complete."""
    match part:
        case Text(text=text):
            return message_item(call_id, at, [text_part(text)])
        case Refusal(text=text):
            return message_item(call_id, at, [{"type": "refusal", "refusal": text}])
        case Thinking(text=text):
            summary = [{"type": "summary_text", "text": text}] if text else []
            return {"id": item_id("rs", call_id, at), "type": "reasoning", "summary": summary}
        case ToolCall(id=id_, name=name, arguments=arguments):
            return {
                "id": item_id("fc", call_id, at),
                "type": "function_call",
                "status": "completed",
                "call_id": id_,
                "name": name,
                "arguments": arguments or "{}",
            }


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
