"""Connections to known gateway processes: several share a port, and the kernel chooses for us.

A line is an HTTP client with one kept-alive connection; who holds its other end is read from
/proc, so a test can speak to each process by name.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit

import httpx2

from tests.processes import find_holder

MOST_ATTEMPTS = 2000
ONE_CONNECTION = httpx2.Limits(max_connections=1, max_keepalive_connections=1)
Lines = dict[int, list[httpx2.AsyncClient]]


@asynccontextmanager
async def open_lines(url: str, pids: Sequence[int], *, each: int = 1) -> AsyncIterator[Lines]:
    """Lines to every one of these processes, `each` to every; they close with the block."""
    lines: Lines = {pid: [] for pid in pids}
    async with AsyncExitStack() as stack:
        for _ in range(MOST_ATTEMPTS):
            if all(len(found) == each for found in lines.values()):
                break
            line = httpx2.AsyncClient(
                base_url=url, limits=ONE_CONNECTION, timeout=30, verify=False, trust_env=False
            )
            pid = await find_answerer(line, list(pids))
            if pid is not None and len(lines[pid]) < each:
                lines[pid].append(line)
                stack.push_async_callback(line.aclose)
            else:
                await line.aclose()
        missing = {pid: len(found) for pid, found in lines.items() if len(found) < each}
        assert not missing, f"after {MOST_ATTEMPTS} connections some have too few: {missing}"
        yield lines


async def find_answerer(line: httpx2.AsyncClient, pids: list[int]) -> int | None:
    """The process that holds the other end of a line."""
    async with line.stream("GET", "/healthz") as answer:
        own = answer.extensions["network_stream"].get_extra_info("client_addr")
        await answer.aread()
        port = urlsplit(str(line.base_url)).port
        return find_holder(int(port or 80), int(own[1]), pids)
