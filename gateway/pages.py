"""Django's pages, kept from taking what calls stand on: threads, connections, memory and disk.

Django answers a request in a thread of its own, with a connection to the database of its own, and
puts a body of any size on the disk. Strangers may ask for pages, so here a body is read whole and
bounded before anything else, few pages are made at a time, and few wait for their turn. A page is
taken from Django whole, so that who reads it slowly keeps no thread from the next.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
from asgiref.sync import ThreadSensitiveContext
from asgiref.typing import (
    ASGIReceiveCallable,
    ASGIReceiveEvent,
    ASGISendCallable,
    ASGISendEvent,
    HTTPScope,
)

from billing.usage import new_id
from gateway.caller import Caller, HungUp
from gateway.errors import GatewayError, TooManyPages, error_headers

Application = Callable[..., Awaitable[None]]
Answer = deque[ASGISendEvent]

# Each has a thread and a connection to the database, which it keeps.
PAGES_AT_ONCE = 6
PAGES_WAITING = 200
# What Django's own forms may hold (DATA_UPLOAD_MAX_MEMORY_SIZE); nothing here takes files.
MAX_BODY_BYTES = 2_621_440
# What may wait in a process for those who read slowly.
UNREAD_BYTES = 64 * 2**20


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
        self._unread = Unread()

    async def __call__(
        self, scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        caller = Caller(scope, receive, send, call_id=new_id())
        try:
            body = await caller.read_body(MAX_BODY_BYTES)
            if self._waiting >= PAGES_WAITING:
                raise TooManyPages
            answer = await self._take_turn(scope, replay(body, receive))
            await self._unread.deliver(answer, scope, receive, send)
        except GatewayError as error:
            await refuse(caller, error)
        except HungUp:
            return

    async def _take_turn(self, scope: HTTPScope, receive: ASGIReceiveCallable) -> Answer:
        """Have the page made when it is its turn, and return it."""
        answer: Answer = deque()

        async def keep(message: ASGISendEvent) -> None:
            answer.append(message)

        self._waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self._waiting -= 1
        # The last one that was used: its connection is the likeliest to be there still.
        worker = self._free.pop()
        try:
            async with ThreadSensitiveContext(executor=worker):
                await self._application(scope, receive, keep)
        finally:
            self._free.append(worker)
            self._turn.release()
        return answer

    def close(self) -> None:
        """Let the threads go; no page is being made any more."""
        for worker in self._workers:
            worker.shutdown(wait=False)


class Unread:
    """Pages that are made and not read yet. Belongs to one event loop."""

    def __init__(self) -> None:
        # How large each is, the one that has waited longest first.
        self._sizes: dict[asyncio.Timeout, int] = {}

    async def deliver(
        self, answer: Answer, scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Send a page, however slowly it is read, unless too much waits to be read by then."""
        try:
            async with asyncio.timeout(None) as limit:
                self._sizes[limit] = sum(measure(message) for message in answer)
                self._make_room()
                while answer:
                    await send(answer.popleft())
        except TimeoutError:
            await hang_up(scope, receive)
        finally:
            self._sizes.pop(limit, None)

    def _make_room(self) -> None:
        """Give up those that have waited longest; the newest stays."""
        now = asyncio.get_running_loop().time()
        while len(self._sizes) > 1 and sum(self._sizes.values()) > UNREAD_BYTES:
            slowest = next(iter(self._sizes))
            del self._sizes[slowest]
            slowest.reschedule(now)


def measure(message: ASGISendEvent) -> int:
    # The last message of an answer in parts has none.
    return len(message.get("body", b"")) if message["type"] == "http.response.body" else 0


async def hang_up(scope: HTTPScope, receive: ASGIReceiveCallable) -> None:
    """End the connection in the middle of an answer, and return when it has ended."""
    offered: Any = (scope.get("extensions") or {}).get("tollgate") or {}
    if abort := offered.get("abort"):
        abort()
        await receive()


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
