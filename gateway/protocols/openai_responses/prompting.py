"""Responses requests, written from the one form. Pure; conversations.py reads them.

Nothing is kept at the provider. There are no stop sequences in this dialect: they are left out.
"""

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
)
from gateway.protocols.openai_responses.request import CAP_FIELD
from gateway.protocols.parts import FIRST_TURN, is_strict, shorten, write_data_url

Item = dict[str, Any]

# OpenAI refuses less: "integer below minimum value, expected a value >= 16".
LEAST_CAP = 16


def write_conversation(
    conversation: Conversation,
    *,
    upstream_model: str,
    output_cap: int | None,
    stream: bool,
    **_: Any,
) -> bytes:
    """Write a request body for a provider of Responses."""
    system = "\n\n".join(conversation.system)
    items = list(_write_input(conversation))
    # An input without items is refused, so there instructions alone are one.
    body: dict[str, Any] = {
        "model": upstream_model,
        "input": items or [_write_only(system)],
        "store": False,
    }
    if stream:
        body["stream"] = True
    plain = {
        CAP_FIELD: output_cap,
        "instructions": system if system and items else None,
        "temperature": conversation.temperature,
        "top_p": conversation.top_p,
        "user": conversation.user,
        "reasoning": None if conversation.effort is None else {"effort": conversation.effort},
        "text": _write_format(conversation.format),
    }
    body |= {name: value for name, value in plain.items() if value is not None}
    return msgspec.json.encode(body | _write_tools(conversation))


def _write_input(conversation: Conversation) -> Iterator[Item]:
    """Calls of tools and their results are items of their own, between what was said."""
    for turn in conversation.turns:
        said: list[Asked] = []
        for part in turn.parts:
            if not isinstance(part, ToolCall | ToolResult):
                said.append(part)
                continue
            yield from _write_message(turn.role, said)
            said = []
            yield _write_call(part) if isinstance(part, ToolCall) else _write_result(part)
        yield from _write_message(turn.role, said)


def _write_message(role: Role, parts: list[Asked]) -> Iterator[Item]:
    """Text alone is written as such, which is all that an answer can be made of."""
    if not parts:
        return
    texts = [part.text for part in parts if isinstance(part, Text)]
    if len(texts) == len(parts):
        yield _write_text(role.value, "\n\n".join(texts))
    else:
        content = list(map(_write_part, parts))
        yield {"type": "message", "role": role.value, "content": content}


def _write_text(role: str, text: str) -> Item:
    return {"type": "message", "role": role, "content": text}


def _write_only(system: str) -> Item:
    return _write_text("developer", system) if system else _write_text("user", FIRST_TURN)


def _write_call(call: ToolCall) -> Item:
    return {
        "type": "function_call",
        "call_id": call.id,
        "name": shorten(call.name),
        "arguments": call.arguments or "{}",
    }


def _write_result(result: ToolResult) -> Item:
    texts = [part.text for part in result.parts if isinstance(part, Text)]
    is_text = len(texts) == len(result.parts)
    output = "\n".join(texts) if is_text else list(map(_write_part, result.parts))
    return {"type": "function_call_output", "call_id": result.call_id, "output": output}


def _write_part(part: Asked) -> Item:
    match part:
        case Text(text=text):
            return {"type": "input_text", "text": text}
        case Image(url=url, media_type=media_type, data=data):
            return {"type": "input_image", "image_url": url or write_data_url(media_type, data)}
        case File(url=url) if url:
            return {"type": "input_file", "file_url": url}
        case File(name=name, media_type=media_type, data=data):
            file = write_data_url(media_type, data)
            return {"type": "input_file", "filename": name or "document.pdf", "file_data": file}
        case _:
            raise TypeError(f"a {type(part).__name__} is no part of a message")


def _write_tools(conversation: Conversation) -> dict[str, Any]:
    if not conversation.tools:
        return {}
    written: dict[str, Any] = {"tools": [_write_tool(tool) for tool in conversation.tools]}
    if conversation.choice is Choice.NAMED:
        written["tool_choice"] = {"type": "function", "name": shorten(conversation.chosen)}
    elif conversation.choice is not None:
        written["tool_choice"] = conversation.choice.value
    if conversation.is_parallel is not None:
        written["parallel_tool_calls"] = conversation.is_parallel
    return written


def _write_tool(tool: Tool) -> Item:
    """Silence means strict in this dialect, which most schemas are not made for."""
    written: Item = {
        "type": "function",
        "name": shorten(tool.name),
        "parameters": tool.schema,
        "strict": bool(tool.strict),
    }
    return written if tool.description is None else {**written, "description": tool.description}


def _write_format(asked: Format | None) -> dict[str, Any] | None:
    if asked is None:
        return None
    if asked.schema is None:
        return {"format": {"type": "json_object"}}
    strict = is_strict(asked.schema) if asked.strict is None else asked.strict
    schema = {"name": asked.name, "schema": asked.schema, "strict": strict}
    return {"format": {"type": "json_schema", **schema}}
