"""Requests written by hand, because no client would write them, and what is answered."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from local.provider import RunningProvider
from tests.calls.serving import PATH, Served

CLOSE = b"connection: close\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n"


@dataclass(frozen=True)
class Heard:
    """Everything that came until the server closed the connection."""

    raw: bytes

    @property
    def statuses(self) -> list[int]:
        return [int(status) for status in re.findall(rb"^HTTP/1\.1 (\d{3}) ", self.raw, re.M)]

    @property
    def head(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[0]

    def json(self) -> Any:
        return json.loads(self.raw.partition(b"\r\n\r\n")[2])


def post(key: str | bytes, headers: bytes = b"", body: bytes = b"", *, path: str = PATH) -> bytes:
    """A request with a key; framing headers are the test's."""
    token = key.encode() if isinstance(key, str) else key
    head = b"POST %b HTTP/1.1\r\nhost: gateway.example\r\n" % path.encode()
    return head + b"authorization: Bearer " + token + b"\r\n" + headers + b"\r\n" + body


def length(body: bytes) -> bytes:
    return b"content-length: %d\r\n" % len(body)


async def say(url: str, *parts: bytes, seconds: float = 10) -> Heard:
    """Send the parts one after the other and hear the server out, also one that has answered and
    hung up before it was told everything."""
    where, loop = urlsplit(url), asyncio.get_running_loop()
    received = b""
    with socket.socket() as connection:
        connection.setblocking(False)
        await loop.sock_connect(connection, (where.hostname, where.port))
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(seconds):
                with contextlib.suppress(ConnectionError):
                    for part in parts:
                        await loop.sock_sendall(connection, part)
                        await asyncio.sleep(0)
                while data := await loop.sock_recv(connection, 65_536):
                    received += data
    return Heard(received)


async def check_nothing_left(served: Served, provider: RunningProvider) -> None:
    """Nothing reached the provider, nothing is held, and the next caller is served."""
    assert provider.received()["total"] == 0
    await served.settled()
    process = served.process.ledger.process
    assert process.open_holds == 0
    assert all(w.taken == 0 for w in process.allowances.all())
    good = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}], "max_tokens": 10}
    answer = await served.post(good)
    assert answer.status_code == 200
