"""Chat completions requests, written from the one form. Pure; conversations.py reads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.protocols.conversation import (
    Asked,
    Choice,
    Conversation,
    File,
    Format,
    Image,
    Role,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)
from gateway.protocols.openai_chat.request import DEFAULT_CAP_FIELD
from gateway.protocols.parts import FIRST_TURN, is_strict, refuse, shorten, write_data_url

MAX_STOPS = 4


def write_conversation(
    conversation: Conversation,
    *,
    upstream_model: str,
    output_cap: int | None,
    stream: bool,
    cap_field: str | None = None,
) -> bytes:
    """Write a request body for a provider of chat completions."""
    body: dict[str, Any] = {
        "model": upstream_model,
        "messages": list(_write_messages(conversation)),
    }
    if output_cap is not None:
        body[cap_field or DEFAULT_CAP_FIELD] = output_cap
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    plain = {
        "temperature": conversation.temperature,
        "top_p": conversation.top_p,
        "stop": list(conversation.stop[:MAX_STOPS]) or None,
        "user": conversation.user,
        "reasoning_effort": conversation.effort,
        "response_format": _write_format(conversation.format),
    }
    body |= {name: value for name, value in plain.items() if value is not None}
    return msgspec.json.encode(body | _write_tools(conversation))


def _write_messages(conversation: Conversation) -> Iterator[dict[str, Any]]:
    if conversation.system:
        yield {"role": "system", "content": "\n\n".join(conversation.system)}
    elif not any(turn.parts for turn in conversation.turns):  # Nothing that is carried was said.
        yield {"role": "user", "content": FIRST_TURN}
    for turn in conversation.turns:
        if turn.role is Role.ASSISTANT:
            yield _write_assistant(turn)
        else:
            yield from _write_user(turn)


def _write_assistant(turn: Turn) -> dict[str, Any]:
    text = "\n\n".join(part.text for part in turn.parts if isinstance(part, Text))
    calls = [
        {
            "id": part.id,
            "type": "function",
            "function": {"name": shorten(part.name), "arguments": part.arguments or "{}"},
        }
        for part in turn.parts
        if isinstance(part, ToolCall)
    ]
    message: dict[str, Any] = {"role": "assistant", "content": text or (None if calls else "")}
    return message | ({"tool_calls": calls} if calls else {})


def _write_user(turn: Turn) -> Iterator[dict[str, Any]]:
    """Results of tools come first, as the calls that they answer came just before."""
    rest: list[Asked] = []
    for part in turn.parts:
        if not isinstance(part, ToolResult):
            rest.append(part)
            continue
        texts = [one.text if isinstance(one, Text) else "[see below]" for one in part.parts]
        yield {"role": "tool", "tool_call_id": part.call_id, "content": "\n".join(texts)}
    # A tool message takes text only: what else a tool gave follows as if the user had sent it.
    shown: list[Asked] = [
        one
        for part in turn.parts
        if isinstance(part, ToolResult)
        for one in part.parts
        if not isinstance(one, Text)
    ]
    if shown or rest:
        yield {"role": "user", "content": _write_parts([*shown, *rest])}


def _write_parts(parts: list[Asked]) -> str | list[dict[str, Any]]:
    """Return plain text where there is nothing else, which every server takes."""
    if all(isinstance(part, Text) for part in parts):
        return "\n\n".join(part.text for part in parts if isinstance(part, Text))
    return [_write_part(part) for part in parts]


def _write_part(part: Asked) -> dict[str, Any]:
    match part:
        case Text(text=text):
            return {"type": "text", "text": text}
        case Image(url=url) if url:
            return {"type": "image_url", "image_url": {"url": url}}
        case Image(media_type=media_type, data=data):
            return {"type": "image_url", "image_url": {"url": write_data_url(media_type, data)}}
        case File(field=field, url=url) if url:
            raise refuse(field, "a file at another address")
        case File(name=name, media_type=media_type, data=data):
            file = {
                "filename": name or "document.pdf",
                "file_data": write_data_url(media_type, data),
            }
            return {"type": "file", "file": file}
        case _:
            raise TypeError(f"a {type(part).__name__} is no part of a user's message")


def _write_tools(conversation: Conversation) -> dict[str, Any]:
    """No tools at all where there are none: OpenAI refuses an empty list, and a choice without."""
    if not conversation.tools:
        return {}
    written: dict[str, Any] = {"tools": [_write_tool(tool) for tool in conversation.tools]}
    if conversation.choice is Choice.NAMED:
        function = {"name": shorten(conversation.chosen)}
        written["tool_choice"] = {"type": "function", "function": function}
    elif conversation.choice is not None:
        written["tool_choice"] = conversation.choice.value
    if conversation.is_parallel is not None:
        written["parallel_tool_calls"] = conversation.is_parallel
    return written


def _write_tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": shorten(tool.name), "parameters": tool.schema}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _write_format(asked: Format | None) -> dict[str, Any] | None:
    """A schema is strict where the caller said so, or where it is one that OpenAI takes as such."""
    if asked is None:
        return None
    if asked.schema is None:
        return {"type": "json_object"}
    strict = is_strict(asked.schema) if asked.strict is None else asked.strict
    schema = {"name": asked.name, "schema": asked.schema, "strict": strict}
    return {"type": "json_schema", "json_schema": schema}
