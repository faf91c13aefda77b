"""Servers that count in UTF-16 cut characters in two. The answer is whole all the same."""

import json

import pytest

from gateway.dialects import CHAT_COMPLETIONS, MESSAGES, OPENAI
from gateway.errors import BadRequest
from gateway.passages import Translating
from gateway.protocols.body import decode_members
from gateway.protocols.surrogates import mend
from tests.wire import translating
from tests.wire.making import DONE, event, finish, make_stream, relay, usage_chunk

HALVES = ["smile \\ud83d", "\\uDE00 on"]
CHUNKS = [
    b'data: {"id":"c1","choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % half.encode()
    for half in HALVES
]
END = event(finish()) + event(usage_chunk()) + DONE
ANSWER = (
    b'{"id":"c1","choices":[{"index":0,"message":{"role":"assistant","content":"a \\ud83d"},'
    b'"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}'
)


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (rb'"\ud83d\ude00"', rb'"\ud83d\ude00"'),
        (rb'"\ud83d"', rb'"\ufffd"'),
        (rb'"\uDE00 \uD83Dx"', rb'"\ufffd \ufffdx"'),
        (rb'"\ud83d\ud83d\ude00"', rb'"\ufffd\ud83d\ude00"'),
        (rb'"\\ud83d"', rb'"\\ud83d"'),
        (rb'"\\\ud83d\n"', rb'"\\\ufffd\n"'),
    ],
)
def test_only_half_characters_are_mended(sent: bytes, read: bytes) -> None:
    assert mend(sent) == read


@pytest.mark.parametrize("text", [r"\ud83d", r"\uD83D and more behind it", r"\ude00x", r"\ud83d\n"])
def test_a_request_with_a_half_is_told_which(text: str) -> None:
    """It was told that its body was truncated, which it was not."""
    with pytest.raises(BadRequest) as caught:
        decode_members(b'{"user":"%b"}' % text.encode())
    assert caught.value.code == "invalid_json"
    assert f"half of a character: {text[:6]} at byte 9" in str(caught.value)


def test_a_stream_passes_with_the_halves_that_were_sent() -> None:
    stream = make_stream(wants_usage=True)
    assert relay(stream, *CHUNKS, END) == b"".join(CHUNKS) + END
    assert stream.is_complete


def test_a_translated_stream_goes_on_after_a_half() -> None:
    message = translating.read_message(relay(translating.to_messages(), *CHUNKS, END))
    assert message["content"] == [{"type": "text", "text": "smile \ufffd\ufffd on"}]


def test_a_whole_answer_is_one_whether_it_passes_or_is_told() -> None:
    passing, telling = CHAT_COMPLETIONS.passages[OPENAI], MESSAGES.passages[OPENAI]
    for passage in (passing, telling):
        answer = passage.read_answer(ANSWER)
        assert answer.is_answer
        assert answer.metered.usage is not None
    head = translating.head(translating.CHAT_REQUEST)
    assert isinstance(telling, Translating)
    told = telling.tell(ANSWER, telling.read_answer(ANSWER), head, {})
    assert json.loads(told)["content"] == [{"type": "text", "text": "a \ufffd"}]
