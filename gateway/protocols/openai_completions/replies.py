"""Whole completions and streams of them, written from the one form. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from billing.usage import Usage
from gateway.errors import UpstreamError, openai_body
from gateway.protocols.conversation import (
    Event,
    Finished,
    Head,
    Refusal,
    RefusalDelta,
    Reply,
    Stop,
    Text,
    TextDelta,
)
from gateway.protocols.openai_chat.replies import FINISH_REASONS, write_usage
from gateway.protocols.openai_chat.stream import DONE


def write_reply(reply: Reply, head: Head, usage: Usage | None) -> bytes:
    """Write the body of an answer. Thoughts have no place in it."""
    text = "".join(part.text for part in reply.parts if isinstance(part, Text | Refusal))
    body = {**_write_head(head), "choices": [_write_choice(text, FINISH_REASONS[reply.stop])]}
    return msgspec.json.encode(body | ({} if usage is None else {"usage": write_usage(usage)}))


def _write_head(head: Head) -> dict[str, Any]:
    return {
        "id": f"cmpl-{head.call_id}",
        "object": "text_completion",
        "created": head.created,
        "model": head.model,
    }


def _write_choice(text: str, finish_reason: str | None) -> dict[str, Any]:
    return {"text": text, "index": 0, "logprobs": None, "finish_reason": finish_reason}


class CompletionEventWriter:
    """Writes chunks. Usage comes in one of its own, before [DONE], if it was asked for."""

    def __init__(self, head: Head) -> None:
        self._call_id = head.call_id
        self._chunk = _write_head(head)
        self._wants_usage = head.request.wants_usage
        if self._wants_usage:
            self._chunk["usage"] = None
        self._finished = Finished(Stop.END)

    def begin(self, usage: Usage | None) -> bytes:
        return b""

    def write(self, event: Event) -> bytes:
        if isinstance(event, Finished):
            self._finished = event
        if isinstance(event, TextDelta | RefusalDelta) and event.text:
            return self._write(choices=[_write_choice(event.text, None)])
        return b""

    def end(self, usage: Usage | None) -> bytes:
        reason = FINISH_REASONS[self._finished.stop]
        last = self._write(choices=[_write_choice("", reason)])
        if self._wants_usage and usage is not None:
            last += self._write(choices=[], usage=write_usage(usage))
        return last + DONE

    def fail(self, error: UpstreamError) -> bytes:
        return b"data: " + openai_body(error, self._call_id) + b"\n\n"

    def _write(self, **fields: Any) -> bytes:
        return b"data: " + msgspec.json.encode({**self._chunk, **fields}) + b"\n\n"
