"""A request of one dialect becomes one of the other, as the other's servers want it."""

import json
from typing import Any

import pytest

from gateway.protocols import anthropic_messages as messages
from gateway.protocols.parts import long_names
from tests.wire import messages as making_messages
from tests.wire.asking import called, text, to_chat, to_messages, user
from tests.wire.making import HELLO

PNG = "data:image/png;base64,iVBORw0KGgo="
PDF = "data:application/pdf;base64,JVBERi0="
TOOL = {
    "type": "function",
    "function": {"name": "get", "description": "Gets", "parameters": {"properties": {}}},
}


def test_a_plain_request_becomes_a_plain_one() -> None:
    assert to_messages() == {
        "model": "up",
        "max_tokens": 100,
        "messages": [user(text("Hello"))],
    }
    assert to_chat() == {"model": "up", "max_tokens": 100, "messages": [HELLO]}


def test_instructions_from_anywhere_become_the_system_and_back() -> None:
    asked = [
        {"role": "system", "content": "Be brief."},
        HELLO,
        {"role": "developer", "content": [text("Be kind."), text("")]},
    ]
    written = to_messages(messages=asked)
    assert written["system"] == [text("Be brief."), text("Be kind.")]
    assert written["messages"] == [user(text("Hello"))]
    back = to_chat(system=written["system"])
    assert back["messages"] == [{"role": "system", "content": "Be brief.\n\nBe kind."}, HELLO]
    assert to_chat(system="Be brief.")["messages"][0]["content"] == "Be brief."


def test_turns_alternate_and_the_users_is_the_first() -> None:
    hi = {"role": "assistant", "content": "Hi "}
    assert to_messages(messages=[hi, HELLO, HELLO, hi])["messages"] == [
        user(text("Continue.")),
        {"role": "assistant", "content": [text("Hi ")]},
        user(text("Hello"), text("Hello")),
        {"role": "assistant", "content": [text("Hi")]},
    ]
    only_system = [{"role": "system", "content": "Hello"}]
    assert to_messages(messages=only_system)["messages"] == [user(text("Continue."))]


def test_empty_text_never_reaches_anthropic() -> None:
    empty = [{"role": "user", "content": [text(""), text(" ")]}, called(content=""), HELLO]
    sent = json.dumps(to_messages(messages=empty))
    assert '"text": ""' not in sent
    assert '"text": " "' not in sent


def test_calls_of_tools_and_their_results_are_carried_to_anthropic() -> None:
    two = called()
    two["tool_calls"].append(called("functions.get:1", "")["tool_calls"][0])
    results = [
        {"role": "tool", "tool_call_id": "t1", "content": "one"},
        {"role": "tool", "tool_call_id": "functions.get:1", "content": [text("two")]},
    ]
    assert to_messages(messages=[HELLO, two, *results, HELLO], tools=[TOOL])["messages"][1:] == [
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "t1", "name": "get", "input": {"a": 1}},
                {"type": "tool_use", "id": "functions_get_1", "name": "get", "input": {}},
            ],
        },
        user(
            {"type": "tool_result", "tool_use_id": "t1", "content": [text("one")]},
            {"type": "tool_result", "tool_use_id": "functions_get_1", "content": [text("two")]},
            text("Hello"),
        ),
    ]


def test_calls_of_tools_and_their_results_are_carried_to_openai() -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://a.b/c.png"}}
    used = {"type": "tool_use", "id": "t1", "name": "get", "input": {"a": 1}}
    thought = {"type": "thinking", "thinking": "Hm", "signature": "c2ln"}
    asked = [
        HELLO,
        {"role": "assistant", "content": [thought, text("Wait"), used]},
        user(
            text("Look"),
            {"type": "tool_result", "tool_use_id": "t1", "content": [text("one"), image]},
            {"type": "tool_result", "tool_use_id": "t2", "is_error": True},
        ),
    ]
    assert to_chat(messages=asked)["messages"][1:] == [
        {
            "role": "assistant",
            "content": "Wait",
            "tool_calls": [
                {
                    "id": "t1",
                    "type": "function",
                    "function": {"name": "get", "arguments": '{"a":1}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "t1", "content": "one\n[see below]"},
        {"role": "tool", "tool_call_id": "t2", "content": ""},
        user({"type": "image_url", "image_url": {"url": "https://a.b/c.png"}}, text("Look")),
    ]


def test_arguments_that_are_no_object_become_an_empty_one() -> None:
    for broken in ("{", "[1]", "null", "5"):
        written = to_messages(messages=[HELLO, called(arguments=broken), HELLO], tools=[TOOL])
        assert written["messages"][1]["content"][0]["input"] == {}


def test_tools_called_before_are_declared_where_none_is_offered_now() -> None:
    written = to_messages(messages=[HELLO, called(), HELLO])
    assert written["tools"] == [{"name": "get", "input_schema": {"type": "object"}}]
    assert written["tool_choice"] == {"type": "none"}


IMAGES = [
    (PNG, {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}),
    ("https://a.b/c.png", {"type": "url", "url": "https://a.b/c.png"}),
]


@pytest.mark.parametrize(("url", "source"), IMAGES)
def test_images_go_both_ways(url: str, source: dict[str, Any]) -> None:
    part = {"type": "image_url", "image_url": {"url": url}}
    block = {"type": "image", "source": source}
    assert to_messages(messages=[user(part)])["messages"] == [user(block)]
    assert to_chat(messages=[user(block)])["messages"] == [user(part)]


def test_documents_go_both_ways() -> None:
    part = {"type": "file", "file": {"file_data": PDF, "filename": "a.pdf"}}
    source = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
    block = {"type": "document", "source": source, "title": "a.pdf"}
    assert to_messages(messages=[user(part)])["messages"] == [user(block)]
    assert to_chat(messages=[user(block)])["messages"] == [user(part)]


def test_a_file_of_text_is_text() -> None:
    file = {"file_data": "data:text/plain;charset=utf-8;base64,SGk=", "filename": "a.txt"}
    assert to_messages(messages=[user({"type": "file", "file": file})])["messages"] == [
        user(text("a.txt\nHi"))
    ]
    document = {"type": "document", "source": {"type": "text", "data": "Hi"}, "title": "a.txt"}
    assert to_chat(messages=[user(document)])["messages"][0]["content"] == "a.txt\nHi"


def test_tools_and_the_choice_among_them_go_both_ways() -> None:
    tool = {"name": "get", "description": "Gets", "input_schema": {"properties": {}}}
    as_object = tool | {"input_schema": {"properties": {}, "type": "object"}}
    choices: list[tuple[Any, Any]] = [
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        ({"type": "function", "function": {"name": "get"}}, {"type": "tool", "name": "get"}),
    ]
    for ours, theirs in choices:
        written = to_messages(tools=[TOOL], tool_choice=ours)
        assert (written["tools"], written["tool_choice"]) == ([as_object], theirs)
        back = to_chat(tools=[tool], tool_choice=theirs)
        assert (back["tools"], back["tool_choice"]) == ([TOOL], ours)


def test_one_call_at_a_time_is_said_in_either_way() -> None:
    one = {"type": "auto", "disable_parallel_tool_use": True}
    assert to_messages(tools=[TOOL], parallel_tool_calls=False)["tool_choice"] == one
    none = to_messages(tools=[TOOL], parallel_tool_calls=False, tool_choice="none")
    assert none["tool_choice"] == {"type": "none"}
    tool = {"name": "get", "input_schema": {}}
    assert to_chat(tools=[tool], tool_choice=one)["parallel_tool_calls"] is False


def test_without_tools_nothing_is_said_of_them() -> None:
    assert {"tools", "tool_choice", "parallel_tool_calls"}.isdisjoint(
        to_chat(tools=[], tool_choice={"type": "any", "disable_parallel_tool_use": True})
    )
    hosted = {"type": "web_search_20250305", "name": "web_search"}
    assert "tools" not in to_chat(tools=[hosted])
    assert "tools" not in to_messages(tools=[{"type": "web_search"}], tool_choice="required")


def test_a_long_name_is_shortened_and_known_again() -> None:
    name = "mcp__server__" + "x" * 80
    tool = {"name": name, "input_schema": {"type": "object"}}
    asked = messages.read_conversation(
        messages.read_request(making_messages.body(tools=[tool, {"name": "get"}]))
    )
    used = {"type": "tool_use", "id": "t", "name": name, "input": {}}
    written = to_chat(
        tools=[tool],
        tool_choice={"type": "tool", "name": name},
        messages=[HELLO, {"role": "assistant", "content": [used]}],
    )
    short = written["tools"][0]["function"]["name"]
    assert len(short) == 64
    assert written["tool_choice"]["function"]["name"] == short
    assert written["messages"][1]["tool_calls"][0]["function"]["name"] == short
    assert long_names(asked) == {short: name}


def test_sampling_is_carried_within_what_anthropic_takes() -> None:
    written = to_messages(temperature=1.8, top_p=0.5, stop=["a", " ", ""], user="u1")
    assert (written["temperature"], written["stop_sequences"]) == (1, ["a"])
    assert "top_p" not in written
    assert written["metadata"] == {"user_id": "u1"}
    assert to_messages(top_p=0.5, stop="x") | {"messages": 0} == {
        "model": "up",
        "max_tokens": 100,
        "messages": 0,
        "top_p": 0.5,
        "stop_sequences": ["x"],
    }
    back = to_chat(temperature=0.5, top_p=0.9, stop_sequences=list("abcdef"), top_k=5)
    assert (back["temperature"], back["top_p"], back["stop"]) == (0.5, 0.9, list("abcd"))
    assert "top_k" not in back


def test_a_schema_for_the_answer_goes_both_ways() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    asked = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    output = {"format": {"type": "json_schema", "schema": schema}}
    assert to_messages(response_format=asked)["output_config"] == output
    strict = asked | {"json_schema": {"name": "answer", "schema": schema, "strict": True}}
    assert to_chat(output_config=output)["response_format"] == strict
    assert to_chat(output_format=output["format"])["response_format"] == strict
    loose = {"format": {"type": "json_schema", "schema": schema | {"required": []}}}
    assert to_chat(output_config=loose)["response_format"]["json_schema"]["strict"] is False


def test_any_json_is_asked_for_in_words() -> None:
    written = to_messages(response_format={"type": "json_object"})
    assert "JSON" in written["system"][-1]["text"]
    assert "system" not in to_messages(response_format={"type": "text"})


def test_effort_becomes_thinking_as_the_model_takes_it() -> None:
    new = to_messages(reasoning_effort="high", temperature=0.5)
    assert new["thinking"] == {"type": "adaptive"}
    assert new["output_config"] == {"effort": "high"}
    assert "temperature" not in new
    old = to_messages(cap=8000, model="claude-sonnet-4-5", reasoning_effort="medium")
    assert old["thinking"] == {"type": "enabled", "budget_tokens": 6000}
    assert "output_config" not in old
    for model, effort, cap in [
        ("claude-3-5-sonnet-latest", "high", 8000),
        ("claude-sonnet-4-5", "high", 1000),
        ("claude-opus-4-6", "none", 8000),
    ]:
        assert "thinking" not in to_messages(cap=cap, model=model, reasoning_effort=effort)


def test_nobody_thinks_where_anthropic_would_refuse_it() -> None:
    forced = to_messages(tools=[TOOL], tool_choice="required", reasoning_effort="high")
    assert "thinking" not in forced
    result = {"role": "tool", "tool_call_id": "t1", "content": "one"}
    conversation = [HELLO, called(), result]
    fields: dict[str, Any] = {"tools": [TOOL], "reasoning_effort": "high", "messages": conversation}
    assert "thinking" not in to_messages(cap=8000, model="claude-sonnet-4-5", **fields)
    assert "thinking" in to_messages(cap=8000, model="claude-opus-4-6", **fields)


def test_a_stream_is_asked_for_with_its_usage() -> None:
    assert to_messages(stream=True)["stream"] is True
    written = to_chat(stream=True)
    assert (written["stream"], written["stream_options"]) == (True, {"include_usage": True})


def test_what_anthropics_hosted_tools_did_before_is_left_out() -> None:
    hosted = [
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": {"type": "error"}},
        {"type": "redacted_thinking", "data": "x"},
        text("Found"),
    ]
    written = to_chat(messages=[HELLO, {"role": "assistant", "content": hosted}])
    assert written["messages"][1] == {"role": "assistant", "content": "Found"}


def test_instructions_on_the_way_are_put_with_the_others() -> None:
    """Anthropic's clients send them since 2026; a system message was refused as no role."""
    asked: list[Any] = [
        {"role": "system", "content": "Gone.", "clear_at": "next_user_message"},
        {"role": "user", "content": "Hello"},
        {"role": "system", "content": [text("Be brief.")]},
        {"role": "system", "content": "Now.", "clear_at": "next_user_message"},
        {"role": "system", "output_config": {"effort": "low"}},
    ]
    written = to_chat(system="Be kind.", messages=asked)
    together = {"role": "system", "content": "Be kind.\n\nBe brief.\n\nNow."}
    assert written["messages"] == [together, HELLO]


def test_a_tool_that_was_found_is_told_by_its_name() -> None:
    found = {"type": "tool_reference", "tool_name": "get"}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [found]}
    assert to_chat(messages=[user(result)])["messages"][0]["content"] == "get"


def test_the_highest_effort_is_carried() -> None:
    assert to_messages(reasoning_effort="max")["output_config"] == {"effort": "max"}
    budget = to_messages(reasoning_effort="max", model="claude-sonnet-4-5", cap=64_000)
    assert budget["thinking"]["budget_tokens"] == 32_768


def test_a_choice_among_some_tools_becomes_one_among_all() -> None:
    some = {"mode": "required", "tools": [TOOL]}
    written = to_messages(
        tools=[TOOL], tool_choice={"type": "allowed_tools", "allowed_tools": some}
    )
    assert written["tool_choice"] == {"type": "any"}
