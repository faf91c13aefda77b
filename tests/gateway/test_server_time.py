"""How long a caller may take, what happens when it leaves, and how the server ends."""

from __future__ import annotations

import contextlib
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from gateway.server import GatewayProtocol
from tests.gateway.application import seen, serve_application, wait_for

POST = b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"


class Hasty(GatewayProtocol):
    head_seconds = 0.3
    body_seconds = 0.3
    body_bytes_per_second = 100
    body_longest_seconds = 2.0
    write_seconds = 1.0
    linger_seconds = 0.2
    sweep_seconds = 0.02


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serve_application(Hasty, timeout_keep_alive=1) as port:
        yield port


@contextlib.contextmanager
def connect(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        yield client


def read_to_end(client: socket.socket) -> bytes:
    received = b""
    with contextlib.suppress(ConnectionError):
        while data := client.recv(65_536):
            received += data
    return received


def drip(client: socket.socket, data: bytes, pause_seconds: float) -> float:
    """Send byte by byte until the server has had enough; return how long that took."""
    started = time.monotonic()
    with contextlib.suppress(OSError):
        for byte in data:
            client.sendall(bytes([byte]))
            time.sleep(pause_seconds)
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                if client.recv(1, socket.MSG_PEEK) is not None:
                    break
            client.settimeout(10)
    client.settimeout(10)
    return time.monotonic() - started


def flow(client: socket.socket, size: int, *, bytes_per_second: int) -> float:
    """Send as many bytes as are due by the clock, also when this machine had other work, until
    the server has had enough; return how long that took."""
    started, sent = time.monotonic(), 0
    with contextlib.suppress(OSError):
        while sent < size and not select.select([client], [], [], 0.01)[0]:
            due = min(int((time.monotonic() - started) * bytes_per_second), size)
            client.sendall(b"x" * (due - sent))
            sent = due
    return time.monotonic() - started


def test_a_connection_that_asks_nothing_is_closed_without_a_word(port: int) -> None:
    with connect(port) as client:
        assert read_to_end(client) == b""


def test_a_head_in_drips_gets_no_more_time_for_each_drip(port: int) -> None:
    with connect(port) as client:
        assert drip(client, b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 100, 0.05) < 3
        received = read_to_end(client)
    assert received.startswith(b"HTTP/1.1 408 ")
    assert b"request_timeout" in received


def test_the_head_of_the_next_request_has_the_same_limit(port: int) -> None:
    with connect(port) as client:
        client.sendall(POST % (b"/echo", 0))
        assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")
        client.sendall(b"POST /echo HT")
        assert read_to_end(client).startswith(b"HTTP/1.1 408 ")


def test_an_idle_connection_is_kept_for_its_time_and_then_closed(port: int) -> None:
    with connect(port) as client:
        started = time.monotonic()
        client.sendall(POST % (b"/echo", 0))
        client.recv(65_536)
        assert read_to_end(client) == b""
        assert time.monotonic() - started > 0.9


def test_a_body_in_drips_is_refused_and_the_application_told(port: int) -> None:
    seen["echo"] = "nothing yet"
    with connect(port) as client:
        client.sendall(POST % (b"/echo", 1_000))
        assert drip(client, b"x" * 1_000, 0.05) < 3
        assert read_to_end(client).startswith(b"HTTP/1.1 408 ")
    wait_for(lambda: seen["echo"] is None)


def test_a_body_that_keeps_up_may_take_longer_but_not_for_ever(port: int) -> None:
    with connect(port) as client:
        client.sendall(POST % (b"/echo", 300))
        assert flow(client, 300, bytes_per_second=500) > 0.5
        assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")
    with connect(port) as client:
        started = time.monotonic()
        client.sendall(POST % (b"/echo", 5_000))
        flow(client, 5_000, bytes_per_second=500)
        assert read_to_end(client).startswith(b"HTTP/1.1 408 ")
        assert 1.9 < time.monotonic() - started < 8


def test_a_slow_answer_is_waited_for(port: int) -> None:
    with connect(port) as client:
        client.sendall(POST % (b"/slow", 0))
        assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")


def test_a_caller_that_does_not_read_brakes_the_application_and_is_cut_off(port: int) -> None:
    seen.pop("endless_gone", None)
    with connect(port) as client:
        client.sendall(POST % (b"/endless", 0))
        wait_for(lambda: seen.get("endless_gone"))
        assert seen["endless"] < 2**25


def test_a_caller_that_reads_slowly_is_served_on(port: int) -> None:
    with connect(port) as client:
        client.sendall(POST % (b"/endless", 0))
        ends_at = time.monotonic() + 1
        while time.monotonic() < ends_at:
            assert client.recv(2**20)
            time.sleep(0.001)


@pytest.mark.parametrize("reset", [False, True])
def test_the_application_is_called_when_the_caller_leaves(port: int, reset: bool) -> None:
    seen.pop("watched", None)
    with connect(port) as client:
        client.sendall(POST % (b"/watched", 0))
        wait_for(lambda: seen.get("watched") == "waiting")
        if reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    wait_for(lambda: seen["watched"] == "gone")


def test_nothing_after_the_answer_is_a_hang_up(port: int) -> None:
    with connect(port) as client:
        client.sendall(POST % (b"/counted", 0))
        assert b"complete" in client.recv(65_536)
    with connect(port) as client:
        client.sendall(POST % (b"/echo", 0))
        client.recv(65_536)
    assert seen["counted"] == 0


def test_the_server_leaves_no_connection_behind() -> None:
    started = time.monotonic()
    with serve_application(GatewayProtocol) as port:
        idle = socket.create_connection(("127.0.0.1", port))
        idle.sendall(POST % (b"/echo", 0))
        idle.recv(65_536)
        fresh = socket.create_connection(("127.0.0.1", port))
    assert time.monotonic() - started < 5
    for client in (idle, fresh):
        assert read_to_end(client) == b""
        client.close()


def start_process() -> tuple[subprocess.Popen[bytes], int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "tests.gateway.application", str(port)])

    def is_up() -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return True
        return False

    wait_for(is_up, 20)
    return process, port


def test_sigterm_lets_running_calls_finish_and_takes_no_new_ones() -> None:
    process, port = start_process()
    try:
        with connect(port) as running, connect(port) as idle:
            running.sendall(POST % (b"/slow", 0))
            for _ in range(2):  # Whoever asks after it is answered when it was read.
                idle.sendall(POST % (b"/echo", 0))
                idle.recv(65_536)
            process.send_signal(signal.SIGTERM)
            assert read_to_end(idle) == b""
            received = read_to_end(running)
            with pytest.raises(OSError):
                socket.create_connection(("127.0.0.1", port)).close()
        assert re.match(rb"HTTP/1.1 200 .*done$", received, re.DOTALL)
        assert process.wait(10) in {0, -signal.SIGTERM}
    finally:
        process.kill()
        process.wait()
