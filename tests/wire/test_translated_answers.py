"""A whole answer told in another dialect says the same, in that dialect's words."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.usage import Usage
from gateway.protocols import anthropic_messages as messages
from gateway.protocols import openai_chat as chat
from gateway.protocols.conversation import Untranslatable
from tests.wire.making import compact
from tests.wire.translating import CALL_ID, CHAT_REQUEST, MESSAGES_REQUEST, head

USAGE = Usage(
    uncached_input=5, cache_read=6, cache_write_5m=7, cache_write_1h=8, output=9, reasoning=10
)


def to_messages(message: dict[str, Any], reason: str = "stop", **names: str) -> dict[str, Any]:
    body = compact({"choices": [{"message": message, "finish_reason": reason}]})
    reply = chat.read_reply(body, names=names, call_id=CALL_ID)
    read: dict[str, Any] = json.loads(messages.write_reply(reply, head(MESSAGES_REQUEST), USAGE))
    return read


def to_chat(content: list[dict[str, Any]], reason: str = "end_turn") -> dict[str, Any]:
    body = compact({"content": content, "stop_reason": reason})
    reply = messages.read_reply(body, names={}, call_id=CALL_ID)
    read: dict[str, Any] = json.loads(chat.write_reply(reply, head(CHAT_REQUEST), USAGE))
    return read


def test_a_chat_completion_becomes_a_message() -> None:
    call = {"id": "call_1", "function": {"name": "get", "arguments": '{"a":1}'}}
    written = to_messages(
        {"content": "Hi", "reasoning_content": "Hm", "tool_calls": [call]}, "tool_calls"
    )
    assert written["content"] == [
        {"type": "thinking", "thinking": "Hm", "signature": ""},
        {"type": "text", "text": "Hi"},
        {"type": "tool_use", "id": "call_1", "name": "get", "input": {"a": 1}},
    ]
    assert (written["type"], written["role"], written["model"]) == (
        "message",
        "assistant",
        "public",
    )
    assert (written["stop_reason"], written["stop_sequence"]) == ("tool_use", None)
    assert written["usage"] == {
        "input_tokens": 5,
        "cache_read_input_tokens": 6,
        "cache_creation_input_tokens": 15,
        "output_tokens": 19,
    }


def test_a_message_becomes_a_chat_completion() -> None:
    used = {"type": "tool_use", "id": "t1", "name": "get", "input": {"a": 1}}
    thought = {"type": "thinking", "thinking": "Hm", "signature": "c2ln"}
    text = {"type": "text", "text": "Hi", "citations": None}
    written = to_chat([thought, text, {"type": "text", "text": "!"}, used], "tool_use")
    (choice,) = written["choices"]
    function = {"name": "get", "arguments": '{"a":1}'}
    assert choice["message"] == {
        "role": "assistant",
        "content": "Hi!",
        "refusal": None,
        "reasoning_content": "Hm",
        "tool_calls": [{"id": "t1", "type": "function", "function": function}],
    }
    assert (choice["finish_reason"], written["object"]) == ("tool_calls", "chat.completion")
    usage = written["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (26, 19)
    assert usage["total_tokens"] == 45
    assert usage["prompt_tokens_details"]["cached_tokens"] == 6
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 10


def test_content_is_null_where_only_tools_are_called() -> None:
    used = {"type": "tool_use", "id": "t1", "name": "get", "input": {}}
    assert to_chat([used], "tool_use")["choices"][0]["message"]["content"] is None


def test_a_stop_with_calls_of_tools_is_tool_use() -> None:
    call = {"id": "call_1", "function": {"name": "get", "arguments": ""}}
    written = to_messages({"content": None, "tool_calls": [call]})
    assert (written["stop_reason"], written["content"][0]["input"]) == ("tool_use", {})


def test_a_refusal_is_told_by_its_reason() -> None:
    written = to_messages({"content": None, "refusal": "I can't."})
    assert (written["content"], written["stop_reason"]) == (
        [{"type": "text", "text": "I can't."}],
        "refusal",
    )
    assert to_chat([], "refusal")["choices"][0]["finish_reason"] == "content_filter"


def test_names_that_were_shortened_come_back_whole() -> None:
    call = {"id": "call_1", "function": {"name": "short", "arguments": "{}"}}
    assert to_messages({"tool_calls": [call]}, short="long")["content"][0]["name"] == "long"


def test_servers_that_write_arguments_or_content_differently_are_understood() -> None:
    call = {"function": {"name": "get", "arguments": {"a": 1}}}
    written = to_messages({"content": [{"type": "text", "text": "Hi"}], "tool_calls": [call]})
    assert written["content"][0]["text"] == "Hi"
    assert written["content"][1]["input"] == {"a": 1}
    assert written["content"][1]["id"].startswith("call_")


def test_the_usage_of_an_answer_that_told_none_is_zero_or_left_out() -> None:
    reply = chat.read_reply(compact({"choices": [{"message": {}}]}), names={}, call_id=CALL_ID)
    message = json.loads(messages.write_reply(reply, head(MESSAGES_REQUEST), None))
    assert set(message["usage"].values()) == {0}
    assert "usage" not in json.loads(chat.write_reply(reply, head(CHAT_REQUEST), None))


ODD: list[Any] = [{}, {"choices": []}, {"choices": [{}]}, {"choices": {}}, {"content": "x"}, []]


@pytest.mark.parametrize("odd", ODD, ids=str)
def test_what_is_no_answer_cannot_be_told(odd: Any) -> None:
    for read in (chat.read_reply, messages.read_reply):
        with pytest.raises(Untranslatable):
            read(compact(odd), names={}, call_id=CALL_ID)


parts = st.lists(
    st.one_of(
        st.text(min_size=1, max_size=9).map(lambda text: {"type": "text", "text": text}),
        st.dictionaries(st.text(max_size=3), st.integers(0, 9), max_size=2).map(
            lambda used: {"type": "tool_use", "id": "t", "name": "get", "input": used}
        ),
    ),
    max_size=4,
)


@given(parts)
def test_there_and_back_again_nothing_is_lost_but_the_borders_of_text(
    content: list[dict[str, Any]],
) -> None:
    there = json.dumps(to_chat(content, "tool_use")).encode()
    reply = chat.read_reply(there, names={}, call_id=CALL_ID)
    back = json.loads(messages.write_reply(reply, head(MESSAGES_REQUEST), USAGE))["content"]
    texts = "".join(part["text"] for part in content if part["type"] == "text")
    calls = [part for part in content if part["type"] == "tool_use"]
    assert back == [*([{"type": "text", "text": texts}] if texts else []), *calls]
