"""Whole messages, read into the one form and written from it; usage as this dialect says it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from billing.usage import Usage
from gateway.protocols.anthropic_messages.prompting import read_arguments
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

_STOPS = {
    "end_turn": Stop.END,
    "pause_turn": Stop.END,
    "stop_sequence": Stop.STOP_SEQUENCE,
    "max_tokens": Stop.LENGTH,
    "model_context_window_exceeded": Stop.LENGTH,
    "tool_use": Stop.TOOL_CALLS,
    "refusal": Stop.REFUSAL,
}
STOP_REASONS = {
    Stop.END: "end_turn",
    Stop.STOP_SEQUENCE: "stop_sequence",
    Stop.LENGTH: "max_tokens",
    Stop.TOOL_CALLS: "tool_use",
    Stop.REFUSAL: "refusal",
}


class _Block(msgspec.Struct):
    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    id: str = ""
    name: str = ""
    input: Any = None


class _Answer(msgspec.Struct):
    content: list[_Block]
    stop_reason: str | None = None
    stop_sequence: str | None = None


_answer = msgspec.json.Decoder(_Answer)


def read_reply(body: bytes, *, names: Mapping[str, str], call_id: str) -> Reply:
    """Read an answer. Raises Untranslatable."""
    try:
        answer = _answer.decode(body)
    except UNREADABLE as error:
        raise Untranslatable(f"the answer is no message: {error}") from None
    return Reply(
        parts=tuple(_read_parts(answer.content, names)),
        stop=read_stop(answer.stop_reason),
        stop_sequence=answer.stop_sequence,
    )


def read_stop(reason: str | None) -> Stop:
    return _STOPS.get(reason or "", Stop.END)


def _read_parts(blocks: list[_Block], names: Mapping[str, str]) -> Iterator[Answered]:
    """What hosted tools did has no counterpart, nor has thinking that is encrypted."""
    for block in blocks:
        if block.type == "text" and block.text:
            yield Text(block.text)
        elif block.type == "thinking":
            yield Thinking(block.thinking, block.signature)
        elif block.type == "tool_use":
            arguments = msgspec.json.encode({} if block.input is None else block.input).decode()
            yield ToolCall(block.id, names.get(block.name, block.name), arguments)


def write_reply(reply: Reply, head: Head, usage: Usage | None) -> bytes:
    """Write the body of an answer."""
    content = [_write_part(part) for part in reply.parts]
    stop = Stop.REFUSAL if _refuses(reply) else reply.stop
    return msgspec.json.encode(
        {
            **write_head(head),
            "content": content,
            "stop_reason": STOP_REASONS[stop],
            "stop_sequence": reply.stop_sequence,
            "usage": write_usage(usage),
        }
    )


def _refuses(reply: Reply) -> bool:
    return any(isinstance(part, Refusal) for part in reply.parts)


def write_head(head: Head) -> dict[str, Any]:
    return {
        "id": f"msg_{head.call_id.replace('-', '')}",
        "type": "message",
        "role": "assistant",
        "model": head.model,
    }


def _write_part(part: Answered) -> dict[str, Any]:
    match part:
        case Text(text=text) | Refusal(text=text):
            return {"type": "text", "text": text}
        case Thinking(text=text, signature=signature):
            return {"type": "thinking", "thinking": text, "signature": signature}
        case ToolCall(id=id_, name=name, arguments=arguments):
            used = read_arguments(arguments)
            return {"type": "tool_use", "id": id_, "name": name, "input": used}


def write_usage(usage: Usage | None) -> dict[str, Any]:
    """Input leaves out the cache here. Without usage the figures are 0: clients want numbers."""
    usage = usage or Usage()
    return {
        "input_tokens": usage.uncached_input + usage.audio_input + usage.image_input,
        "cache_creation_input_tokens": usage.cache_write_5m + usage.cache_write_1h,
        "cache_read_input_tokens": usage.cache_read,
        "output_tokens": usage.output_tokens,
    }
