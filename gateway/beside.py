"""Work on large bodies, done beside the loop that serves everybody.

A thread gives way every few milliseconds, so however long a body takes to be read, translated and
bounded, other calls wait no longer than that. Two bodies at a time; a third waits for its turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# Below this not even the most crowded body holds the loop for 50 ms. A thread costs 0.1 ms.
LARGE_BYTES = 128 * 2**10

_threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="large-body")


async def beside(function: Callable[[*Ts], T], *arguments: *Ts) -> T:
    """Call a function in a thread of its own; return what it returns, raise what it raises."""
    return await asyncio.get_running_loop().run_in_executor(_threads, function, *arguments)
