"""Requests, answers and streams as clients and providers write them, for the tests in here."""

import json
from typing import Any

from gateway.protocols.openai_chat import ChatStream
from gateway.protocols.stream import EventStream
from gateway.protocols.translation import TranslatedStream

HELLO = {"role": "user", "content": "Hello"}


def compact(value: Any) -> bytes:
    """As the vendors' clients write JSON: without a space, and not only ASCII."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def body(**fields: Any) -> bytes:
    return compact({"model": "gpt-4o", "messages": [HELLO], **fields})


def delta(text: str, **fields: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}
    return {"id": "chatcmpl-1", "model": "gpt-4o-2024", "choices": [choice], **fields}


def finish(reason: str = "stop", *, index: int = 0, **fields: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": {}, "logprobs": None, "finish_reason": reason}
    return {"id": "chatcmpl-1", "model": "gpt-4o-2024", "choices": [choice], **fields}


def usage_chunk(prompt: int = 3, completion: int = 2) -> dict[str, Any]:
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    return {"id": "chatcmpl-1", "model": "gpt-4o-2024", "choices": [], "usage": usage}


def event(value: Any, end: bytes = b"\n\n") -> bytes:
    return b"data: " + (value if isinstance(value, bytes) else compact(value)) + end


DONE = event(b"[DONE]")


def make_stream(**options: Any) -> ChatStream:
    usual: dict[str, Any] = {"call_id": "call-1", "wants_usage": False}
    return ChatStream(**usual | options)


def relay(stream: EventStream | TranslatedStream, *pieces: bytes) -> bytes:
    """All that the caller of a stream gets, its end included."""
    passed = [stream.feed(piece) for piece in pieces]
    stream.close()
    return b"".join(passed) + stream.ending
