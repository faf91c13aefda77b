"""Responses requests and streams as OpenAI's clients and servers write them."""

from typing import Any

from gateway.protocols.openai_responses import ResponsesStream
from tests.wire.making import compact

USAGE = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}


def body(**fields: Any) -> bytes:
    return compact({"model": "gpt-4o", "input": "Hello", **fields})


def event(type_: str, number: int = 0, **fields: Any) -> bytes:
    value = {"type": type_, "sequence_number": number, **fields}
    return b"event: %b\ndata: %b\n\n" % (type_.encode(), compact(value))


def whole(status: str = "completed", **fields: Any) -> dict[str, Any]:
    response = {"id": "resp_1", "object": "response", "status": status, "error": None}
    return {**response, "output": [], "usage": USAGE, **fields}


def end(status: str = "completed", number: int = 9, **fields: Any) -> bytes:
    return event(f"response.{status}", number, response=whole(status, **fields))


CREATED = event("response.created", response=whole("in_progress", usage=None))
ITEM = event("response.output_item.added", 1, item={"type": "message", "content": []})


def text(words: str, number: int = 2) -> bytes:
    return event("response.output_text.delta", number, item_id="m", delta=words)


def make_stream(**options: Any) -> ResponsesStream:
    return ResponsesStream(**{"call_id": "call-1", **options})
