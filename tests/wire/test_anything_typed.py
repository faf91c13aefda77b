"""Whatever the vendors' types allow to be sent is read, passed and translated, or a plain 400.

What is written for a provider is what that provider's own callers could have sent.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from anthropic.types.beta.message_create_params import MessageCreateParamsBase as MessagesParams
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.types.chat.completion_create_params import CompletionCreateParamsBase as ChatParams
from openai.types.completion_create_params import CompletionCreateParamsBase as CompletionParams
from openai.types.responses.response_create_params import (
    ResponseCreateParamsBase as ResponsesParams,
)

from gateway import dialects
from gateway.dialects import Dialect
from gateway.errors import BadRequest
from gateway.passages import Translating
from gateway.protocols import anthropic_messages, openai_chat, openai_responses
from tests.wire.typing_requests import of_fields

TYPED: dict[str, tuple[Dialect, Any]] = {
    "chat completions": (dialects.CHAT_COMPLETIONS, ChatParams),
    "completions": (dialects.COMPLETIONS, CompletionParams),
    "messages": (dialects.MESSAGES, MessagesParams),
    "responses": (dialects.RESPONSES, ResponsesParams),
}
READERS: dict[str, Callable[[bytes], Any]] = {
    "/chat/completions": openai_chat.read_request,
    "/responses": openai_responses.read_request,
    "/v1/messages": anthropic_messages.read_request,
}


def check_written(path: str, body: bytes) -> None:
    """What a provider's reader would refuse must not be written."""
    READERS[path](body)
    sent = json.loads(body)
    if path == "/v1/messages":
        roles = [message["role"] for message in sent["messages"]]
        assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"] * (len(roles) % 2)
        for message in sent["messages"]:
            assert message["content"]
            assert all(b["text"].strip() for b in message["content"] if b["type"] == "text")
    if path != "/responses" and "tools" in sent:
        assert sent["tools"]


def find_faults(dialect: Dialect, body: bytes) -> list[str]:
    """Read a body and write it for every kind of provider; return refusals that name nothing."""
    unnamed = []
    try:
        request = dialect.read_request(body)
    except BadRequest as error:
        return [] if error.field or error.code else [error.message]
    for passage in dialect.passages.values():
        try:
            body, _ = passage.write_request(
                request, upstream_model="up", output_cap=50, cap_field=None
            )
        except BadRequest as error:
            unnamed += [] if error.field else [error.message]
            continue
        if isinstance(passage, Translating):
            check_written(passage.path, body)
    return unnamed


@pytest.mark.parametrize("name", TYPED)
def test_what_is_typed_is_read_and_written_or_refused(name: str) -> None:
    dialect, type_ = TYPED[name]

    @settings(max_examples=50, suppress_health_check=list(HealthCheck), deadline=None)
    @given(of_fields(type_, also="input"), st.booleans())
    def ask(fields: dict[str, Any], stream: bool) -> None:
        body = json.dumps({**fields, "model": "m", "stream": stream}).encode()
        assert not find_faults(dialect, body)

    ask()
