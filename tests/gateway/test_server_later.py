"""An answer that is complete and waits to be written keeps its place, whatever comes meanwhile."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from gateway.server import GatewayProtocol
from tests.gateway.application import seen, serve_application, wait_for
from tests.gateway.test_server_time import POST, connect, read_to_end


@pytest.fixture
def port() -> Iterator[int]:
    with serve_application(GatewayProtocol) as port:
        yield port


def pay(port: int) -> None:
    with connect(port) as other:
        other.sendall(POST % (b"/pay", 0))
        assert other.recv(65_536).endswith(b"paid")


def owe(client: socket.socket) -> None:
    client.sendall(POST % (b"/later", 0))
    wait_for(lambda: "later" in seen)


def is_silent(client: socket.socket) -> bool:
    client.settimeout(0.1)
    try:
        client.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return True
    finally:
        client.settimeout(10)
    return False


def test_it_is_written_when_it_may_be_and_the_connection_goes_on(port: int) -> None:
    with connect(port) as client:
        owe(client)
        assert is_silent(client)
        pay(port)
        assert client.recv(65_536).endswith(b"content-length: 4\r\n\r\nowed")
        client.sendall(POST % (b"/echo", 2) + b"hi")
        assert client.recv(65_536).endswith(b"\r\n\r\nhi")


def test_a_refusal_of_what_follows_never_stands_in_its_place(port: int) -> None:
    with connect(port) as client:
        owe(client)
        client.sendall(b"NONSENSE\r\n\r\n")
        assert read_to_end(client) == b""
    pay(port)
    wait_for(seen["later_task"].done)
    assert seen["later_task"].exception() is None


def test_a_caller_that_left_is_written_nothing(port: int) -> None:
    with connect(port) as client:
        owe(client)
    pay(port)
    wait_for(seen["later_task"].done)
    assert seen["later_task"].exception() is None


def test_a_server_that_ends_writes_it_and_closes() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "tests.gateway.application", str(port)]
    process = subprocess.Popen(command)
    try:
        wait_for(lambda: can_connect(port))
        with connect(port) as client, connect(port) as other:
            other.sendall(POST % (b"/slower", 0))
            client.sendall(POST % (b"/later", 0))
            assert is_silent(client)
            other.sendall(POST % (b"/pay", 0))
            process.send_signal(signal.SIGTERM)
            assert is_silent(client)
            assert read_to_end(client).endswith(b"owed")
        process.wait(10)
    finally:
        process.kill()
        process.wait()


def can_connect(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False
