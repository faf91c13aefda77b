"""The body for a provider: what the caller sent, renamed, capped, and asked for usage."""

import json
from typing import Any

import pytest

from gateway.protocols.openai_chat import read_request, write_request
from tests.wire.making import HELLO, body


def write(*, cap: int | None = None, cap_field: str | None = None, **fields: Any) -> dict[str, Any]:
    request = read_request(body(**fields))
    written = write_request(request, upstream_model="up", output_cap=cap, cap_field=cap_field)
    read: dict[str, Any] = json.loads(written)
    return read


def test_only_the_model_changes_where_nothing_else_has_to() -> None:
    fields: dict[str, Any] = {
        "temperature": 0.30000000000000004,
        "x": {"b": [1, 2.50]},
        "stop": None,
    }
    assert write(**fields) == {"model": "up", "messages": [HELLO], **fields}


def test_values_are_forwarded_byte_for_byte() -> None:
    sent = b'{"model":"m","x": [1.50 , 1E3,"\\u00e9"] ,"messages":[{"role":"user"}]}'
    written = write_request(read_request(sent), upstream_model="up", output_cap=None)
    assert written == b'{"model":"up","x":[1.50 , 1E3,"\\u00e9"],"messages":[{"role":"user"}]}'


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_cap_goes_into_the_field_that_the_caller_used(name: str) -> None:
    fields: dict[str, Any] = {name: 50}
    assert write(cap=10, **fields)[name] == 10
    assert write(cap=100, **fields)[name] == 50
    assert write(cap=None, **fields)[name] == 50


def test_a_cap_is_put_in_where_the_caller_gave_none() -> None:
    assert write(cap=10)["max_tokens"] == 10
    assert write(cap=10, max_tokens=None)["max_tokens"] == 10
    assert "max_tokens" not in write(cap=None)


def test_of_two_caps_neither_may_exceed_the_bound() -> None:
    written = write(cap=30, max_tokens=100, max_completion_tokens=20)
    assert (written["max_tokens"], written["max_completion_tokens"]) == (30, 20)


def test_a_route_may_name_the_only_field_that_its_provider_takes() -> None:
    cases: list[dict[str, Any]] = [{"max_tokens": 50}, {"max_completion_tokens": 50}, {}]
    for sent in cases:
        written = write(cap=10, cap_field="max_completion_tokens", **sent)
        assert written["max_completion_tokens"] == 10
        assert "max_tokens" not in written
    assert write(cap_field="max_tokens", max_completion_tokens=50)["max_tokens"] == 50


def test_a_stream_is_always_asked_for_its_usage() -> None:
    assert write(stream=True)["stream_options"] == {"include_usage": True}
    assert write(stream=True, stream_options=None)["stream_options"] == {"include_usage": True}
    kept = write(stream=True, stream_options={"include_usage": False, "include_obfuscation": True})
    assert kept["stream_options"] == {"include_usage": True, "include_obfuscation": True}


def test_an_answer_in_one_piece_is_not() -> None:
    assert "stream_options" not in write(stream=False)
    assert "stream_options" not in write()


def test_nothing_is_kept_at_the_provider() -> None:
    for store in (True, None):
        assert write(store=store)["store"] is False
    assert "store" not in write()
