"""The document and what reads requests agree on them: field by field, and on made-up ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gateway import dialects
from gateway.errors import BadRequest
from gateway.protocols import openai_embeddings
from gateway.protocols.anthropic_messages import counting
from gateway.protocols.anthropic_messages import request as messages
from gateway.protocols.openai_chat import request as chat
from gateway.protocols.openai_completions import request as completions
from gateway.protocols.openai_responses import request as responses
from tests.reference.checking import find_faults, request_schema
from tests.wire.making import HELLO

RECORDED = sorted((Path(__file__).parents[1] / "wire" / "requests").glob("*.json"))


class Endpoint(NamedTuple):
    """`body` is what reads the fields that are checked here, `least` a request that is enough."""

    body: Any
    read: Callable[[bytes], Any]
    least: dict[str, Any]


CHAT = {"model": "m", "messages": [HELLO]}
ENDPOINTS = {
    "/v1/chat/completions": Endpoint(chat._Body, dialects.CHAT_COMPLETIONS.read_request, CHAT),
    "/v1/responses": Endpoint(
        responses._Body, dialects.RESPONSES.read_request, {"model": "m", "input": "Hi"}
    ),
    "/v1/completions": Endpoint(
        completions._Body, dialects.COMPLETIONS.read_request, {"model": "m"}
    ),
    "/v1/embeddings": Endpoint(
        openai_embeddings._Body, dialects.EMBEDDINGS.read_request, {"model": "m", "input": "Hi"}
    ),
    "/v1/messages": Endpoint(
        messages._Body, dialects.MESSAGES.read_request, {**CHAT, "max_tokens": 5}
    ),
    "/v1/messages/count_tokens": Endpoint(counting._Body, dialects.COUNT_TOKENS.read_request, CHAT),
}
# Not 1.0, which JSON Schema takes for an integer, and nobody writes.
VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 128, 129, 10_000_000, 10_000_001, 2**63 - 1, 2**63),
    *(-(2**63), 0.5, "", "text", "x" * 200, "x" * 201, "a\nb", [], ["text"], [1], [[1]]),
    *([[]], [None], [HELLO], [{}], {}, {"type": "function"}, {"include_usage": True}),
    *({"include_usage": 1}, [{"type": "text", "text": "Hi"}], [{"type": 1}], [{"role": "user"}]),
]
FIELDS = [(path, name) for path, each in ENDPOINTS.items() for name in each.body.__struct_fields__]


def is_read(path: str, asked: Any) -> bool:
    try:
        ENDPOINTS[path].read(json.dumps(asked).encode())
    except BadRequest:
        return False
    return True


def is_described(path: str, asked: Any) -> bool:
    return not find_faults(asked, request_schema(path), closed=False)


@pytest.mark.parametrize(("path", "name"), FIELDS)
def test_what_the_document_takes_of_a_field_is_read(path: str, name: str) -> None:
    for value in VALUES:
        asked = {**ENDPOINTS[path].least, name: value}
        if is_described(path, asked):
            assert is_read(path, asked), value


# The reader looks only at the parts of these that cost or route; the rest is the provider's.
LOOSE = {"messages", "input", "tools", "system", "metadata", "reasoning", "thinking"}


@pytest.mark.parametrize(("path", "name"), [each for each in FIELDS if each[1] not in LOOSE])
def test_what_is_refused_of_a_field_is_what_the_document_refuses(path: str, name: str) -> None:
    for value in VALUES:
        asked = {**ENDPOINTS[path].least, name: value}
        assert is_described(path, asked) == is_read(path, asked), value


@pytest.mark.parametrize("path", ENDPOINTS)
def test_the_same_fields_are_required(path: str) -> None:
    least = ENDPOINTS[path].least
    assert is_described(path, least)
    for name in least:
        without = {key: value for key, value in least.items() if key != name}
        assert not is_described(path, without)
        assert not is_read(path, without)


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda path: path.stem)
def test_what_coding_tools_send_is_in_it(recorded: Path) -> None:
    request = json.loads(recorded.read_text())
    asked = {"model": "m", **request["body"]}
    path = request["path"].partition("?")[0]
    assert find_faults(asked, request_schema(path), closed=False) == []
