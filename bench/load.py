"""The load: `python -m bench.load URL --connections N --seconds S [--header H] [--body JSON]`.

With `--keys FILE` every request carries one of the keys in it, one a line, the first most often: so
often, by rank, as Zipf's law has it.

A closed loop of keep-alive connections in a process of its own: each sends its next request when
the last one is answered. Prints one JSON object. Knows no more HTTP than the servers measured
here speak: a content-length or chunks.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

HEAD_END = b"\r\n\r\n"
LAST_CHUNK = b"\r\n0\r\n\r\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--header", action="append", default=[])
    parser.add_argument("--body", default="{}")
    parser.add_argument("--keys", type=Path)
    options = parser.parse_args()
    keys = options.keys.read_text().split() if options.keys else []
    headers = [[f"authorization: Bearer {key}", *options.header] for key in keys]
    requests = [write_request(options.url, h, options.body) for h in headers or [options.header]]
    load = Load(requests, options.seconds)
    address = urlsplit(options.url)
    uvloop.run(load.run(str(address.hostname), int(address.port or 80), options.connections))
    print(json.dumps(load.report()))


def write_request(url: str, headers: list[str], body: str) -> bytes:
    """Write what an SDK would send, as bytes."""
    parts = urlsplit(url)
    lines = [
        f"POST {parts.path} HTTP/1.1",
        f"host: {parts.netloc}",
        "user-agent: OpenAI/Python 3.54.0",
        "accept: application/json",
        "accept-encoding: gzip, deflate",
        "x-stainless-lang: python",
        "x-stainless-retry-count: 0",
        "content-type: application/json",
        f"content-length: {len(body)}",
        *headers,
    ]
    return "\r\n".join([*lines, "", body]).encode()


class Load:
    """All connections together, and what they saw."""

    def __init__(self, requests: Sequence[bytes], seconds: float) -> None:
        weights = [1 / rank for rank in range(1, len(requests) + 1)]
        # The same traffic in every run.
        self.requests = cycle(random.Random(7).choices(requests, weights, k=100_000))
        self.seconds = seconds
        self.ends_at = 0.0
        self.took: list[float] = []
        self.refused: dict[str, int] = {}
        self.broken = 0
        self._open = 0
        self._done: asyncio.Future[None] | None = None

    async def run(self, host: str, port: int, connections: int) -> None:
        loop = asyncio.get_running_loop()
        self._open = connections
        self._done = loop.create_future()
        started = time.perf_counter()
        self.ends_at = started + self.seconds
        for _ in range(connections):
            await loop.create_connection(lambda: Caller(self), host, port)
        await self._done
        self.seconds = time.perf_counter() - started

    def note_end(self) -> None:
        self._open -= 1
        if self._open == 0 and self._done is not None:
            self._done.set_result(None)

    def report(self) -> dict[str, object]:
        """`answered` counts 200s; `p50_ms` is of those; anything else is named."""
        took = sorted(self.took)
        return {
            "answered": len(took),
            "seconds": self.seconds,
            "per_second": len(took) / self.seconds,
            "p50_ms": took[len(took) // 2] * 1000 if took else None,
            "refused": self.refused,
            "broken": self.broken,
        }


class Caller(asyncio.Protocol):
    """One connection."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._received = bytearray()
        self._length: int | None = None
        self._has_head = False
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._received.clear()
        self._has_head = False
        self._sent_at = time.perf_counter()
        self._transport.write(next(self._load.requests))

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._has_head and not self._read_head():
            return
        if self._length is None:
            if self._received.endswith(LAST_CHUNK):
                self._note_answer()
        elif len(self._received) >= self._length:
            self._note_answer()

    def _read_head(self) -> bool:
        end = self._received.find(HEAD_END)
        if end < 0:
            return False
        head = bytes(self._received[:end]).lower()
        _, found, rest = head.partition(b"content-length: ")
        self._length = end + 4 + int(rest.partition(b"\r\n")[0]) if found else None
        self._has_head = True
        return True

    def _note_answer(self) -> None:
        now = time.perf_counter()
        status = self._received[9:12].decode()
        if status == "200":
            self._load.took.append(now - self._sent_at)
        else:
            self._load.refused[status] = self._load.refused.get(status, 0) + 1
        if now < self._load.ends_at:
            self._send()
        else:
            self._sent_at = 0.0
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.broken += self._sent_at != 0.0
        self._load.note_end()


if __name__ == "__main__":
    main()
