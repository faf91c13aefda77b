"""What a provider of the other dialect cannot be asked is refused, by the name of the field."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadRequest
from tests.wire.asking import called, to_chat, to_messages, user
from tests.wire.making import HELLO
from tests.wire.test_messages_requests import blocks, json_values


def with_call(**call: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": [{"id": "t1", **call}]}


REFUSED_BY_CHAT: list[tuple[dict[str, Any], str]] = [
    ({"n": 2}, "n"),
    ({"modalities": ["text", "audio"]}, "modalities"),
    ({"functions": [{"name": "f"}]}, "functions"),
    ({"deferred": True}, "deferred"),
    ({"previous_response_id": "r"}, "previous_response_id"),
    ({"messages": [{"role": "function", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "bard", "content": "x"}]}, "messages[0].role"),
    (
        {"messages": [HELLO, user({"type": "input_audio", "input_audio": {}})]},
        "messages[1].content[0]",
    ),
    ({"messages": [user({"type": "file", "file": {"file_id": "f"}})]}, "messages[0].content[0]"),
    (
        {"messages": [user({"type": "image_url", "image_url": {"url": "http://a.b"}})]},
        "messages[0].content[0]",
    ),
    (
        {
            "messages": [
                user({"type": "file", "file": {"file_data": "data:audio/wav;base64,UklGRg=="}})
            ]
        },
        "messages[0].content[0]",
    ),
    ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools[0]"),
    ({"messages": [with_call(type="custom", custom={})]}, "messages[0].tool_calls[0]"),
    ({"messages": [with_call()]}, "messages[0].tool_calls[0].function"),
    ({"tool_choice": "maybe"}, "tool_choice"),
    ({"reasoning_effort": "endless"}, "reasoning_effort"),
    ({"response_format": {"type": "grammar"}}, "response_format"),
    ({"messages": [called(arguments=5)]}, "messages[0].tool_calls[0].function.arguments"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(
    ("fields", "field"), REFUSED_BY_CHAT, ids=[str(fields)[:60] for fields, _ in REFUSED_BY_CHAT]
)
def test_what_anthropic_cannot_be_asked_is_refused_by_name(
    fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        to_messages(**fields)
    assert caught.value.field == field


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"type": "custom", "custom": {"name": "f"}}]},
        {"messages": [with_call(type="custom", custom={"name": "f", "input": "x"})]},
    ],
)
def test_a_custom_tool_is_refused_as_such_where_it_is_declared_or_was_called(
    fields: dict[str, Any],
) -> None:
    """An earlier call of one was told that it lacks a function."""
    with pytest.raises(BadRequest, match="a custom tool"):
        to_messages(**fields)


URL = {"type": "url", "url": "https://x.org/a.png"}
FILE = {"type": "file", "file_id": "f"}
REFUSED_BY_MESSAGES: list[tuple[dict[str, Any], str]] = [
    ({"messages": [{"role": "bard", "content": "x"}]}, "messages[0].role"),
    (
        {"messages": [{"role": "system", "content": [{"type": "tool_addition"}]}]},
        "messages[0].content[0]",
    ),
    ({"messages": [user({"type": "image", "source": FILE})]}, "messages[0].content[0]"),
    ({"messages": [user({"type": "document", "source": FILE})]}, "messages[0].content[0]"),
    (
        {"messages": [user({"type": "document", "source": {"type": "url", "url": "https://a"}})]},
        "messages[0].content[0]",
    ),
    ({"messages": [user({"type": "container_upload", "file_id": "f"})]}, "messages[0].content[0]"),
    ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools[0]"),
    ({"tool_choice": {"type": "some"}}, "tool_choice.type"),
    (
        {"messages": [user({"type": "tool_use", "id": "t", "name": "n"})]},
        "messages[0].content",
    ),
    (
        {"messages": [{"role": "assistant", "content": [{"type": "image", "source": URL}]}]},
        "messages[0].content",
    ),
    (
        {"messages": [{"role": "assistant", "content": [{"type": "tool_result"}]}]},
        "messages[0].content",
    ),
]


@pytest.mark.parametrize(
    ("fields", "field"),
    REFUSED_BY_MESSAGES,
    ids=[str(fields)[:60] for fields, _ in REFUSED_BY_MESSAGES],
)
def test_what_openai_cannot_be_asked_is_refused_by_name(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(BadRequest) as caught:
        to_chat(**fields)
    assert caught.value.field == field


chat_fields = st.sampled_from(
    ["messages", "tools", "tool_choice", "stop", "response_format", "user", "n", "audio"]
)
messages_fields = st.sampled_from(
    ["messages", "tools", "tool_choice", "system", "stop_sequences", "output_config", "metadata"]
)
chat_parts = st.dictionaries(
    st.sampled_from(["type", "text", "image_url", "file", "refusal"]), json_values
)


@given(st.dictionaries(chat_fields, json_values), st.lists(chat_parts, max_size=2))
def test_odd_chat_requests_raise_nothing_but_bad_request(
    fields: dict[str, Any], parts: list[Any]
) -> None:
    with suppress(BadRequest):
        to_messages(**{"messages": [user(*parts)], **fields})


@given(st.dictionaries(messages_fields, json_values), st.lists(blocks, max_size=2))
def test_odd_messages_requests_raise_nothing_but_bad_request(
    fields: dict[str, Any], parts: list[Any]
) -> None:
    with suppress(BadRequest):
        to_chat(**{"messages": [user(*parts)], **fields})
