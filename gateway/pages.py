"""Django's pages, kept from taking what calls stand on: threads, connections, memory and disk.

Django answers a request in a thread of its own, with a connection to the database of its own, and
puts a body of any size on the disk. Strangers may ask for pages, so here a body is read whole and
bounded before anything else, few pages are made at a time, and few wait for their turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
from asgiref.sync import ThreadSensitiveContext
from asgiref.typing import ASGIReceiveCallable, ASGIReceiveEvent, ASGISendCallable, HTTPScope

from billing.usage import new_id
from gateway.caller import Caller, HungUp
from gateway.errors import GatewayError, TooManyPages, error_headers

Application = Callable[..., Awaitable[None]]

# Each has a thread and a connection to the database, which it keeps.
PAGES_AT_ONCE = 6
PAGES_WAITING = 200
# What Django's own forms may hold (DATA_UPLOAD_MAX_MEMORY_SIZE); nothing here takes files.
MAX_BODY_BYTES = 2_621_440


class Pages:
    """An ASGI application around Django's. Belongs to one event loop."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._workers = [
            ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"page-{number}")
            for number in range(PAGES_AT_ONCE)
        ]
        self._free = self._workers.copy()
        self._turn = asyncio.Semaphore(PAGES_AT_ONCE)
        self._waiting = 0

    async def __call__(
        self, scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        caller = Caller(scope, receive, send, call_id=new_id())
        try:
            body = await caller.read_body(MAX_BODY_BYTES)
            if self._waiting >= PAGES_WAITING:
                raise TooManyPages
            await self._take_turn(scope, replay(body, receive), send)
        except GatewayError as error:
            await refuse(caller, error)
        except HungUp:
            return

    async def _take_turn(
        self, scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        self._waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self._waiting -= 1
        # The last one that was used: its connection is the likeliest to be there still.
        worker = self._free.pop()
        try:
            async with ThreadSensitiveContext(executor=worker):
                await self._application(scope, receive, send)
        finally:
            self._free.append(worker)
            self._turn.release()

    def close(self) -> None:
        """Let the threads go; no page is being made any more."""
        for worker in self._workers:
            worker.shutdown(wait=False)


def replay(body: bytes, receive: ASGIReceiveCallable) -> ASGIReceiveCallable:
    """Return what gives a body that was read already, and then what really comes."""
    first: list[ASGIReceiveEvent] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> ASGIReceiveEvent:
        return first.pop() if first else await receive()

    return receive_again


async def refuse(caller: Caller, error: GatewayError) -> None:
    """Tell what is wrong in the management API's shape, which is also plain enough for people."""
    body: dict[str, Any] = {
        "error": {
            "code": error.code,
            "message": error.message,
            "field": error.field,
            "request_id": caller.call_id,
        }
    }
    headers = error_headers(error, caller.call_id)
    await caller.respond(error.status, headers, msgspec.json.encode(body))
