"""A stream passes byte for byte, but for what its caller must not see; its end waits."""

import json

import pytest

from billing.usage import Usage
from gateway.errors import UpstreamTimeout
from gateway.protocols.stream import MAX_EVENT_BYTES
from tests.wire.making import DONE, delta, event, finish, make_stream, relay, usage_chunk

ROLE = event({"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {"role": "assistant"}}]})
WORDS = [event(delta(word, usage=None)) for word in ("One", " two", ' "three"', " vier\u00fc\n")]
FINISH = event(finish(usage=None))
USAGE = event(usage_chunk())


def test_every_byte_passes_but_the_usage_that_the_caller_did_not_ask_for() -> None:
    stream = make_stream()
    assert relay(stream, ROLE, *WORDS, FINISH, USAGE, DONE) == b"".join(
        [ROLE, *WORDS, FINISH, DONE]
    )
    assert stream.is_complete
    assert stream.upstream_id == "chatcmpl-1"
    assert stream.metered.usage == Usage(uncached_input=3, output=2)


def test_usage_that_the_caller_asked_for_passes() -> None:
    pieces = [ROLE, *WORDS, FINISH, USAGE, DONE]
    assert relay(make_stream(wants_usage=True), *pieces) == b"".join(pieces)


def test_the_end_waits_until_it_is_written_down() -> None:
    stream = make_stream()
    assert stream.feed(ROLE + FINISH + DONE) == ROLE + FINISH
    assert (stream.ended, stream.ending) == (True, DONE)
    assert stream.feed(ROLE) == b""


def test_a_chunk_with_usage_and_choices_passes_whole() -> None:
    last = event(finish(usage=usage_chunk()["usage"]))
    stream = make_stream()
    assert relay(stream, ROLE, last, DONE) == ROLE + last + DONE
    assert stream.metered.usage == Usage(uncached_input=3, output=2)


def test_of_usage_on_every_chunk_the_last_one_counts() -> None:
    chunks = [event(delta("x", usage=usage_chunk(3, n)["usage"])) for n in range(1, 5)]
    stream = make_stream()
    assert relay(stream, *chunks, FINISH, DONE) == b"".join([*chunks, FINISH, DONE])
    assert stream.metered.usage == Usage(uncached_input=3, output=4)


def test_without_usage_a_fault_is_told() -> None:
    stream = make_stream()
    relay(stream, ROLE, FINISH, DONE)
    assert (stream.metered.usage, stream.metered.fault) == (None, "usage is missing")


def test_comments_crlf_and_the_empty_first_chunk_of_azure_pass() -> None:
    azure = event({"id": "", "choices": [], "prompt_filter_results": [{}]})
    pieces = [azure, b": OPENROUTER PROCESSING\n\n", *WORDS, FINISH, DONE]
    pieces += [piece.replace(b"\n", b"\r\n") for piece in pieces]
    for sent in (pieces[:8], pieces[8:]):
        assert relay(make_stream(), *sent) == b"".join(sent)


def test_a_usual_event_never_overtakes_what_is_unended_before_it() -> None:
    pieces = [*WORDS[:2], b": ping\n", WORDS[2], FINISH, DONE]
    assert relay(make_stream(), *pieces) == b"".join(pieces)


def test_data_in_several_lines_is_one_event() -> None:
    split = USAGE.replace(b'"usage"', b'\ndata: "usage"')
    stream = make_stream()
    assert relay(stream, FINISH, split, DONE) == FINISH + DONE
    assert stream.metered.usage is not None


def test_an_event_of_a_megabyte_passes() -> None:
    big = event(delta("x" * 2**20))
    assert relay(make_stream(), big[:1000], big[1000:], FINISH, DONE) == big + FINISH + DONE


def test_an_event_without_an_end_is_bounded() -> None:
    stream = make_stream()
    piece = b"data: " + b"x" * (MAX_EVENT_BYTES // 4)
    for _ in range(5):
        stream.feed(piece)
    assert stream.ended
    assert b'"error"' in stream.ending
    assert not stream.is_complete


def test_a_missing_done_is_supplied_after_a_finish() -> None:
    stream = make_stream()
    assert relay(stream, ROLE, FINISH, USAGE) == ROLE + FINISH + DONE
    assert stream.is_complete


def test_every_answer_has_to_finish() -> None:
    both = make_stream(answers=2)
    relay(both, event(finish(index=0)), event(finish(index=1)))
    one = make_stream(answers=2)
    relay(one, event(finish(index=0)), event(finish(index=0)))
    assert (both.is_complete, one.is_complete) == (True, False)


@pytest.mark.parametrize("rest", [b"data: [DONE]", b"data: [DONE]\n", b"data:[DONE]\r\n"])
def test_an_end_without_its_empty_line_is_an_end(rest: bytes) -> None:
    assert relay(make_stream(), FINISH, rest).rstrip() == FINISH + rest.rstrip()


def test_a_last_chunk_without_its_empty_line_reaches_the_caller() -> None:
    assert relay(make_stream(), ROLE, FINISH.rstrip()) == ROLE + FINISH + DONE


@pytest.mark.parametrize("cut", [b"", b'data: {"id":"chatcmpl-1","choi', b"data"])
def test_a_cut_stream_never_ends_cleanly(cut: bytes) -> None:
    stream = make_stream()
    told = relay(stream, ROLE, *WORDS, cut).removeprefix(ROLE + b"".join(WORDS))
    error = json.loads(told.removeprefix(b"data: "))["error"]
    assert error["code"] == "upstream_error"
    assert set(error) == {"message", "type", "param", "code"}
    assert not stream.is_complete


def test_the_reason_of_a_cut_is_told() -> None:
    stream = make_stream()
    stream.feed(ROLE)
    stream.close(UpstreamTimeout())
    assert b'"upstream_timeout"' in stream.ending
    assert b"call-1" in stream.ending


def test_an_empty_finish_reason_is_no_finish() -> None:
    stream = make_stream()
    relay(stream, event(finish("")))
    assert not stream.is_complete


def test_an_error_inside_the_stream_is_told_in_our_words() -> None:
    leak = {"error": {"message": "Your team 1b2c has no credits left: https://x.ai", "code": 429}}
    stream = make_stream()
    told = relay(stream, ROLE, event(leak), DONE)
    assert stream.error is not None
    assert b"team" not in told
    assert b"x.ai" not in told
    assert b'"upstream_error"' in told
    assert not told.endswith(DONE)


def test_an_error_about_the_request_keeps_its_sentence() -> None:
    stream = make_stream(upstream_model="up-1", model="gpt-4o")
    told = relay(stream, event({"error": {"message": "The model up-1 overflowed its context"}}))
    assert b"The model gpt-4o overflowed its context" in told


def test_the_vendor_may_say_that_there_is_no_error() -> None:
    chunk = event(delta("Hi", error=None))
    assert relay(make_stream(), chunk, FINISH, DONE) == chunk + FINISH + DONE


@pytest.mark.parametrize(
    "garbage", [b"<html>\n\n", event(b"nonsense"), event(b'"text"'), event(b"[1]"), b"\xff\n\n"]
)
def test_what_is_no_stream_is_not_handed_on(garbage: bytes) -> None:
    stream = make_stream()
    told = relay(stream, garbage, garbage)
    assert told.startswith(b'data: {"error"')
    assert garbage not in told
    assert stream.error is not None


def test_the_text_seen_is_counted_in_bytes() -> None:
    stream = make_stream()
    relay(stream, *WORDS)
    assert len("One two vier\u00fc") <= stream.output_bytes <= 40


def test_a_finish_between_a_usual_beginning_and_end_is_seen() -> None:
    first, second = delta("a")["choices"][0], delta("b")["choices"][0] | {"index": 1}
    both = event(delta("", usage=None) | {"choices": [first | {"finish_reason": "stop"}, second]})
    stream = make_stream()
    assert relay(stream, *WORDS[:2], both) == b"".join(WORDS[:2]) + both + DONE
    assert stream.is_complete


def test_arguments_of_tools_are_text_that_was_seen() -> None:
    call = {"index": 0, "function": {"name": "", "arguments": '{"city":"Paris"}'}}
    choice = {"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}
    stream = make_stream()
    relay(stream, event({"id": "chatcmpl-1", "choices": [choice]}))
    assert 16 <= stream.output_bytes <= 20


def test_thinking_that_shows_is_noticed() -> None:
    choice = {"index": 0, "delta": {"content": None, "reasoning_content": "Let me"}}
    stream = make_stream()
    stream.feed(ROLE)
    assert not stream.has_reasoned
    stream.feed(event({"id": "chatcmpl-1", "choices": [choice]}))
    assert stream.has_reasoned


@pytest.mark.parametrize(
    "odd",
    [
        {"choices": {}},
        {"choices": [5]},
        {"choices": [{"index": "a", "delta": 5}]},
        {"choices": [{"delta": {"content": {"a": 10**400}}}]},
        {"id": 5, "choices": None, "usage": 7},
        {"usage": {"prompt_tokens": -1}, "choices": [{"delta": None}]},
        {},
    ],
    ids=str,
)
def test_odd_chunks_pass_and_break_nothing(odd: dict[str, object]) -> None:
    assert event(odd) in relay(make_stream(wants_usage=True), ROLE, event(odd), FINISH, DONE)
