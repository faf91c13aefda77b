"""A small ASGI application, and uvicorn with our protocol around it, for tests of the server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import uvicorn

from gateway.server import GatewayProtocol

# What the application noticed, by path.
seen: dict[str, Any] = {}


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Do what the path says; /echo by default."""
    name = scope["path"].strip("/").replace("/", "_") or "echo"
    await globals().get(f"do_{name}", do_echo)(scope, receive, send)


async def read_body(receive: Any) -> bytes | None:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += bytes(message["body"])
        if not message["more_body"]:
            return body


async def answer(send: Any, body: bytes, status: int = 200) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def do_echo(scope: Any, receive: Any, send: Any) -> None:
    body = await read_body(receive)
    seen["echo"] = body
    if body is not None:
        await answer(send, body)


async def do_headers(scope: Any, receive: Any, send: Any) -> None:
    await read_body(receive)
    names = [name.decode() for name, _ in scope["headers"]]
    await answer(send, json.dumps(names).encode())


async def do_early(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, b"too large", 413)


async def do_slow(scope: Any, receive: Any, send: Any) -> None:
    await read_body(receive)
    await asyncio.sleep(0.5)
    await answer(send, b"done")


async def do_slower(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.sleep(1.5)
    await do_slow(scope, receive, send)


async def do_head_first(scope: Any, receive: Any, send: Any) -> None:
    """Send the head, and the body only when it is asked for by another request."""
    seen["head_first"] = asyncio.Event()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await seen["head_first"].wait()
    await send({"type": "http.response.body", "body": b"and the body"})


async def do_release(scope: Any, receive: Any, send: Any) -> None:
    seen["head_first"].set()
    await answer(send, b"")


async def do_later(scope: Any, receive: Any, send: Any) -> None:
    """Complete the answer, and leave it to another request to have it written."""
    await read_body(receive)
    written = asyncio.Event()

    def when(write: Any) -> None:
        async def wait() -> None:
            await written.wait()
            write()

        seen["later_task"] = asyncio.create_task(wait())

    seen["later"] = written
    scope["extensions"]["tollgate"]["respond"](200, b"", b"owed", when=when)


async def do_pay(scope: Any, receive: Any, send: Any) -> None:
    seen["later"].set()
    await answer(send, b"paid")


async def do_watched(scope: Any, receive: Any, send: Any) -> None:
    """Wait for the hang-up by the callback alone, then answer into the void."""
    await read_body(receive)
    gone = asyncio.Event()
    scope["extensions"]["tollgate"]["on_disconnect"](gone.set)
    seen["watched"] = "waiting"
    await gone.wait()
    seen["watched"] = "gone"
    await answer(send, b"nobody hears this")


async def do_counted(scope: Any, receive: Any, send: Any) -> None:
    """Complete the answer; nothing that happens later is a hang-up."""
    seen["counted"] = 0

    def count() -> None:
        seen["counted"] += 1

    scope["extensions"]["tollgate"]["on_disconnect"](count)
    await answer(send, b"complete")


async def do_endless(scope: Any, receive: Any, send: Any) -> None:
    """Send until the caller is gone; how much was taken from us shows whether there is a brake."""
    gone = asyncio.Event()
    scope["extensions"]["tollgate"]["on_disconnect"](gone.set)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    seen["endless"] = 0
    while not gone.is_set():
        await send({"type": "http.response.body", "body": bytes(65_536), "more_body": True})
        seen["endless"] += 65_536
        await asyncio.sleep(0)
    seen["endless_gone"] = True


def configure(protocol: type[GatewayProtocol], **options: Any) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        http=protocol,
        loop="uvloop",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        **options,
    )


@contextlib.contextmanager
def serve_application(protocol: type[GatewayProtocol], **options: Any) -> Iterator[int]:
    """Run the server in a thread and give its port; its end must be orderly."""
    seen.clear()
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(configure(protocol, **options))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        wait_for(lambda: server.started)
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(20)
    assert not thread.is_alive()


def wait_for(condition: Any, seconds: float = 10.0) -> None:
    ends_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends_at, "it did not happen in time"
        time.sleep(0.01)


if __name__ == "__main__":
    uvicorn.Server(configure(GatewayProtocol, port=int(sys.argv[1]))).run()
