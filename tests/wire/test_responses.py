"""Responses requests pass without anything kept, and their streams with the end held back."""

import itertools
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.usage import Usage
from gateway.errors import BadRequest
from gateway.protocols.openai_responses import read_answer, read_request, write_request
from tests.wire.making import compact, relay
from tests.wire.responses import CREATED, ITEM, body, end, event, make_stream, text, whole
from tests.wire.test_messages_requests import json_values

PNG = "data:image/png;base64,iVBORw0KGgo="


def test_the_usual_request_is_read() -> None:
    request = read_request(
        body(stream=True, max_output_tokens=50, user="u1", metadata={"team": "blue"}, store=False)
    )
    assert (request.model, request.stream, request.answers) == ("gpt-4o", True, 1)
    assert (request.output_cap, request.cap_field) == (50, "max_output_tokens")
    assert (request.features, request.tags) == ((), {"user": "u1", "team": "blue"})
    assert not request.asks_reasoning
    assert read_request(body(reasoning={"effort": "low"})).asks_reasoning


def test_nothing_is_kept_at_the_provider() -> None:
    for fields in ({}, {"store": None}, {"store": False}):
        sent = read_request(body(instructions="Be brief", **fields))
        written = json.loads(write_request(sent, upstream_model="up", output_cap=9))
        assert written == {
            "model": "up",
            "input": "Hello",
            "instructions": "Be brief",
            "store": False,
            "max_output_tokens": 9,
        }


def test_the_cap_is_only_ever_lowered() -> None:
    sent = read_request(body(max_output_tokens=50))
    for cap, written in ((10, 10), (100, 50), (None, 50)):
        read = json.loads(write_request(sent, upstream_model="up", output_cap=cap))
        assert read["max_output_tokens"] == written


KEPT: list[tuple[dict[str, Any], str]] = [
    ({"previous_response_id": "resp_1"}, "previous_response_id"),
    ({"conversation": {"id": "conv_1"}}, "conversation"),
    ({"background": True}, "background"),
    ({"prompt": {"id": "pmpt_1"}}, "prompt"),
    ({"store": True}, "store"),
    ({"input": [{"role": "user"}, {"type": "item_reference", "id": "msg_1"}]}, "input[1]"),
    ({"input": [{"id": "msg_1"}]}, "input[0]"),
    ({"input": [{"id": "msg_1", "type": None}]}, "input[0]"),
]


@pytest.mark.parametrize(("fields", "field"), KEPT, ids=[field for _, field in KEPT])
def test_state_is_refused_in_plain_words(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(BadRequest, match="Nothing is kept") as caught:
        read_request(body(**fields))
    assert (caught.value.field, caught.value.code) == (field, "state_not_kept")


BAD: list[tuple[dict[str, Any], str]] = [
    ({"model": ""}, "model"),
    ({"input": []}, "input"),
    ({"input": 5}, "input"),
    ({"input": [7]}, "input[0]"),
    ({"max_output_tokens": 0}, "max_output_tokens"),
    ({"stream": "yes"}, "stream"),
    ({"Store": True}, "Store"),
    ({"top_logprobs": 2**63}, "top_logprobs"),
]


@pytest.mark.parametrize(("fields", "field"), BAD, ids=[str(fields)[:50] for fields, _ in BAD])
def test_a_bad_field_is_named_by_its_path(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_request(body(**fields))
    assert caught.value.field == field


def find(**fields: Any) -> list[tuple[str, str]]:
    return [(feature.field, feature.kind) for feature in read_request(body(**fields)).features]


PARTS: list[tuple[dict[str, Any], list[str]]] = [
    ({"type": "input_text", "text": "Hi"}, []),
    ({"type": "input_image", "image_url": PNG}, ["image"]),
    ({"type": "input_image", "image_url": "https://a.b/c.png"}, ["image_url"]),
    ({"type": "input_image", "file_id": "f"}, ["remote_file"]),
    ({"type": "input_file", "file_data": "data:application/pdf;base64,JVBERi0="}, ["file"]),
    ({"type": "input_file", "file_url": "https://a.b/c.pdf"}, ["remote_file"]),
    ({"type": "input_audio", "input_audio": {"data": "UklGRg=="}}, ["audio"]),
    ({"type": "new"}, ["other"]),
]


@pytest.mark.parametrize(("part", "kinds"), PARTS, ids=[str(part)[:60] for part, _ in PARTS])
def test_a_part_whose_bytes_do_not_bound_it_is_found(
    part: dict[str, Any], kinds: list[str]
) -> None:
    message = {"role": "user", "content": [part]}
    output = {"type": "function_call_output", "call_id": "c", "output": [part]}
    assert find(input=[message]) == [("input[0].content[0]", kind) for kind in kinds]
    assert find(input=[output]) == [("input[0].output[0]", kind) for kind in kinds]


FIELDS: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({"tools": [{"type": "function", "name": "f"}, {"type": "custom"}]}, []),
    ({"tools": [{"type": "web_search"}]}, [("tools[0]", "hosted_tool")]),
    ({"service_tier": "priority"}, [("service_tier", "service_tier")]),
    ({"service_tier": "flex", "context_management": [], "include": ["x"]}, []),
    ({"context_management": [{"type": "compaction"}]}, [("context_management", "other")]),
    ({"input": [{"type": "web_search_call"}]}, [("input[0]", "other")]),
    ({"input": [{"type": "reasoning", "encrypted_content": "x"}]}, []),
]


@pytest.mark.parametrize(("fields", "found"), FIELDS, ids=[str(f)[:60] for f, _ in FIELDS])
def test_a_field_that_costs_beyond_tokens_is_found(
    fields: dict[str, Any], found: list[tuple[str, str]]
) -> None:
    assert find(**fields) == found


def test_a_whole_answer_is_metered_and_one_that_failed_is_none() -> None:
    answer = read_answer(compact(whole()))
    assert (answer.is_answer, answer.upstream_id) == (True, "resp_1")
    assert answer.metered.usage == Usage(uncached_input=3, output=2)
    failed = whole("failed", error={"code": "server_error", "message": "No"})
    assert not read_answer(compact(failed)).is_answer


@pytest.mark.parametrize("status", ["completed", "incomplete"])
def test_every_byte_passes_and_the_end_waits(status: str) -> None:
    stream = make_stream()
    sent = CREATED + ITEM + text("One") + text(" two", 3)
    assert stream.feed(sent + end(status)) == sent
    assert (stream.ended, stream.ending, stream.is_complete) == (True, end(status), True)
    assert stream.metered.usage == Usage(uncached_input=3, output=2)
    assert (stream.upstream_id, stream.output_bytes) == ("resp_1", 7)


LEAK = {"code": "server_error", "message": "Your team is out of credits"}
BREAKS = [
    (),
    (b"data: {",),
    (end("failed", error=LEAK),),
    (event("error", 3, **LEAK, param=None), end()),
    (event("error", 3, error=LEAK),),
    (b"event: x\ndata: nonsense\n\n",),
]


@pytest.mark.parametrize("pieces", BREAKS, ids=str)
def test_a_broken_stream_ends_in_an_error_event(pieces: tuple[bytes, ...]) -> None:
    stream = make_stream()
    told = relay(stream, CREATED, text("One"), *pieces).removeprefix(CREATED + text("One"))
    assert told.startswith(b"event: error\ndata: ")
    error = json.loads(told.split(b"data: ")[1])
    assert (error["type"], error["code"], error["sequence_number"] > 2) == (
        "error",
        "upstream_error",
        True,
    )
    assert set(error["error"]) == {"message", "type", "param", "code"}
    assert "team" not in told.decode()
    assert not stream.is_complete


def test_reasoning_is_noticed_even_where_its_text_is_left_out() -> None:
    for piece in (
        event("response.output_item.added", item={"type": "reasoning", "summary": []}),
        event("response.reasoning_summary_text.delta", delta="Hm"),
    ):
        stream = make_stream()
        stream.feed(CREATED)
        assert not stream.has_reasoned
        stream.feed(piece)
        assert stream.has_reasoned


events = st.one_of(
    st.text(max_size=6).map(text),
    st.sampled_from([CREATED, ITEM, end(), end("failed"), b": x\n\n", b"data: [DONE]\n\n"]),
    st.sampled_from([event("new", response=5), event("x", delta={}, item=7), b"<html>\n\n"]),
)


@given(st.lists(events, max_size=8).map(b"".join), st.lists(st.integers(0, 3000), max_size=9))
def test_pieces_of_any_size_give_the_same(sent: bytes, places: list[int]) -> None:
    whole, single, pieces = make_stream(), make_stream(), make_stream()
    expected = relay(whole, sent)
    assert relay(single, *(sent[at : at + 1] for at in range(len(sent)))) == expected
    at = [0, *sorted(place % (len(sent) + 1) for place in places), len(sent)]
    assert relay(pieces, *(sent[a:b] for a, b in itertools.pairwise(at))) == expected
    known = {(s.is_complete, s.output_bytes, s.has_reasoned) for s in (whole, single, pieces)}
    assert len(known) == 1


names = st.sampled_from(["model", "input", "tools", "store", "text", "reasoning", "metadata"])
items = st.dictionaries(st.sampled_from(["type", "role", "content", "output"]), json_values)


@given(st.dictionaries(names, json_values), st.lists(items, min_size=1, max_size=2))
def test_odd_requests_raise_nothing_but_bad_request(
    fields: dict[str, Any], sent: list[Any]
) -> None:
    for odd in ({"input": sent} | fields, {**fields, "input": sent}):
        with suppress(BadRequest):
            write_request(
                read_request(json.dumps({"model": "m", "input": "x"} | odd).encode()),
                upstream_model="up",
                output_cap=5,
            )
