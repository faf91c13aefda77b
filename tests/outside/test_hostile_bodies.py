"""Bodies that are no request: each is refused by name, costs little, and nothing leaves."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import pytest

from local.provider import RunningProvider
from tests.calls.serving import PATH, Served, in_django
from tests.calls.world import CENT, World, chat
from tests.outside.raw import CHUNKED, CLOSE, check_nothing_left, length, post, say

pytestmark = pytest.mark.django_db(transaction=True)
GOOD = json.dumps(chat(max_tokens=10)).encode()
DEEP = 50_000


def with_raw(name: str, value: bytes) -> bytes:
    """The good body with one more field, written as given."""
    return GOOD[:-1] + b',"%b":%b}' % (name.encode(), value)


def nest(opening: bytes, closing: bytes) -> bytes:
    return opening * DEEP + b"1" + closing * DEEP


NOT_JSON = (
    b"",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b" " * 100_000,
    b"\xef\xbb\xbf" + GOOD,
    GOOD.decode().encode("utf-16"),
    GOOD + b"}",
    GOOD.replace(b"What", b"\xff"),
    GOOD.replace(b"What", b"\xc0\x80"),
    GOOD.replace(b"What", b"\xed\xa0\x80"),
    GOOD.replace(b"What", b"\\ud800"),
    GOOD.replace(b"What", b"\n"),
    with_raw("temperature", b"NaN"),
    with_raw("temperature", b"-Infinity"),
    with_raw("x", b"Infinity"),
    with_raw("x", b"01"),
    with_raw("user", b'"\\udfff"'),
    with_raw("metadata", b'{"\\ud800":"x"}'),
    with_raw("x", nest(b"[", b"]")),
    with_raw("x", nest(b'{"a":', b"}")),
    with_raw("metadata", nest(b'{"a":', b"}")),
    with_raw("tools", nest(b"[", b"]")),
    b'{"model":"gpt-4o","messages":' + nest(b"[", b"]") + b"}",
    b"[" * 1_000_000,
    b"{" + b",".join(b'"k%d":1' % number for number in range(1_000)) + b"}",
)
OUT_OF_RANGE = {
    "n": (b"1000000000", b"0", b"-1", b"1.5", b'"1"', b"true", b"9223372036854775808", b"1e9"),
    "max_tokens": (b"-1", b"0", b"9223372036854775808", b"18446744073709551617", b"1e400", b"1e2"),
    "max_completion_tokens": (b"-1", b"9223372036854775807", b"9223372036854775808"),
    "temperature": (b"1e400", b"-1e400", b'"1"'),
    "seed": (b"9223372036854775808", b"-9223372036854775809"),
    "x": (b"1e400", b"9223372036854775808", b"9" * 10_000),
    "Max_Tokens": (b"1",),
    "MODEL": (b'"gpt-4o"',),
    "stream": (b'"yes"', b"1"),
}
REPEATED = (
    GOOD[:-1] + b',"model":"gpt-4o"}',
    GOOD[:-1] + b',"model":"demo-echo"}',
    b'{"model":"demo-echo",' + GOOD[1:],
    GOOD[:-1] + b',"\\u006dodel":"demo-echo"}',
    GOOD[:-1] + b',"mod\\u0065l":"gpt-4o"}',
)
CONTROLS = ("a\0b", "gpt-4o\r\nx: y", "gpt-4o\n", "\x7f", "gpt-4o\0")


@pytest.fixture(autouse=True)
async def limited(world: World) -> None:
    """So that a forwarded call has to hold something."""
    await in_django(world.add_quota, 1000 * CENT)


async def refusal_of(served: Served, body: bytes, **headers: str) -> dict[str, Any]:
    answer = await served.client.post(PATH, content=body, headers=headers)
    assert answer.status_code == 400, body[:100]
    error: dict[str, Any] = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    return error


async def test_what_is_no_json_object_is_said_to_be_none(
    served: Served, provider: RunningProvider
) -> None:
    for body in NOT_JSON:
        assert (await refusal_of(served, body))["code"] == "invalid_json", body[:100]
    await check_nothing_left(served, provider)


async def test_a_number_out_of_range_is_refused_by_its_name(
    served: Served, provider: RunningProvider
) -> None:
    for name, values in OUT_OF_RANGE.items():
        for value in values:
            body = json.loads(GOOD)
            body.pop(name, None)
            text = json.dumps(body).encode()[:-1] + b',"%b":%b}' % (name.encode(), value)
            assert (await refusal_of(served, text))["param"] == name, value[:30]
    await check_nothing_left(served, provider)


async def test_a_name_that_is_given_twice_is_refused(
    served: Served, provider: RunningProvider
) -> None:
    for body in REPEATED:
        error = await refusal_of(served, body)
        assert (error["param"], error["code"]) == ("model", "duplicate_field")
    await check_nothing_left(served, provider)


async def test_a_model_with_a_control_character_is_refused(
    served: Served, provider: RunningProvider
) -> None:
    for model in CONTROLS:
        assert (await refusal_of(served, json.dumps(chat(model)).encode()))["param"] == "model"
    await check_nothing_left(served, provider)


async def test_control_characters_in_metadata_reach_no_row(
    served: Served, world: World, provider: RunningProvider
) -> None:
    """PostgreSQL keeps no NUL, and a row that it refuses would hold up the facts behind it."""
    metadata = {"a\0": "b", "c": "d\r\nset-cookie: e=f", "good": "kept", "": "g", "h" * 999: "i"}
    answer = await served.post(chat(max_tokens=10, user="\0", metadata=metadata))
    assert answer.status_code == 200
    await served.settled()
    assert served.process.ledger.process.settler.depth == 0
    assert served.process.ledger.process.settler.failing_since is None
    provider.reset_received()
    await check_nothing_left(served, provider)


async def test_a_compressed_body_is_refused_unread(
    served: Served, provider: RunningProvider, world: World
) -> None:
    """It was read as if it were not compressed, and `gzip` over plain text passed."""
    bomb = zlib.compress(bytes(2**26), 9)
    for coding in ("gzip", "GZIP", "br", "zstd", "deflate", "identity, gzip", "x"):
        for body in (GOOD, gzip.compress(GOOD), bomb):
            coded = b"content-encoding: %b\r\n" % coding.encode()
            heard = await say(served.url, post(world.key, coded + CLOSE + length(body), body))
            assert heard.statuses == [415]
            assert heard.json()["error"]["code"] == "unsupported_content_encoding"
    await check_nothing_left(served, provider)
    plain = await served.client.post(PATH, content=GOOD, headers={"content-encoding": "identity"})
    assert plain.status_code == 200


async def test_a_body_over_the_limit_is_413_whether_or_not_it_says_so(
    served: Served, world: World, provider: RunningProvider
) -> None:
    size = served.process.configuration.max_body_bytes + 1
    said = post(world.key, CLOSE + b"content-length: %d\r\n" % 10**12)
    chunk = b"%x\r\n%b\r\n" % (size, b" " * size)
    for request in (said, post(world.key, CLOSE + CHUNKED, chunk + b"0\r\n\r\n")):
        heard = await say(served.url, request)
        assert heard.statuses == [413]
        assert heard.json()["error"]["code"] == "request_too_large"
    await check_nothing_left(served, provider)
