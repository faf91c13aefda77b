"""A chat request is read once; what would cost or route wrongly is 400 with the field's path."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadRequest
from gateway.protocols.openai_chat import read_request
from tests.wire.making import HELLO, body, compact


def test_the_usual_request_is_read() -> None:
    request = read_request(
        body(stream=True, stream_options={"include_usage": True}, n=2, max_tokens=50, user="u1")
    )
    assert (request.model, request.stream, request.wants_usage) == ("gpt-4o", True, True)
    assert (request.answers, request.output_cap, request.cap_field) == (2, 50, "max_tokens")
    assert (request.features, request.tags) == ((), {"user": "u1"})


def test_what_is_not_said_has_its_default() -> None:
    request = read_request(body(stream=None, stream_options=None, n=None, max_tokens=None))
    assert (request.stream, request.wants_usage, request.answers) == (False, False, 1)
    assert (request.output_cap, request.cap_field) == (None, "max_tokens")


def test_of_two_caps_the_larger_one_bounds_the_answer() -> None:
    request = read_request(body(max_tokens=100, max_completion_tokens=20))
    assert (request.output_cap, request.cap_field) == (100, "max_completion_tokens")


BAD: list[tuple[dict[str, Any], str]] = [
    ({"model": None}, "model"),
    ({"model": ""}, "model"),
    ({"model": 4}, "model"),
    ({"model": "a\nb"}, "model"),
    ({"model": "a\x00"}, "model"),
    ({"model": "a" * 201}, "model"),
    ({"messages": None}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": "Hello"}, "messages"),
    ({"messages": {"role": "user"}}, "messages"),
    ({"messages": [HELLO, "Hello"]}, "messages[1]"),
    ({"messages": [HELLO, HELLO, {"content": "Hello"}]}, "messages[2].role"),
    ({"messages": [HELLO, HELLO, {"role": 7}]}, "messages[2].role"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": ["a"]}]}, "messages[0].content[0]"),
    ({"stream": 1}, "stream"),
    ({"stream": "true"}, "stream"),
    ({"stream_options": []}, "stream_options"),
    ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
    ({"n": 0}, "n"),
    ({"n": -1}, "n"),
    ({"n": 129}, "n"),
    ({"n": 10**9}, "n"),
    ({"n": 1.5}, "n"),
    ({"n": True}, "n"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": -1}, "max_tokens"),
    ({"max_tokens": 2**63}, "max_tokens"),
    ({"max_tokens": 10**9}, "max_tokens"),
    ({"max_completion_tokens": "10"}, "max_completion_tokens"),
    ({"seed": 2**63}, "seed"),
    ({"temperature": "warm"}, "temperature"),
    ({"tools": {}}, "tools"),
    ({"tools": [7]}, "tools[0]"),
    ({"Max_Tokens": 5}, "Max_Tokens"),
    ({"top_k": 2**63}, "top_k"),
]


@pytest.mark.parametrize(("fields", "field"), BAD, ids=[str(fields)[:50] for fields, _ in BAD])
def test_a_bad_field_is_named_by_its_path(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_request(body(**fields))
    assert caught.value.field == field
    assert field in caught.value.message


@pytest.mark.parametrize("name", ["model", "messages"])
def test_a_missing_field_is_named(name: str) -> None:
    fields: dict[str, Any] = {"model": "gpt-4o", "messages": [HELLO]}
    del fields[name]
    with pytest.raises(BadRequest) as caught:
        read_request(compact(fields))
    assert (caught.value.field, caught.value.code) == (name, "missing_required_parameter")


@pytest.mark.parametrize("name", ["temperature", "presence_penalty", "top_k"])
def test_a_number_beyond_any_float_is_named(name: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_request(b'{"%s":1e400,' % name.encode() + body()[1:])
    assert caught.value.field == name


def test_tags_are_words_that_a_database_can_keep() -> None:
    metadata = {"team": "blue", "nul": "a\x00b", "long": "x" * 201, "number": 5, "": ""}
    assert read_request(body(metadata=metadata)).tags == {"team": "blue"}
    assert read_request(body(metadata="odd", user="")).tags == {}
    assert len(read_request(body(metadata={f"t{n}": "x" for n in range(50)})).tags) == 16


def test_asking_for_reasoning_is_seen() -> None:
    assert read_request(body(reasoning_effort="low")).asks_reasoning
    assert not read_request(body()).asks_reasoning


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
field_names = st.sampled_from(
    ["model", "messages", "stream", "stream_options", "n", "max_tokens", "tools", "modalities"]
) | st.sampled_from(["user", "metadata", "deferred", "search_parameters", "models"])


@given(st.dictionaries(field_names, json_values))
def test_odd_fields_raise_nothing_but_bad_request(fields: dict[str, Any]) -> None:
    with suppress(BadRequest):
        read_request(json.dumps({"model": "m", "messages": [HELLO]} | fields).encode())


parts = st.dictionaries(
    st.sampled_from(["type", "text", "image_url", "input_audio", "file"]), json_values
)


@given(st.lists(parts, max_size=3))
def test_odd_content_parts_raise_nothing_but_bad_request(content: list[dict[str, Any]]) -> None:
    with suppress(BadRequest):
        read_request(body(messages=[{"role": "user", "content": content}]))


@given(st.binary(max_size=200), st.integers(0, 60), st.integers(0, 10))
def test_random_bytes_raise_nothing_but_bad_request(noise: bytes, at: int, drop: int) -> None:
    good = body(stream=True)
    for broken in (noise, good[:at] + noise + good[at + drop :]):
        with suppress(BadRequest):
            read_request(broken)
