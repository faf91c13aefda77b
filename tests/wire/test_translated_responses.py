"""Responses and completions over providers that have chat completions or messages only."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadRequest
from gateway.protocols import anthropic_messages as messages
from gateway.protocols import openai_chat as chat
from gateway.protocols import openai_completions as completions
from gateway.protocols import openai_responses as responses
from tests.wire import translating
from tests.wire.making import DONE, compact, event, finish, relay, usage_chunk
from tests.wire.responses import body
from tests.wire.test_translated_pieces import chat_events, cut
from tests.wire.test_translated_streams import begin, call, say
from tests.wire.translating import CALL_ID, head, read_events, read_response

FINISH, USAGE = event(finish()), event(usage_chunk())
PNG = "data:image/png;base64,iVBORw0KGgo="
TOOL = {"type": "function", "name": "get", "parameters": {"type": "object"}, "strict": False}


def to_chat(**fields: Any) -> dict[str, Any]:
    """What a Responses request becomes for a provider of chat completions."""
    request = responses.read_request(body(**fields))
    written = chat.write_conversation(
        responses.read_conversation(request),
        upstream_model="up",
        output_cap=100,
        stream=request.stream,
    )
    read: dict[str, Any] = json.loads(written)
    return read


def test_a_plain_request_becomes_a_plain_one() -> None:
    user = {"role": "user", "content": "Hello"}
    assert to_chat() == {"model": "up", "max_tokens": 100, "messages": [user]}
    assert to_chat(instructions="Be brief")["messages"] == [
        {"role": "system", "content": "Be brief"},
        user,
    ]


def test_items_become_turns_and_reasoning_stays_with_who_thought_it() -> None:
    text = {"type": "output_text", "text": "Wait", "annotations": []}
    asked = [
        {"role": "developer", "content": "Be kind"},
        {"role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
        {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "x"},
        {"type": "message", "role": "assistant", "content": [text]},
        {"type": "function_call", "call_id": "c1", "name": "get", "arguments": '{"a":1}'},
        {"type": "function_call", "call_id": "c2", "name": "get", "arguments": ""},
        {"type": "function_call_output", "call_id": "c1", "output": "one"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"text": "two"}]},
    ]
    get = {"name": "get", "arguments": '{"a":1}'}
    assert to_chat(input=asked)["messages"] == [
        {"role": "system", "content": "Be kind"},
        {"role": "user", "content": "Hello"},
        {
            "role": "assistant",
            "content": "Wait",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": get},
                {"id": "c2", "type": "function", "function": get | {"arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "one"},
        {"role": "tool", "tool_call_id": "c2", "content": "two"},
    ]


def test_images_and_files_are_carried() -> None:
    image = {"type": "input_image", "image_url": PNG, "detail": "auto"}
    pdf = "data:application/pdf;base64,JVBERi0="
    file = {"type": "input_file", "file_data": pdf, "filename": "a.pdf"}
    written = to_chat(input=[{"role": "user", "content": [image, file]}])
    assert written["messages"][0]["content"] == [
        {"type": "image_url", "image_url": {"url": PNG}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": pdf}},
    ]


CHOICES: list[tuple[Any, Any]] = [
    ("auto", "auto"),
    ("required", "required"),
    ({"type": "function", "name": "get"}, {"type": "function", "function": {"name": "get"}}),
    ({"type": "allowed_tools", "mode": "required", "tools": []}, "required"),
]


@pytest.mark.parametrize(("sent", "told"), CHOICES, ids=str)
def test_tools_and_the_choice_among_them_are_carried(sent: Any, told: Any) -> None:
    hosted = {"type": "web_search"}
    written = to_chat(tools=[TOOL, hosted], tool_choice=sent, parallel_tool_calls=False)
    function = {"name": "get", "parameters": {"type": "object"}, "strict": False}
    assert written["tools"] == [{"type": "function", "function": function}]
    assert (written["tool_choice"], written["parallel_tool_calls"]) == (told, False)


def test_formats_effort_and_sampling_are_carried() -> None:
    schema = {"type": "object"}
    format_ = {"type": "json_schema", "name": "n", "schema": schema, "strict": True}
    written = to_chat(
        text={"format": format_},
        reasoning={"effort": "low", "summary": "auto"},
        temperature=0.5,
        top_p=0.9,
        user="u",
        include=["reasoning.encrypted_content"],
        truncation="auto",
    )
    assert written["response_format"]["json_schema"] == {
        "name": "n",
        "schema": schema,
        "strict": True,
    }
    assert (written["reasoning_effort"], written["temperature"]) == ("low", 0.5)
    assert (written["top_p"], written["user"]) == (0.9, "u")
    assert {"include", "truncation"}.isdisjoint(written)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"tools": [{"type": "local_shell"}]}, "tools[0]"),
    ({"input": [{"type": "additional_tools", "tools": [{"type": "shell"}]}]}, "input[0].tools[0]"),
    ({"tools": [{"type": "local_shell"}]}, "tools[0]"),
    ({"input": [{"type": "computer_call"}]}, "input[0]"),
    ({"input": [{"role": "bard", "content": "x"}]}, "input[0].role"),
    ({"input": [{"type": "message"}]}, "input[0].role"),
    ({"input": [{"type": "function_call", "arguments": {}}]}, "input[0].arguments"),
    ({"input": [{"type": "function_call_output", "output": {}}]}, "input[0].output"),
    (
        {"input": [{"role": "assistant", "content": [{"image_url": PNG}]}]},
        "input[0].content",
    ),
    (
        {"input": [{"role": "user", "content": [{"type": "input_audio"}]}]},
        "input[0].content[0]",
    ),
    ({"text": {"format": {"type": "grammar"}}}, "text.format"),
    ({"reasoning": {"effort": "endless"}}, "reasoning.effort"),
]


@pytest.mark.parametrize(("fields", "field"), REFUSED, ids=[str(f)[:60] for f, _ in REFUSED])
def test_what_others_cannot_be_asked_is_refused_by_name(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(BadRequest) as caught:
        to_chat(**fields)
    assert caught.value.field == field


def tell(*pieces: bytes, end: bytes = FINISH + USAGE + DONE) -> dict[str, Any]:
    return read_response(relay(translating.to_responses(), *pieces, end))


def test_a_stream_becomes_items_with_the_whole_response_at_its_end() -> None:
    response = tell(
        say(reasoning_content="Hm"),
        say(content="One"),
        say(content=" two"),
        begin(0),
        call(0, '{"a":1}'),
        end=event(finish("tool_calls")) + USAGE + DONE,
    )
    thought, message, called = response["output"]
    assert thought["summary"] == [{"type": "summary_text", "text": "Hm"}]
    assert message["content"][0]["text"] == "One two"
    assert (called["call_id"], called["name"], called["arguments"]) == (
        "call_get",
        "get",
        '{"a":1}',
    )
    assert (response["status"], response["model"], response["store"]) == (
        "completed",
        "public",
        False,
    )
    assert response["usage"] == {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 5,
    }


def test_an_answer_that_was_cut_short_is_incomplete() -> None:
    response = tell(say(content="x"), end=event(finish("length")) + DONE)
    assert response["status"] == "incomplete"
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert response["usage"] is None


def test_a_refusal_is_a_part_of_its_own() -> None:
    (message,) = tell(say(refusal="I can't."))["output"]
    assert message["content"] == [{"type": "refusal", "refusal": "I can't."}]


def test_calls_that_come_interleaved_are_put_in_order() -> None:
    response = tell(
        begin(0, "one"),
        begin(1, "two"),
        call(1, '{"b":2}'),
        say(content="Then"),
        call(0, '{"a":1}'),
    )
    one, two, message = response["output"]
    assert (one["arguments"], two["arguments"]) == ('{"a":1}', '{"b":2}')
    assert message["content"][0]["text"] == "Then"


def test_a_broken_stream_ends_in_an_error_event_with_the_next_number() -> None:
    events = read_events(relay(translating.to_responses(), say(content="x")))
    assert [e["sequence_number"] for e in events] == list(range(len(events)))
    assert events[-1]["type"] == "error"
    assert events[-1]["error"]["code"] == events[-1]["code"] == "upstream_error"


def test_a_whole_answer_says_the_same_as_its_stream() -> None:
    function = {"name": "get", "arguments": '{"a":1}'}
    message = {
        "content": "One two",
        "reasoning_content": "Hm",
        "tool_calls": [{"id": "call_get", "function": function}],
    }
    reply = chat.read_reply(
        compact({"choices": [{"message": message, "finish_reason": "tool_calls"}]}),
        names={},
        call_id=CALL_ID,
    )
    written = json.loads(responses.write_reply(reply, head(translating.RESPONSES_REQUEST), None))
    streamed = tell(
        say(reasoning_content="Hm"), say(content="One two"), begin(0), call(0, '{"a":1}')
    )
    assert written == streamed | {"usage": None}


def test_the_answer_repeats_what_was_asked() -> None:
    asked = responses.read_request(body(instructions="Be brief", tools=[TOOL], temperature=None))
    reply = chat.read_reply(
        compact({"choices": [{"message": {"content": "x"}}]}), names={}, call_id=CALL_ID
    )
    written = json.loads(responses.write_reply(reply, head(asked), None))
    assert (written["instructions"], written["tools"]) == ("Be brief", [TOOL])
    assert (written["temperature"], written["tool_choice"]) == (1.0, "auto")


def completion(**fields: Any) -> Any:
    return completions.read_request(compact({"model": "m", "prompt": "Hello", **fields}))


def test_a_completion_over_messages_is_what_a_user_says() -> None:
    for prompt in ("Hello", ["Hello"]):
        asked = completions.read_conversation(
            completion(prompt=prompt, temperature=0.5, stop="x", logprobs=2)
        )
        written = messages.write_conversation(
            asked, upstream_model="up", output_cap=16, stream=False
        )
        assert json.loads(written) == {
            "model": "up",
            "max_tokens": 16,
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
            "stop_sequences": ["x"],
            "temperature": 0.5,
        }


OLD: list[tuple[dict[str, Any], str]] = [
    ({"n": 2}, "n"),
    ({"best_of": 2}, "best_of"),
    ({"suffix": "end"}, "suffix"),
    ({"echo": True}, "echo"),
    ({"prompt": ["a", "b"]}, "prompt"),
    ({"prompt": [1, 2]}, "prompt"),
    ({"prompt": None}, "prompt"),
]


@pytest.mark.parametrize(("fields", "field"), OLD, ids=[str(fields) for fields, _ in OLD])
def test_what_only_completions_can_do_is_refused_by_name(
    fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        completions.read_conversation(completion(**fields))
    assert caught.value.field == field


def test_a_stream_of_completions_is_text_and_nothing_else() -> None:
    pieces = [say(role="assistant", content=""), say(reasoning_content="Hm"), say(content="One")]
    told = relay(translating.to_completion(), *pieces, FINISH + USAGE + DONE)
    *chunks, usage, done = read_events(told)
    assert [chunk["choices"][0]["text"] for chunk in chunks] == ["One", ""]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert {chunk["object"] for chunk in chunks} == {"text_completion"}
    assert (usage["choices"], usage["usage"]["total_tokens"]) == ([], 5)
    assert done == {"type": "[DONE]"}


@given(
    st.sampled_from([translating.to_responses, translating.to_completion]),
    st.lists(chat_events, max_size=8).map(b"".join),
    st.lists(st.integers(0, 4000), max_size=9),
)
def test_one_byte_at_a_time_gives_the_same_as_all_at_once(
    open_stream: Any, sent: bytes, places: list[int]
) -> None:
    expected = relay(open_stream(), sent)
    assert relay(open_stream(), *(sent[at : at + 1] for at in range(len(sent)))) == expected
    assert relay(open_stream(), *cut(sent, places)) == expected


@given(st.lists(chat_events, max_size=8).map(b"".join))
def test_whatever_comes_the_grammar_is_kept(sent: bytes) -> None:
    stream = translating.to_responses()
    told = relay(stream, sent)
    if stream.is_complete:
        read_response(told)
    else:
        assert read_events(told)[-1]["type"] == "error"
