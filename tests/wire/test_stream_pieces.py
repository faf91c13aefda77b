"""However the network cuts a stream, the same bytes come out and the same is known of it."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from gateway.protocols.openai_chat import ChatStream
from tests.wire.making import DONE, delta, event, finish, make_stream, relay, usage_chunk

texts = st.text(max_size=8) | st.sampled_from(
    ['"usage":{"x"', "[DONE]", "\n\ndata: [DONE]", "é\\", "gpt-4o-2024", "content", "chatcmpl-1"]
)
ends = st.sampled_from([b"\n\n", b"\r\n\r\n", b"\n\r\n"])
chunks = st.one_of(
    texts.map(delta),
    st.tuples(texts, st.integers(0, 9)).map(lambda pair: delta(pair[0], usage=None, n=pair[1])),
    st.integers(0, 9).map(lambda n: delta("x", usage=usage_chunk(1, n)["usage"])),
    st.just(usage_chunk()),
    st.just(finish()),
    st.just({"id": "", "choices": []}),
)
# Events that begin and end as usual and hold something else in between.
BEFORE, AFTER = event(delta("|")).split(b"|")
middles = st.sampled_from(
    [
        b"a",
        b'"},"finish_reason":"stop"},{"index":1,"delta":{"content":"',
        b'","reasoning_content":"',
        b'"}}],"usage":{"prompt_tokens":7,"completion_tokens":1},"choices":[{"delta":{"content":"',
        b'"}}],"error":{"message":"No"},"choices":[{"delta":{"content":"',
        b'a"}\n\n"',
    ]
)
events = st.one_of(
    st.builds(lambda middle: BEFORE + middle + AFTER, middles),
    st.builds(event, chunks, ends),
    st.builds(event, chunks, ends),
    st.builds(event, st.sampled_from([b"[DONE]", b"", b"nonsense"]), ends),
    st.builds(event, st.just({"error": {"message": "No"}}), ends),
    st.sampled_from([b": ping\n\n", b"event: x\n\n", b"\n\n", b"\n", b"<html>\n\n", b"data: {"]),
)
streams = st.lists(events, max_size=8).map(b"".join)


def know(stream: ChatStream) -> tuple[object, ...]:
    return (
        stream.is_complete,
        stream.metered,
        stream.upstream_id,
        stream.output_bytes,
        stream.has_reasoned,
    )


def cut(sent: bytes, places: list[int]) -> list[bytes]:
    at = [0, *sorted(place % (len(sent) + 1) for place in places), len(sent)]
    return [sent[start:end] for start, end in itertools.pairwise(at)]


@given(streams, st.booleans(), st.lists(st.integers(0, 4000), max_size=12))
def test_pieces_of_any_size_give_the_same(sent: bytes, wants: bool, places: list[int]) -> None:
    whole, single, pieces = (make_stream(wants_usage=wants) for _ in range(3))
    expected = relay(whole, sent)
    assert relay(single, *(sent[at : at + 1] for at in range(len(sent)))) == expected
    assert relay(pieces, *cut(sent, places)) == expected
    assert know(single) == know(pieces) == know(whole)


@given(
    st.lists(texts.map(delta).map(event), max_size=6), st.lists(st.integers(0, 4000), max_size=6)
)
def test_a_well_formed_stream_loses_nothing_but_its_usage(
    deltas: list[bytes], places: list[int]
) -> None:
    before, after = b"".join([*deltas, event(finish())]), event(usage_chunk())
    stream = make_stream()
    assert relay(stream, *cut(before + after + DONE, places)) == before + DONE
    assert stream.is_complete


@given(st.lists(texts, max_size=10), st.booleans())
def test_the_text_seen_is_never_counted_too_low(words: list[str], spaced: bool) -> None:
    sent = [event(delta(word)) for word in words]
    if spaced:
        sent = [one.replace(b'":', b'": ') if b"usage" not in one else one for one in sent]
    stream = make_stream()
    relay(stream, *sent)
    assert stream.output_bytes >= sum(len(word.encode()) for word in words)
