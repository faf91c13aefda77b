"""However a stream is cut, interleaved or alike in its parts, all of it is told as it was meant."""

import itertools
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.wire import messages, translating
from tests.wire.making import DONE, event, relay
from tests.wire.test_translated_streams import (
    FINISH,
    ROLE,
    USAGE,
    begin,
    call,
    hear,
    say,
    show,
    tell,
)
from tests.wire.translating import read_events, read_message

words = st.text(max_size=6) | st.sampled_from(["{", '"}', "\\", "\u00e9\n", '"'])
chat_events = st.one_of(
    words.map(lambda text: say(content=text)),
    words.map(lambda text: say(reasoning_content=text)),
    words.map(lambda text: say(refusal=text)),
    st.builds(begin, st.integers(0, 2), st.sampled_from(["get", "put"]), words),
    st.builds(call, st.integers(0, 2), words),
    st.sampled_from([ROLE, FINISH, USAGE, b": x\n\n", event({"id": "", "choices": []})]),
    st.sampled_from([event({"error": {"message": "No"}}), event(b"x"), DONE, b"data: {"]),
)
message_events = st.one_of(
    st.builds(messages.text, words, st.integers(0, 2)),
    st.builds(
        lambda index, text: messages.block_delta(index, type="input_json_delta", partial_json=text),
        st.integers(0, 2),
        words,
    ),
    st.builds(
        lambda index: messages.open_block(index=index, type="tool_use", id="t", name="get"),
        st.integers(0, 2),
    ),
    st.sampled_from([messages.start(), messages.PING, messages.open_block(), messages.finish()]),
    st.sampled_from([messages.STOP, b": x\n\n", b"event: x\ndata: 5\n\n", b"event: "]),
)


def cut(sent: bytes, places: list[int]) -> list[bytes]:
    at = [0, *sorted(place % (len(sent) + 1) for place in places), len(sent)]
    return [sent[start:end] for start, end in itertools.pairwise(at)]


@given(
    st.sampled_from([translating.to_messages, translating.to_chat]),
    st.data(),
    st.lists(st.integers(0, 4000), max_size=12),
)
def test_one_byte_at_a_time_gives_the_same_as_all_at_once(
    open_stream: Any, data: st.DataObject, places: list[int]
) -> None:
    events = chat_events if open_stream is translating.to_messages else message_events
    sent = b"".join(data.draw(st.lists(events, max_size=8)))
    whole, single, pieces = open_stream(), open_stream(), open_stream()
    expected = relay(whole, sent)
    assert relay(single, *(sent[at : at + 1] for at in range(len(sent)))) == expected
    assert relay(pieces, *cut(sent, places)) == expected
    assert single.is_complete == pieces.is_complete == whole.is_complete
    read_events(expected)


@given(st.data())
def test_however_calls_are_interleaved_each_arrives_whole(data: st.DataObject) -> None:
    arguments = [
        json.dumps(data.draw(st.dictionaries(words, words, max_size=3)))
        for _ in range(data.draw(st.integers(1, 3)))
    ]
    fragments = [
        [begin(n, f"tool{n}"), *(call(n, one) for one in data.draw(split(text)))]
        for n, text in enumerate(arguments)
    ]
    order = data.draw(st.permutations([n for n, some in enumerate(fragments) for _ in some]))
    sent = [fragments[n].pop(0) for n in order]
    message = tell(*sent)
    assert sorted(map(json.dumps, show(message))) == sorted(
        json.dumps(json.loads(text)) for text in arguments
    )


pieces = st.lists(
    st.tuples(
        st.sampled_from(["content", "reasoning_content", "refusal"]),
        st.sampled_from(["a", "word", " two words", "", "é", 'a"b', "\\", "\n", "usage"]),
        st.booleans(),
    ),
    max_size=25,
)


@given(pieces, st.booleans())
def test_every_text_arrives_where_it_belongs(
    sent: list[tuple[str, str, bool]], padded: bool
) -> None:
    """However alike events are, none is told as another one was."""
    pads = itertools.cycle(["", "x", "abcdef"])
    events, expected = [ROLE], list[tuple[str, str]]()
    for name, text, is_doubled in sent:
        for _ in range(1 + is_doubled):
            pad = {"obfuscation": next(pads)} if padded else {}
            choice = {"index": 0, "delta": {name: text}, "finish_reason": None}
            events.append(event({"id": "c1", "choices": [choice], **pad}))
            if text:
                expected.append((name, text))
    blocks = [
        "".join(text for _, text in group)
        for _, group in itertools.groupby(expected, key=lambda pair: pair[0])
    ]
    message = read_message(relay(translating.to_messages(), *events, FINISH, DONE))
    assert show(message) == blocks


@given(pieces)
def test_every_delta_of_a_message_arrives_where_it_belongs(
    sent: list[tuple[str, str, bool]],
) -> None:
    deltas = {
        "content": ("text_delta", "text"),
        "reasoning_content": ("thinking_delta", "thinking"),
        "refusal": ("signature_delta", "signature"),
    }
    events = []
    for name, text, is_doubled in sent:
        type_, field = deltas[name]
        events += [messages.block_delta(0, type=type_, **{field: text})] * (1 + is_doubled)
    heard = hear(*events)["message"]
    for name in ("content", "reasoning_content"):
        said = "".join(text * (1 + doubled) for kind, text, doubled in sent if kind == name)
        assert heard.get(name, "") == said


def split(text: str) -> st.SearchStrategy[list[str]]:
    places = st.lists(st.integers(0, len(text)), max_size=4).map(sorted)
    return places.map(
        lambda at: [text[a:b] for a, b in itertools.pairwise([0, *at, len(text)]) if a != b]
    )
