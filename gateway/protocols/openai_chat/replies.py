"""Whole chat completions, read into the one form and written from it; usage as this dialect says
it. Pure."""

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

_STOPS = {
    "stop": Stop.END,
    "length": Stop.LENGTH,
    "tool_calls": Stop.TOOL_CALLS,
    "function_call": Stop.TOOL_CALLS,
    "content_filter": Stop.REFUSAL,
}
FINISH_REASONS = {
    Stop.END: "stop",
    Stop.STOP_SEQUENCE: "stop",
    Stop.LENGTH: "length",
    Stop.TOOL_CALLS: "tool_calls",
    Stop.REFUSAL: "content_filter",
}


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class _ToolCall(msgspec.Struct):
    id: str | None = None
    function: _Function | None = None


class _Part(msgspec.Struct):
    text: str | None = None


class _Message(msgspec.Struct):
    """Reasoning is `reasoning_content` at DeepSeek, xAI and vLLM, `reasoning` at OpenRouter."""

    content: str | list[_Part] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Answer(msgspec.Struct):
    choices: list[_Choice]


_answer = msgspec.json.Decoder(_Answer)


def read_reply(body: bytes, *, names: Mapping[str, str], call_id: str) -> Reply:
    """Read an answer's first choice. Raises Untranslatable. `names` are tools' own names by those
    that they were given to the provider under; `call_id` makes ids for calls that have none."""
    try:
        choice = _answer.decode(body).choices[0]
    except (*UNREADABLE, IndexError) as error:
        raise Untranslatable(f"the answer is no chat completion: {error}") from None
    parts = tuple(_read_parts(choice.message, names, call_id))
    has_called = any(isinstance(part, ToolCall) for part in parts)
    return Reply(parts=parts, stop=read_stop(choice.finish_reason, has_called=has_called))


def read_stop(reason: str | None, *, has_called: bool) -> Stop:
    """Some servers say `stop` after calls of tools; clients of other dialects go by the reason."""
    stop = _STOPS.get(reason or "", Stop.END)
    return Stop.TOOL_CALLS if has_called and stop is Stop.END else stop


def _read_parts(message: _Message, names: Mapping[str, str], call_id: str) -> Iterator[Answered]:
    thought = message.reasoning_content or message.reasoning
    if thought:
        yield Thinking(thought)
    content = message.content
    if isinstance(content, list):
        content = "".join(part.text or "" for part in content)
    if content:
        yield Text(content)
    if message.refusal:
        yield Refusal(message.refusal)
    for at, call in enumerate(message.tool_calls or ()):
        function = call.function
        if function is None or not function.name:
            raise Untranslatable("a call of a tool without a name")
        arguments = function.arguments or ""
        if isinstance(arguments, dict):  # As Ollama and others write them.
            arguments = msgspec.json.encode(arguments).decode()
        name = names.get(function.name, function.name)
        yield ToolCall(call.id or make_call_id(call_id, at), name, arguments)


def make_call_id(call_id: str, at: int) -> str:
    """Return an id for a call that its server gave none; 40 characters are OpenAI's limit."""
    return f"call_{call_id.replace('-', '')[:28]}_{at}"


def write_reply(reply: Reply, head: Head, usage: Usage | None) -> bytes:
    """Write the body of an answer."""
    choice = {
        "index": 0,
        "message": _write_message(reply),
        "logprobs": None,
        "finish_reason": FINISH_REASONS[reply.stop],
    }
    body = {**write_head(head, "chat.completion"), "choices": [choice]}
    return msgspec.json.encode(body | ({} if usage is None else {"usage": write_usage(usage)}))


def write_head(head: Head, object_: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{head.call_id}",
        "object": object_,
        "created": head.created,
        "model": head.model,
    }


def _write_message(reply: Reply) -> dict[str, Any]:
    text = "".join(part.text for part in reply.parts if isinstance(part, Text))
    refusal = "".join(part.text for part in reply.parts if isinstance(part, Refusal))
    thought = "".join(part.text for part in reply.parts if isinstance(part, Thinking))
    calls = [
        {
            "id": part.id,
            "type": "function",
            "function": {"name": part.name, "arguments": part.arguments or "{}"},
        }
        for part in reply.parts
        if isinstance(part, ToolCall)
    ]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": text or None,
        "refusal": refusal or None,
    }
    if thought:
        message["reasoning_content"] = thought
    return message | ({"tool_calls": calls} if calls else {})


def write_usage(usage: Usage) -> dict[str, Any]:
    """Every input is a part of the prompt here, reasoning of the completion."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write_5m + usage.cache_write_1h,
            "audio_tokens": usage.audio_input,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": usage.audio_output,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
