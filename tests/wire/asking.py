"""Requests of one dialect as the other's providers get them, for the tests in here."""

import json
from typing import Any

from gateway.protocols import anthropic_messages as messages
from gateway.protocols import openai_chat as chat
from tests.wire import making
from tests.wire import messages as making_messages


def to_messages(*, cap: int = 100, model: str = "up", **fields: Any) -> dict[str, Any]:
    """What a chat completions request becomes for a provider of messages."""
    request = chat.read_request(making.body(**fields))
    written = messages.write_conversation(
        chat.read_conversation(request),
        upstream_model=model,
        output_cap=cap,
        stream=request.stream,
    )
    read: dict[str, Any] = json.loads(written)
    return read


def to_chat(*, cap: int = 100, **fields: Any) -> dict[str, Any]:
    """What a messages request becomes for a provider of chat completions."""
    request = messages.read_request(making_messages.body(**fields))
    written = chat.write_conversation(
        messages.read_conversation(request),
        upstream_model="up",
        output_cap=cap,
        stream=request.stream,
    )
    read: dict[str, Any] = json.loads(written)
    return read


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def called(id_: str = "t1", arguments: str = '{"a":1}', **fields: Any) -> dict[str, Any]:
    function = {"name": "get", "arguments": arguments}
    call = {"id": id_, "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call], **fields}
