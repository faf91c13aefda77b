"""Messages requests, answers and streams as Anthropic's clients and servers write them."""

from typing import Any

from gateway.protocols.anthropic_messages import MessagesStream
from tests.wire.making import HELLO, compact


def body(**fields: Any) -> bytes:
    usual = {"model": "claude", "max_tokens": 100, "messages": [HELLO]}
    return compact({**usual, **fields})


def event(value: dict[str, Any], end: bytes = b"\n") -> bytes:
    return b"event: %b%bdata: %b%b%b" % (value["type"].encode(), end, compact(value), end, end)


def start(usage: Any = None, **fields: Any) -> bytes:
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-2026",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 1} if usage is None else usage,
        **fields,
    }
    return event({"type": "message_start", "message": message})


def open_block(*, index: int = 0, **block: Any) -> bytes:
    block = block or {"type": "text", "text": ""}
    return event({"type": "content_block_start", "index": index, "content_block": block})


def block_delta(index: int = 0, **delta: Any) -> bytes:
    return event({"type": "content_block_delta", "index": index, "delta": delta})


def text(words: str, index: int = 0) -> bytes:
    return block_delta(index, type="text_delta", text=words)


def close_block(index: int = 0) -> bytes:
    return event({"type": "content_block_stop", "index": index})


def finish(usage: Any = None, reason: str = "end_turn") -> bytes:
    usage = {"output_tokens": 2} if usage is None else usage
    delta = {"stop_reason": reason, "stop_sequence": None}
    return event({"type": "message_delta", "delta": delta, "usage": usage})


PING = event({"type": "ping"})
STOP = event({"type": "message_stop"})


def make_stream(**options: Any) -> MessagesStream:
    return MessagesStream(**{"call_id": "call-1", **options})
