"""Which requests the server takes, which it refuses, and in whose words; over raw sockets."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator

import pytest

from gateway.server import GatewayProtocol
from tests.gateway.application import seen, serve_application

HOST = b"host: gateway.example\r\n"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serve_application(GatewayProtocol) as port:
        yield port


def exchange(port: int, *parts: bytes) -> bytes:
    """Send the parts one after the other and return everything until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        for part in parts:
            client.sendall(part)
            time.sleep(0.02 if len(parts) > 1 else 0)
        received = b""
        while data := client.recv(65_536):
            received += data
    return received


def post(path: bytes, headers: bytes, body: bytes = b"") -> bytes:
    return b"POST " + path + b" HTTP/1.1\r\n" + HOST + headers + b"\r\n" + body


def read_statuses(received: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]


CLOSE = b"connection: close\r\n"


def test_a_request_is_answered_and_its_connection_kept(port: int) -> None:
    one = post(b"/echo", b"content-length: 2\r\n", b"ab")
    last = post(b"/echo", CLOSE + b"content-length: 2\r\n", b"cd")
    received = exchange(port, one, one, last)
    assert read_statuses(received) == [200, 200, 200]
    assert received.endswith(b"cd")


def test_pipelined_requests_are_answered_in_order(port: int) -> None:
    one = post(b"/slow", b"content-length: 0\r\n")
    last = post(b"/echo", CLOSE + b"content-length: 2\r\n", b"cd")
    received = exchange(port, one + last)
    assert received.index(b"done") < received.index(b"cd")


def test_a_head_does_not_wait_for_its_body(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(post(b"/head/first", CLOSE + b"content-length: 0\r\n"))
        assert client.recv(65_536).endswith(b"transfer-encoding: chunked\r\n\r\n")
        exchange(port, post(b"/release", CLOSE + b"content-length: 0\r\n"))
        assert b"and the body" in client.recv(65_536)


def test_an_answer_that_has_no_body_is_sent(port: int) -> None:
    received = exchange(port, b"HEAD /early HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n")
    assert read_statuses(received) == [413]
    assert received.endswith(b"\r\n\r\n")


def test_a_chunked_body_arrives_whole_and_its_trailers_do_not(port: int) -> None:
    request = post(
        b"/headers",
        CLOSE + b"transfer-encoding: chunked\r\n",
        b"2;name=value\r\nab\r\n1\r\nc\r\n0\r\nx-trailer: 1\r\nauthorization: Bearer x\r\n\r\n",
    )
    body = exchange(port, request).partition(b"\r\n\r\n")[2]
    assert json.loads(body) == ["host", "connection", "transfer-encoding"]


def test_a_head_in_single_bytes_is_read(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        for byte in post(b"/echo", CLOSE + b"content-length: 2\r\n", b"ab"):
            client.sendall(bytes([byte]))
        assert b"ab" in client.makefile("rb").read()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET / HTTP/3.7\r\n" + HOST + b"\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400),
        (b"CONNECT gateway.example:443 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
        (b"GET / HTTP/1.1\r\n" + HOST + b"x: " + b"a" * 40_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + HOST + b"x" * 40_000 + b": a\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + HOST + b"x: a\r\n" * 200 + b"\r\n", 431),
        (post(b"/", b"x: a\0b\r\n"), 400),
        (post(b"/", b"x: a\rb\r\n"), 400),
        (post(b"/", b"x: a\n b\r\n"), 400),
        (post(b"/", b"x: a\r\n folded\r\n"), 400),
        (post(b"/", b"x : a\r\n"), 400),
        (post(b"/", b"content-length: 2\r\ncontent-length: 2\r\n", b"ab"), 400),
        (post(b"/", b"content-length: 2, 2\r\n", b"ab"), 400),
        (post(b"/", b"content-length: +2\r\n", b"ab"), 400),
        (post(b"/", b"content-length: -2\r\n", b"ab"), 400),
        (post(b"/", b"content-length: 0x2\r\n", b"ab"), 400),
        (post(b"/", b"content-length: 99999999999999999999\r\n", b"ab"), 400),
        (post(b"/", b"content-length: 2\r\ntransfer-encoding: chunked\r\n", b"0\r\n\r\n"), 400),
        (post(b"/", b"transfer-encoding: chunked\r\ncontent-length: 2\r\n", b"0\r\n\r\n"), 400),
        (post(b"/", b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n"), 400),
        (post(b"/", b"transfer-encoding: gzip, chunked\r\n", b"0\r\n\r\n"), 400),
        (post(b"/", b"transfer-encoding: identity\r\n"), 400),
        (post(b"/", b"transfer-encoding: xchunked\r\n"), 400),
        (b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (post(b"/", b"transfer-encoding: chunked\r\n", b"zz\r\n"), 400),
        (post(b"/", b"transfer-encoding: chunked\r\n", b"fffffffffffffffff\r\n"), 400),
        (post(b"/", b"transfer-encoding: chunked\r\n", b"1;" + b"a" * 200_000), 400),
        (
            post(b"/", b"transfer-encoding: chunked\r\n", b"1;aaaaaaaaaaaaaaaa\r\nx\r\n" * 20_000),
            400,
        ),
    ],
)
def test_a_request_that_could_be_read_in_two_ways_is_refused(
    port: int, request_bytes: bytes, status: int
) -> None:
    received = exchange(port, request_bytes)
    assert read_statuses(received) == [status]
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"connection: close" in head
    assert b"content-type: application/json" in head
    call_id = re.search(rb"x-request-id: (\S+)", head)
    assert call_id is not None
    assert json.loads(body)["error"]["type"] == "invalid_request_error"
    assert json.loads(body)["request_id"] == call_id[1].decode()


def test_a_refusal_under_v1_messages_is_in_anthropics_shape(port: int) -> None:
    received = exchange(port, post(b"/v1/messages", b"transfer-encoding: gzip\r\n"))
    body = json.loads(received.partition(b"\r\n\r\n")[2])
    assert (body["type"], body["error"]["type"]) == ("error", "invalid_request_error")


def test_a_head_too_large_in_many_small_parts_is_refused(port: int) -> None:
    received = exchange(port, b"GET / HTTP/1.1\r\nx: ", *[b"a" * 9_000] * 6)
    assert read_statuses(received) == [431]


def test_a_head_behind_a_large_body_is_not_counted_with_it(port: int) -> None:
    body = b"b" * 200_000
    one = post(b"/early", b"content-length: %d\r\n" % len(body), body)
    last = post(b"/echo", CLOSE + b"content-length: 0\r\n")
    assert read_statuses(exchange(port, one + last[:30], last[30:])) == [413, 200]


def test_garbage_behind_a_request_is_not_refused_in_the_middle_of_its_answer(port: int) -> None:
    received = exchange(port, post(b"/endless", b"content-length: 0\r\n"), b"garbage\r\n\r\n")
    assert read_statuses(received) == [200]
    assert b"invalid_request_error" not in received


@pytest.mark.parametrize("offer", [b"h2c", b"websocket"])
def test_an_offer_of_another_protocol_is_not_taken_and_the_body_is_read(
    port: int, offer: bytes
) -> None:
    """Java's client offers h2c with its first POST; the parser then drops the body."""
    headers = (
        b"connection: Upgrade, HTTP2-Settings\r\nupgrade: " + offer + b"\r\n"
        b"http2-settings: AAEAAEAAAAIAAAAA\r\ncontent-length: 4\r\n"
    )
    for parts in (
        [post(b"/echo", headers, b"body")],
        [post(b"/echo", headers), b"bo", b"dy"],
    ):
        received = exchange(port, *parts, post(b"/echo", CLOSE + b"content-length: 2\r\n", b"cd"))
        assert read_statuses(received) == [200, 200]
        assert b"\r\n\r\nbody" in received


def test_an_offer_with_a_chunked_body_is_served_too(port: int) -> None:
    headers = b"connection: Upgrade\r\nupgrade: h2c\r\ntransfer-encoding: chunked\r\n"
    last = post(b"/echo", CLOSE + b"content-length: 0\r\n")
    received = exchange(port, post(b"/echo", headers, b"4\r\nbody\r\n0\r\n\r\n"), last)
    assert read_statuses(received) == [200, 200]
    assert seen["echo"] == b""


def test_a_body_is_asked_for_only_when_it_is_wanted(port: int) -> None:
    headers = b"expect: 100-continue\r\ncontent-length: 4\r\n"
    received = exchange(port, post(b"/echo", CLOSE + headers), b"body")
    assert read_statuses(received) == [100, 200]
    received = exchange(port, post(b"/early", headers))
    assert read_statuses(received) == [413]


def test_a_body_answered_early_is_taken_in_and_the_connection_goes_on(port: int) -> None:
    body = bytes(3_000_000)
    one = post(b"/early", b"content-length: %d\r\n" % len(body), body)
    received = exchange(port, one, post(b"/echo", CLOSE + b"content-length: 0\r\n"))
    assert read_statuses(received) == [413, 200]


def test_a_body_without_end_is_cut_off_once_it_is_answered() -> None:
    class Short(GatewayProtocol):
        discard_bytes = 1_000_000

    with (
        serve_application(Short) as port,
        socket.create_connection(("127.0.0.1", port), timeout=10) as client,
    ):
        client.sendall(post(b"/early", b"content-length: 100000000000\r\n"))
        with pytest.raises(ConnectionError):
            client.sendall(bytes(2**26))


def test_connections_over_the_limit_are_told_so() -> None:
    class Small(GatewayProtocol):
        max_connections = 2

    with serve_application(Small) as port:
        clients = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(2)]
        time.sleep(0.1)
        received = exchange(port)
        assert read_statuses(received) == [503]
        assert b"too_many_connections" in received
        clients.pop().close()
        time.sleep(0.1)
        last = post(b"/echo", CLOSE + b"content-length: 0\r\n")
        assert read_statuses(exchange(port, last)) == [200]
        clients.pop().close()
