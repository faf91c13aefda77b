"""Requests with a good key that two servers in a row could read in two ways, or not at all.

None is forwarded in part, none takes a hold, and what stands behind it on its connection is not
taken for a request.
"""

from __future__ import annotations

import json

import pytest

from local.provider import RunningProvider
from tests.calls.serving import PATH, Served, in_django
from tests.calls.world import CENT, World, chat
from tests.outside.raw import CHUNKED, CLOSE, check_nothing_left, length, post, say

pytestmark = pytest.mark.django_db(transaction=True)
BODY = json.dumps(chat(max_tokens=10)).encode()
SMUGGLED = post("tg_smuggled", CLOSE + length(BODY), BODY)
AS_CHUNK = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)


AMBIGUOUS = (
    length(BODY) + CHUNKED,
    CHUNKED + length(BODY),
    length(BODY) + length(BODY),
    length(BODY) + b"content-length: 0\r\n",
    b"content-length: 0\r\n" + length(BODY),
    b"content-length: 0, %d\r\n" % len(BODY),
    b"content-length: %d\r\ntransfer-encoding: identity\r\n" % len(BODY),
    b"content-length:\r\n",
    b"content-length: 1_0\r\n",
    CHUNKED + CHUNKED,
    b"transfer-encoding: gzip, chunked\r\n",
    b"transfer-encoding: chunked, identity\r\n",
    b"transfer-encoding: xchunked\r\n",
    b"transfer-encoding:\x0bchunked\r\n",
    b"transfer-encoding : chunked\r\n",
    b"x: a\r\n transfer-encoding: chunked\r\n",
    b"x: a\rtransfer-encoding: chunked\r\n",
    b"host: elsewhere.example\r\n" + length(BODY),
    b"x-api-key: a\0b\r\n" + length(BODY),
    b"openai-beta: a\0b\r\n" + length(BODY),
    b"openai-beta: a\rb\r\n" + length(BODY),
    b"\0: a\r\n" + length(BODY),
    b": a\r\n" + length(BODY),
)
CHUNKS = (
    b"zz\r\n",
    b"-1\r\n",
    b"0x5\r\nhello\r\n0\r\n\r\n",
    b"fffffffffffffffff\r\n",
    b"5\nhello\n0\n\n",
    b"5\r\nhelloXX\r\n0\r\n\r\n",
    b"%x\r\n%b0\r\n\r\n" % (len(BODY), BODY),
)
BAD_KEYS = (b"%b\0", b"%b\0tail", b"%b\x01", b"%b\x7f", b"%b\r\x20tail", b"\0%b", b"%b\xc2\xa0")
LARGE = (
    b"x: " + b"a" * 65_536 + b"\r\n",
    b"x" * 65_536 + b": a\r\n",
    b"cookie: a=b\r\n" * 101,
    b"".join(b"x-%d: %b\r\n" % (n, b"a" * 1_000) for n in range(64)),
)
TARGETS = (
    "/v1/chat/completions%00",
    "/v1/chat/completions/",
    "/v1//chat/completions",
    "/v1/../v1/chat/completions",
    "/v1/./chat/completions",
    "/V1/chat/completions",
    "/v1/chat/completions;x=1",
    "/v1/chat%0d%0aset-cookie:%20a=b",
    "/v1/%ff%fe",
)


@pytest.fixture(autouse=True)
async def limited(world: World) -> None:
    """So that a forwarded call has to hold something."""
    await in_django(world.add_quota, 1000 * CENT)


async def test_an_ambiguous_request_is_refused_and_nothing_behind_it_is_read(
    world: World, served: Served, provider: RunningProvider
) -> None:
    for headers in AMBIGUOUS:
        for body in (BODY, AS_CHUNK):
            heard = await say(served.url, post(world.key, headers, body + SMUGGLED))
            assert heard.statuses == [400], headers
            assert heard.json()["error"]["type"] == "invalid_request_error"
    await check_nothing_left(served, provider)


async def test_a_chunk_that_can_be_read_in_two_ways_is_refused(
    world: World, served: Served, provider: RunningProvider
) -> None:
    for chunks in CHUNKS:
        heard = await say(served.url, post(world.key, CHUNKED, chunks + SMUGGLED))
        assert heard.statuses == [400], chunks
    await check_nothing_left(served, provider)


async def test_nothing_but_the_key_itself_is_the_key(
    world: World, served: Served, provider: RunningProvider
) -> None:
    for key in BAD_KEYS:
        for name in (b"authorization: Bearer ", b"x-api-key: "):
            line = name + key % world.key.encode() + b"\r\n"
            heard = await say(served.url, post("", line + CLOSE + length(BODY), BODY))
            assert heard.statuses in ([400], [401]), key
            assert world.key.encode() not in heard.raw
    await check_nothing_left(served, provider)


async def test_a_head_of_64_kb_is_refused_in_the_callers_dialect(
    world: World, served: Served, provider: RunningProvider
) -> None:
    for path in (PATH, "/v1/messages", "/admin/login/"):
        for headers in LARGE:
            request = post(world.key, headers + length(BODY), BODY, path=path)
            heard = await say(served.url, request)
            assert heard.statuses == [431], headers[:20]
            assert (heard.json().get("type") == "error") == (path == "/v1/messages")
    await check_nothing_left(served, provider)


async def test_what_goes_on_to_the_provider_is_one_header_of_ascii(
    world: World, served: Served, provider: RunningProvider
) -> None:
    """It was 502 for a header that stands twice, and 500 for one that is not ASCII."""
    echo = json.dumps(chat("demo-echo")).encode()
    twice = b"openai-beta: a=v1\r\nopenai-beta: b=v2\r\n"
    heard = await say(served.url, post(world.key, twice + CLOSE + length(echo), echo))
    assert heard.statuses == [200]
    seen = json.loads(heard.json()["choices"][0]["message"]["content"])["headers"]
    assert seen["openai-beta"] == "a=v1, b=v2"
    provider.reset_received()
    foreign = b"openai-beta: \xff\xfe\r\n"
    heard = await say(served.url, post(world.key, foreign + CLOSE + length(BODY), BODY))
    assert (heard.statuses, heard.json()["error"]["param"]) == ([400], "openai-beta")
    await check_nothing_left(served, provider)


async def test_no_other_spelling_of_a_path_reaches_a_provider(
    world: World, served: Served, provider: RunningProvider
) -> None:
    for target in TARGETS:
        request = post(world.key, CLOSE + length(BODY), BODY, path=target)
        heard = await say(served.url, request)
        assert heard.statuses == [404], target
        assert b"\nset-cookie" not in heard.head
    await check_nothing_left(served, provider)
