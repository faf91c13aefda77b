"""A stream of messages passes byte for byte; its end waits, and a cut one never ends cleanly."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.usage import Usage
from gateway.protocols.anthropic_messages import MessagesStream
from tests.wire.making import relay
from tests.wire.messages import (
    PING,
    STOP,
    block_delta,
    close_block,
    event,
    finish,
    make_stream,
    open_block,
    start,
    text,
)

WORDS = [text(word) for word in ("One", " two", ' "three"', " vier\u00fc\n", " text_delta")]
BLOCK = [open_block(), *WORDS, close_block()]


def test_every_byte_passes_and_the_end_waits() -> None:
    stream = make_stream()
    sent = b"".join([start(), PING, *BLOCK, finish()])
    assert stream.feed(sent) == sent
    assert (stream.ended, stream.has_finished) == (False, True)
    assert stream.feed(STOP + PING) == b""
    assert (stream.ended, stream.ending, stream.is_complete) == (True, STOP, True)
    assert stream.upstream_id == "msg_1"
    assert stream.metered.usage == Usage(uncached_input=3, output=2)


def test_the_input_is_known_before_the_output_is() -> None:
    assert make_stream().input_usage is None
    stream = make_stream()
    stream.feed(start({"input_tokens": 5, "cache_read_input_tokens": 6, "output_tokens": 1}))
    stream.feed(b"".join(BLOCK))
    assert stream.input_usage == Usage(uncached_input=5, cache_read=6)
    assert stream.metered.usage is None


def test_a_missing_message_stop_is_supplied_after_the_reason_of_the_stop() -> None:
    stream = make_stream()
    assert relay(stream, start(), *BLOCK, finish()) == b"".join([start(), *BLOCK, finish(), STOP])
    assert stream.is_complete


def test_an_end_without_its_empty_line_is_an_end() -> None:
    stream = make_stream()
    assert relay(stream, start(), finish(), STOP.rstrip()) == start() + finish() + STOP
    assert stream.is_complete


@pytest.mark.parametrize("cut", [b"", b"event: content_block_delta\n", STOP[:30]])
def test_a_cut_stream_never_ends_cleanly(cut: bytes) -> None:
    stream = make_stream()
    told = relay(stream, start(), *BLOCK, cut).removeprefix(start() + b"".join(BLOCK))
    assert told.startswith(b"event: error\ndata: ")
    error = json.loads(told.split(b"data: ")[1])
    assert (error["type"], error["error"]["type"], error["request_id"]) == (
        "error",
        "api_error",
        "call-1",
    )
    assert (stream.is_complete, stream.metered.usage) == (False, None)


def test_an_error_inside_the_stream_is_told_in_our_words() -> None:
    leak = {"type": "error", "error": {"type": "overloaded_error", "message": "Your team is over"}}
    stream = make_stream()
    told = relay(stream, start(), *BLOCK, event(leak), STOP)
    assert stream.error is not None
    assert b"team" not in told
    assert not told.endswith(STOP)


@pytest.mark.parametrize("garbage", [b"<html>\n\n", b"event: x\ndata: nonsense\n\n", b"\xff\n\n"])
def test_what_is_no_stream_is_not_handed_on(garbage: bytes) -> None:
    stream = make_stream()
    told = relay(stream, garbage, start())
    assert told.startswith(b"event: error\n")
    assert garbage not in told


def test_crlf_and_comments_pass() -> None:
    pieces = [b": hello\n\n", start(), PING, *BLOCK, finish(), STOP]
    sent = b"".join(pieces).replace(b"\n", b"\r\n")
    stream = make_stream()
    assert relay(stream, sent) == sent
    assert stream.metered.usage == Usage(uncached_input=3, output=2)


def test_thinking_is_noticed_even_where_its_text_is_left_out() -> None:
    blocks: list[dict[str, Any]] = [
        {"type": "thinking", "thinking": ""},
        {"type": "redacted_thinking", "data": "x"},
    ]
    for block in blocks:
        stream = make_stream()
        stream.feed(start())
        assert not stream.has_reasoned
        stream.feed(open_block(**block))
        assert stream.has_reasoned


def test_a_signature_is_no_output_and_arguments_are() -> None:
    stream = make_stream()
    stream.feed(start() + block_delta(type="signature_delta", signature="x" * 500))
    assert stream.output_bytes == 0
    stream.feed(block_delta(type="input_json_delta", partial_json='{"city":"Paris"}'))
    assert 16 <= stream.output_bytes <= 20


texts = st.text(max_size=8) | st.sampled_from(
    ['"usage":{"x"', "message_stop", "\n\nevent: message_stop", "é\\", "text_delta", "text"]
)
deltas = st.one_of(
    texts.map(text),
    texts.map(lambda part: block_delta(type="input_json_delta", partial_json=part)),
    texts.map(lambda part: block_delta(type="thinking_delta", thinking=part)),
    texts.map(lambda part: block_delta(type="signature_delta", signature=part)),
)
odd_events: list[dict[str, Any]] = [
    {"type": "message_start", "message": 5},
    {"type": "message_delta"},
    {"type": "message_delta", "delta": [], "usage": {"output_tokens": "1"}},
    {"type": "content_block_delta", "delta": "text"},
    {"type": "content_block_start", "content_block": {"type": 5}},
    {"type": "new", "usage": {"output_tokens": 5}},
    {"type": "error", "error": {"message": "No"}},
]
events = st.one_of(
    deltas,
    deltas,
    st.sampled_from([start(), PING, open_block(), close_block(), finish(), STOP]),
    st.sampled_from([event(odd) for odd in odd_events]),
    st.sampled_from([event(odd, b"\r\n") for odd in odd_events[:4]]),
    st.sampled_from([b": x\n\n", b"\n\n", b"<html>\n\n", b"event: ", b"data: {}\n\n"]),
)
streams = st.lists(events, max_size=8).map(b"".join)


def know(stream: MessagesStream) -> tuple[object, ...]:
    return (
        stream.is_complete,
        stream.metered,
        stream.upstream_id,
        stream.output_bytes,
        stream.has_reasoned,
    )


@given(streams, st.lists(st.integers(0, 4000), max_size=12))
def test_pieces_of_any_size_give_the_same(sent: bytes, places: list[int]) -> None:
    whole, single, pieces = make_stream(), make_stream(), make_stream()
    expected = relay(whole, sent)
    assert relay(single, *(sent[at : at + 1] for at in range(len(sent)))) == expected
    at = [0, *sorted(place % (len(sent) + 1) for place in places), len(sent)]
    assert relay(pieces, *(sent[a:b] for a, b in itertools.pairwise(at))) == expected
    assert know(single) == know(pieces) == know(whole)


@given(st.lists(texts, max_size=10))
def test_the_text_seen_is_never_counted_too_low(words: list[str]) -> None:
    stream = make_stream()
    relay(stream, start(), *map(text, words))
    assert stream.output_bytes >= sum(len(word.encode()) for word in words)


def test_a_provider_that_is_overloaded_in_the_middle_is_told_as_such() -> None:
    said = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    stream = make_stream()
    stream.feed(b"event: error\ndata: " + json.dumps(said).encode() + b"\n\n")
    event, _, data = stream.ending.partition(b"\ndata: ")
    assert event == b"event: error"
    assert json.loads(data)["error"]["type"] == "overloaded_error"
