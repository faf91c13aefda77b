"""Bodies that are no request, at every endpoint: each is refused in its dialect, nothing leaves."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from local.provider import RunningProvider
from tests.calls.serving import Served, in_django
from tests.calls.surfaces import ask
from tests.calls.world import CENT, World
from tests.outside.raw import CHUNKED, CLOSE, check_nothing_left, length, post, say

pytestmark = pytest.mark.django_db(transaction=True)
# Each endpoint's path, the field that holds what is asked, and its cap.
PLACES = {
    "completions": ("/v1/completions", "prompt", "max_tokens"),
    "embeddings": ("/v1/embeddings", "input", "dimensions"),
    "messages": ("/v1/messages", "messages", "max_tokens"),
    "messages.count_tokens": ("/v1/messages/count_tokens", "messages", None),
    "responses": ("/v1/responses", "input", "max_output_tokens"),
}
DEEP = 20_000


@pytest.fixture(autouse=True)
async def limited(world: World) -> None:
    await in_django(world.add_quota, 1000 * CENT)


def list_bad(endpoint: str) -> list[bytes]:
    """Bodies that are refused whatever they would ask."""
    _, field, cap = PLACES[endpoint]
    good = ask(endpoint, "gpt-4o")
    body = json.dumps(good).encode()
    asked = b'"%b": ' % field.encode()
    nested = [b"[" * DEEP + b"]" * DEEP, b'{"a":' * DEEP + b"1" + b"}" * DEEP]
    return [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\xef\xbb\xbf" + body,
        body + b"}",
        body.replace(b"What", b"\xff"),
        body.replace(b"What", b"\\ud800"),
        body[:-1] + b',"x":NaN}',
        body[:-1] + b',"x":1e400}',
        body[:-1] + b',"model":"gpt-4o"}',
        body[:-1] + b',"mod\\u0065l":"gpt-4o"}',
        body[:-1] + b',"MODEL":"gpt-4o"}',
        body[:-1] + b"".join(b',"k%d":1' % number for number in range(1_000)) + b"}",
        *(body[:-1] + b',"x":' + one + b"}" for one in nested),
        *(body.replace(asked, b'"x": ')[:-1] + b"," + asked + one + b"}" for one in nested),
        *(json.dumps({**good, "model": name}).encode() for name in ("", "a\0b", "a\r\nx: y", 5)),
        *(json.dumps({**good, field: odd}).encode() for odd in _ODD_ASKED),
        *(json.dumps({**good, cap: odd}).encode() for odd in _ODD_CAPS if cap is not None),
        *(json.dumps({**good, "stream": odd}).encode() for odd in _ODD_FLAGS[endpoint]),
    ]


_ODD_ASKED: tuple[Any, ...] = (None, 5, {}, [], [None], [[]])
_ODD_CAPS = (2**63, "1", 1.5, -(2**63) - 1)
_ODD_FLAGS: dict[str, tuple[Any, ...]] = {name: ("yes", 1, []) for name in PLACES}
_ODD_FLAGS |= {"embeddings": (), "messages.count_tokens": ()}
# A completion may be asked for without a prompt, and goes on as it came.
_MAY_PASS = {("completions", b'"prompt": null')}


def check_refusal(endpoint: str, error: dict[str, Any]) -> None:
    if endpoint.startswith("messages"):
        assert (error["type"], error["error"]["type"]) == ("error", "invalid_request_error")
        assert error["error"]["message"]
    else:
        assert error["error"]["type"] == "invalid_request_error"
        assert error["error"]["message"]


@pytest.mark.parametrize("endpoint", PLACES)
async def test_what_is_no_request_is_refused_in_the_dialect_of_its_path(
    endpoint: str, served: Served, provider: RunningProvider
) -> None:
    path = PLACES[endpoint][0]
    for body in list_bad(endpoint):
        if any(name == endpoint and part in body for name, part in _MAY_PASS):
            continue
        answer = await served.client.post(path, content=body)
        assert answer.status_code == 400, (body[:200], answer.text[:300])
        check_refusal(endpoint, answer.json())
    await check_nothing_left(served, provider)


@pytest.mark.parametrize("endpoint", PLACES)
async def test_what_is_compressed_or_too_large_is_refused_unread(
    endpoint: str, served: Served, world: World, provider: RunningProvider
) -> None:
    path = PLACES[endpoint][0]
    zipped = gzip.compress(json.dumps(ask(endpoint, "gpt-4o")).encode())
    coded = post(
        world.key, b"content-encoding: gzip\r\n" + CLOSE + length(zipped), zipped, path=path
    )
    size = served.process.configuration.max_body_bytes + 1
    endless = b"%x\r\n%b\r\n" % (size, b" " * size)
    large = post(world.key, CLOSE + CHUNKED, endless + b"0\r\n\r\n", path=path)
    for request, status in ((coded, 415), (large, 413)):
        assert (await say(served.url, request)).statuses == [status]
    await check_nothing_left(served, provider)
