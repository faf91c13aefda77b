"""A messages request is read once, bounded by what it names, and written anew for one route."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadRequest
from gateway.protocols.anthropic_messages import (
    estimate_tokens,
    read_count_request,
    read_counted,
    read_request,
    write_count_request,
    write_request,
)
from tests.wire.making import HELLO, compact
from tests.wire.messages import body


def test_the_usual_request_is_read() -> None:
    request = read_request(body(stream=True, metadata={"user_id": "u1", "x": "y"}))
    assert (request.model, request.stream, request.answers) == ("claude", True, 1)
    assert (request.output_cap, request.cap_field) == (100, "max_tokens")
    assert (request.features, request.tags) == ((), {"user": "u1"})
    assert not request.asks_reasoning


BAD: list[tuple[dict[str, Any], str]] = [
    ({"model": ""}, "model"),
    ({"model": "a\nb"}, "model"),
    ({"messages": []}, "messages"),
    ({"messages": [HELLO, {"content": "Hello"}]}, "messages[1].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": [7]}]}, "messages[0].content[0]"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": None}, "max_tokens"),
    ({"max_tokens": 2**63}, "max_tokens"),
    ({"stream": "yes"}, "stream"),
    ({"system": 5}, "system"),
    ({"tools": [7]}, "tools[0]"),
    ({"thinking": {"budget_tokens": 2**63}}, "thinking.budget_tokens"),
    ({"top_k": 2**63}, "top_k"),
    ({"temperature": "warm"}, "temperature"),
    ({"Max_Tokens": 5}, "Max_Tokens"),
]


def test_a_conversation_that_is_kept_is_refused() -> None:
    """It passed, and whoever knew the id of another tenant's answer could have gone on with it."""
    for thread in ({"type": "create"}, {"type": "continue", "previous_message_id": "msg_1"}):
        with pytest.raises(BadRequest, match="Nothing is kept") as caught:
            read_request(body(thread=thread))
        assert (caught.value.field, caught.value.code) == ("thread", "state_not_kept")
    assert read_request(body(thread=None)).features == ()


@pytest.mark.parametrize(("fields", "field"), BAD, ids=[str(fields)[:50] for fields, _ in BAD])
def test_a_bad_field_is_named_by_its_path(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_request(body(**fields))
    assert caught.value.field == field


def test_max_tokens_is_required_as_anthropic_requires_it() -> None:
    with pytest.raises(BadRequest) as caught:
        read_request(compact({"model": "claude", "messages": [HELLO]}))
    assert (caught.value.field, caught.value.code) == ("max_tokens", "missing_required_parameter")


def write(*, cap: int | None = None, **fields: Any) -> dict[str, Any]:
    written = write_request(read_request(body(**fields)), upstream_model="up", output_cap=cap)
    read: dict[str, Any] = json.loads(written)
    return read


def test_the_model_and_the_cap_change_and_nothing_else() -> None:
    fields: dict[str, Any] = {
        "system": [{"type": "text", "text": "Be brief", "cache_control": {"type": "ephemeral"}}],
        "thinking": {"type": "enabled", "budget_tokens": 50},
        "new_field": {"b": [1, 2.50]},
    }
    whole = {"model": "up", "max_tokens": 100, "messages": [HELLO], **fields}
    assert write(**fields) == whole
    assert write(cap=1000, **fields) == whole
    assert write(cap=60, **fields) == whole | {"max_tokens": 60}


def test_a_budget_for_thinking_stays_below_a_lowered_cap() -> None:
    thinking = {"type": "enabled", "budget_tokens": 5000, "display": "omitted"}
    written = write(cap=2000, max_tokens=8000, thinking=thinking)
    assert written["thinking"] == thinking | {"budget_tokens": 1999}


def test_thoughts_of_another_provider_are_not_sent_to_anthropic() -> None:
    foreign = {"type": "thinking", "thinking": "Hm", "signature": ""}
    own = foreign | {"signature": "c2ln"}
    text = {"type": "text", "text": "Hello"}
    turns = [
        HELLO,
        {"role": "assistant", "content": [foreign, own, text]},
        HELLO,
        {"role": "assistant", "content": [foreign]},
        HELLO,
    ]
    sent = body(messages=turns)
    for written in (sent, sent.replace(b":", b": ")):
        passed = json.loads(
            write_request(read_request(written), upstream_model="up", output_cap=None)
        )["messages"]
        assert passed == [HELLO, {"role": "assistant", "content": [own, text]}, HELLO, HELLO]


def test_asking_for_thinking_is_seen() -> None:
    for thinking in ({"type": "enabled", "budget_tokens": 1024}, {"type": "adaptive"}):
        assert read_request(body(thinking=thinking)).asks_reasoning
    assert not read_request(body(thinking={"type": "disabled"})).asks_reasoning


def find(**fields: Any) -> list[tuple[str, str]]:
    return [(feature.field, feature.kind) for feature in read_request(body(**fields)).features]


PNG = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
BLOCKS: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({"type": "image", "source": PNG}, [("", "image")]),
    ({"type": "image", "source": {"type": "url", "url": "https://a.b"}}, [("", "image_url")]),
    ({"type": "image", "source": {"type": "file", "file_id": "f"}}, [("", "remote_file")]),
    ({"type": "document", "source": PNG}, [("", "file")]),
    ({"type": "document", "source": {"type": "url", "url": "https://a.b"}}, [("", "remote_file")]),
    ({"type": "document", "source": {"type": "text", "data": "Hello"}}, []),
    (
        {"type": "document", "source": {"type": "content", "content": [{"type": "text"}]}},
        [],
    ),
    (
        {
            "type": "document",
            "source": {"type": "content", "content": [{"type": "image", "source": PNG}]},
        },
        [(".source.content[0]", "image")],
    ),
    ({"type": "document", "source": {"type": "new"}}, [("", "other")]),
    ({"type": "text", "text": "hidden", "source": PNG}, [("", "file")]),
    ({"type": "tool_use", "id": "t", "name": "f", "input": {"type": "image"}}, []),
    ({"type": "tool_result", "tool_use_id": "t", "content": "text"}, []),
    (
        {"type": "tool_result", "content": [{"type": "text"}, {"type": "image", "source": PNG}]},
        [(".content[1]", "image")],
    ),
    ({"type": "thinking", "thinking": "Hm", "signature": "c2ln"}, []),
    ({"type": "redacted_thinking", "data": "c2ln"}, []),
    ({"type": "search_result", "source": "https://a.b", "content": [{"type": "text"}]}, []),
    ({"type": "container_upload", "file_id": "f"}, [("", "remote_file")]),
    ({"type": "web_search_tool_result", "content": []}, [("", "other")]),
    ({"type": "new"}, [("", "other")]),
]


@pytest.mark.parametrize(("block", "found"), BLOCKS, ids=[str(block)[:70] for block, _ in BLOCKS])
def test_a_block_whose_bytes_do_not_bound_it_is_found(
    block: dict[str, Any], found: list[tuple[str, str]]
) -> None:
    content = [{"type": "text", "text": "?"}, block]
    expected = [(f"messages[0].content[1]{path}", kind) for path, kind in found]
    assert find(messages=[{"role": "user", "content": content}]) == expected


FIELDS: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({"tools": [{"name": "f", "input_schema": {}}, {"type": "custom", "name": "g"}]}, []),
    ({"tools": [{"type": "web_search_20250305"}]}, [("tools[0]", "hosted_tool")]),
    ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, [("tools[0]", "other")]),
    ({"mcp_servers": [{"url": "https://a.b"}]}, [("mcp_servers", "hosted_tool")]),
    ({"mcp_servers": [], "container": None}, []),
    ({"container": "c1"}, [("container", "hosted_tool")]),
    ({"speed": "fast"}, [("speed", "service_tier")]),
    ({"speed": "standard", "inference_geo": "global", "service_tier": "auto"}, []),
    ({"inference_geo": "us"}, [("inference_geo", "service_tier")]),
    ({"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}}, []),
    (
        {"context_management": {"edits": [{"type": "compact_20260112"}]}},
        [("context_management", "other")],
    ),
    ({"fallbacks": ["dear"]}, [("fallbacks", "other")]),
    ({"system": [{"type": "image", "source": PNG}]}, [("system[0]", "image")]),
]


@pytest.mark.parametrize(("fields", "found"), FIELDS, ids=[str(f)[:70] for f, _ in FIELDS])
def test_a_field_that_costs_beyond_tokens_is_found(
    fields: dict[str, Any], found: list[tuple[str, str]]
) -> None:
    assert find(**fields) == found


def test_counting_asks_for_no_answer_and_no_cap() -> None:
    request = read_count_request(compact({"model": "claude", "messages": [HELLO]}))
    assert (request.answers, request.features, request.stream) == (0, (), False)
    written = json.loads(write_count_request(request, upstream_model="up"))
    assert written == {"model": "up", "messages": [HELLO]}


def test_a_count_is_an_answer_that_used_nothing() -> None:
    counted = read_counted(b'{"input_tokens":14}')
    assert counted.is_answer
    assert counted.metered.usage is not None
    assert counted.metered.usage.total_tokens == 0
    for odd in (b"{}", b"<html>", b'{"type":"error","error":{"message":"no"}}'):
        assert not read_counted(odd).is_answer


def test_an_estimate_grows_with_text_tools_and_images() -> None:
    def estimate(**fields: Any) -> int:
        return estimate_tokens(read_count_request(body(**fields)))

    plain = estimate()
    long = [{"role": "user", "content": [{"type": "text", "text": "word " * 7000}]}]
    image = [
        {"role": "user", "content": [{"type": "image", "source": PNG | {"data": "x" * 10**6}}]}
    ]
    assert 1 <= plain < 20
    assert 7000 < estimate(messages=long) < 14000
    assert 1000 < estimate(messages=image) < 3000
    assert estimate(system="Be brief. " * 20) > plain + 30
    assert estimate(tools=[{"name": "f", "input_schema": {"type": "object"}}]) > plain + 5


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
field_names = st.sampled_from(
    ["model", "messages", "stream", "system", "max_tokens", "tools", "thinking", "metadata"]
) | st.sampled_from(["context_management", "speed", "container", "mcp_servers", "new"])
blocks = st.dictionaries(st.sampled_from(["type", "text", "source", "content"]), json_values)


@given(st.dictionaries(field_names, json_values))
def test_odd_fields_raise_nothing_but_bad_request(fields: dict[str, Any]) -> None:
    sent = json.dumps({"model": "m", "max_tokens": 1, "messages": [HELLO]} | fields).encode()
    with suppress(BadRequest):
        write_request(read_request(sent), upstream_model="up", output_cap=1)
    with suppress(BadRequest):
        estimate_tokens(read_count_request(sent))


@given(st.lists(blocks, max_size=3))
def test_odd_blocks_raise_nothing_but_bad_request(content: list[dict[str, Any]]) -> None:
    sent = body(messages=[{"role": "user", "content": content}])
    with suppress(BadRequest):
        read_request(sent)
    with suppress(BadRequest):
        estimate_tokens(read_count_request(sent))
