"""Threads for what is read from the database beside the calls: few, and few waiting for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connections

from gateway.errors import OfficeBusy

T = TypeVar("T")

THREADS = 2
MOST_AT_ONCE = 40
PATIENCE_SECONDS = 30.0


class Office:
    """Runs functions that use Django's ORM. Belongs to one event loop."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="office")
        self._under_way = 0

    async def run(self, function: Callable[[], T]) -> T:
        """Return what the function returns. Raises OfficeBusy at once where too many wait, and
        after a while where the database does not answer: the thread goes on then."""
        if self._under_way >= MOST_AT_ONCE:
            raise OfficeBusy
        loop = asyncio.get_running_loop()
        self._under_way += 1
        task = loop.run_in_executor(self._threads, _with_a_connection, function)
        task.add_done_callback(self._note_end)
        try:
            return await asyncio.wait_for(asyncio.shield(task), PATIENCE_SECONDS)
        except TimeoutError:
            raise OfficeBusy from None

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _note_end(self, task: asyncio.Future[T]) -> None:
        self._under_way -= 1
        if not task.cancelled():
            task.exception()  # Looked at: nobody may be waiting for it any more.


def _with_a_connection(function: Callable[[], T]) -> T:
    """Call it, and leave no connection behind: mostly these threads have nothing to do."""
    try:
        return function()
    finally:
        connections.close_all()
