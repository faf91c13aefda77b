"""Translated streams and answers, and what a client makes of them, for the tests in here."""

import json
from typing import Any

from gateway.protocols import anthropic_messages as messages
from gateway.protocols import openai_chat as chat
from gateway.protocols import openai_completions as completions
from gateway.protocols import openai_responses as responses
from gateway.protocols.conversation import EventWriter, Head
from gateway.protocols.sse import EventSplitter, read_data
from gateway.protocols.translation import TranslatedStream
from tests.wire import making
from tests.wire import messages as making_messages
from tests.wire import responses as making_responses

CHAT_REQUEST = chat.read_request(making.body(stream=True, stream_options={"include_usage": True}))
MESSAGES_REQUEST = messages.read_request(making_messages.body(stream=True))
RESPONSES_REQUEST = responses.read_request(making_responses.body(stream=True))
COMPLETION_REQUEST = completions.read_request(
    making.compact(
        {"model": "m", "prompt": "Hi", "stream": True, "stream_options": {"include_usage": True}}
    )
)
CALL_ID = "0199aaaa-bbbb-7ccc-8ddd-eeeeffff0000"


def head(request: Any) -> Head:
    return Head(call_id=CALL_ID, model="public", created=1_760_000_000, request=request)


def to_messages(**names: str) -> TranslatedStream:
    """A provider of chat completions, for a caller of messages."""
    return TranslatedStream(
        making.make_stream(wants_usage=True),
        chat.ChatEventReader(names=names, call_id=CALL_ID),
        messages.MessagesEventWriter(head(MESSAGES_REQUEST)),
    )


def to_chat(*, wants_usage: bool = True) -> TranslatedStream:
    """A provider of messages, for a caller of chat completions."""
    request = CHAT_REQUEST if wants_usage else chat.read_request(making.body(stream=True))
    return TranslatedStream(
        making_messages.make_stream(),
        messages.MessagesEventReader(names={}, call_id=CALL_ID),
        chat.ChatEventWriter(head(request)),
    )


def _from_chat(writer: EventWriter) -> TranslatedStream:
    return TranslatedStream(
        making.make_stream(wants_usage=True),
        chat.ChatEventReader(names={}, call_id=CALL_ID),
        writer,
    )


def to_responses(request: Any = RESPONSES_REQUEST) -> TranslatedStream:
    """A provider of chat completions, for a caller of responses."""
    return _from_chat(responses.ResponsesEventWriter(head(request)))


def to_completion() -> TranslatedStream:
    """A provider of chat completions, for a caller of completions."""
    return _from_chat(completions.CompletionEventWriter(head(COMPLETION_REQUEST)))


def read_events(sent: bytes) -> list[dict[str, Any]]:
    """The events of a stream; each event line has to say what its data does."""
    events = []
    splitter = EventSplitter()
    for event in splitter.feed(sent):
        data = read_data(event)
        assert data is not None
        if data == b"[DONE]":
            events.append({"type": "[DONE]"})
            continue
        read = json.loads(data)
        if event.startswith(b"event: "):
            assert event.startswith(b"event: %b\n" % read["type"].encode())
        events.append(read)
    assert not splitter.rest
    return events


def read_message(sent: bytes) -> dict[str, Any]:
    """Put a stream of messages together as Anthropic's clients do, demanding what they demand."""
    events = read_events(sent)
    assert [events[0]["type"], *(e["type"] for e in events[-2:])] == [
        "message_start",
        "message_delta",
        "message_stop",
    ]
    message: dict[str, Any] = events[0]["message"]
    assert (message["content"], message["stop_reason"]) == ([], None)
    assert isinstance(message["usage"]["input_tokens"], int)
    is_open = False
    for event in events[1:-2]:
        if event["type"] == "ping":
            continue
        if event["type"] == "content_block_start":
            assert not is_open
            assert event["index"] == len(message["content"])
            message["content"].append(event["content_block"] | {"pieces": []})
        assert event["index"] == len(message["content"]) - 1
        block = message["content"][-1]
        if event["type"] == "content_block_delta":
            assert is_open
            _add_delta(block, event["delta"])
        is_open = event["type"] != "content_block_stop"
    assert not is_open
    for block in message["content"]:
        _close(block)
    message |= events[-2]["delta"] | {"usage": message["usage"] | events[-2]["usage"]}
    return message


def _add_delta(block: dict[str, Any], delta: dict[str, Any]) -> None:
    kinds = {
        "text_delta": ("text", "text"),
        "thinking_delta": ("thinking", "thinking"),
        "input_json_delta": ("tool_use", "partial_json"),
    }
    if delta["type"] == "signature_delta":
        assert block["type"] == "thinking"
        block["signature"] += delta["signature"]
        return
    kind, name = kinds[delta["type"]]
    assert block["type"] == kind
    block["pieces"].append(delta[name])


def _close(block: dict[str, Any]) -> None:
    said = "".join(block.pop("pieces"))
    if block["type"] == "tool_use":
        assert block["input"] == {}
        block["input"] = json.loads(said or "{}")
    else:
        block[block["type"]] = said


def read_completion(sent: bytes) -> dict[str, Any]:
    """Put a stream of chat completions together as OpenAI's clients do; usage is None for none."""
    *chunks, done = read_events(sent)
    assert done == {"type": "[DONE]"}
    usage = None
    if not chunks[-1]["choices"]:
        usage = chunks.pop()["usage"]
    message: dict[str, Any] = {"tool_calls": []}
    first = chunks[0]["choices"][0]["delta"]
    assert (first["role"], first["content"]) == ("assistant", "")
    assert len({(c["id"], c["created"], c["model"], c["object"]) for c in chunks}) == 1
    for chunk in chunks:
        (choice,) = chunk["choices"]
        assert (choice["finish_reason"] is None) == (chunk is not chunks[-1])
        for call in choice["delta"].pop("tool_calls", []):
            if call["index"] == len(message["tool_calls"]):
                message["tool_calls"].append({"id": call["id"], "name": "", "arguments": ""})
            whole = message["tool_calls"][call["index"]]
            whole["name"] += call["function"].get("name", "")
            whole["arguments"] += call["function"]["arguments"]
        for name, text in choice["delta"].items():
            message[name] = message.get(name, "") + (text or "")
    message["finish_reason"] = chunks[-1]["choices"][0]["finish_reason"]
    return {"message": message, "usage": usage}


def read_response(sent: bytes) -> dict[str, Any]:
    """Put a stream of responses together as OpenAI's clients do, demanding its whole grammar."""
    events = read_events(sent)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    response: dict[str, Any] = events[-1]["response"]
    assert events[-1]["type"] == f"response.{response['status']}"
    items: list[dict[str, Any]] = []
    pieces: list[str] = []
    is_open = False
    for event in events[2:-1]:
        type_ = event["type"].removeprefix("response.")
        if type_ == "output_item.added":
            assert (is_open, event["output_index"]) == (False, len(items))
            items.append(event["item"])
            is_open, pieces = True, []
        elif type_ == "output_item.done":
            assert items[-1]["id"] == event["item"]["id"]
            items[-1] = event["item"]
            is_open = False
        elif type_.endswith(".delta"):
            pieces.append(event["delta"])
        elif type_ in _DONE:
            assert event[_DONE[type_]] == ("".join(pieces) or _EMPTY.get(type_, ""))
        assert event.get("item_id", items[-1]["id"]) == items[-1]["id"]
        assert event["output_index"] == len(items) - 1
    assert not is_open
    assert response["output"] == items
    return response


_DONE = {
    "output_text.done": "text",
    "refusal.done": "refusal",
    "reasoning_summary_text.done": "text",
    "function_call_arguments.done": "arguments",
    "custom_tool_call_input.done": "input",
}
_EMPTY = {"function_call_arguments.done": "{}"}
