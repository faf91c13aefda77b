"""Callers by the hundred, and what each was told: made from a seed, so that a run can be repeated.

A caller is one kept-alive connection. All of them live in a thread and event loop of their own, so
a test in the main thread may take its time to break something and nobody's wait is measured too
long. Nothing is retried: every refusal, broken answer and wait is an Outcome.

    with load.bursting(200):                        # the block's end waits for all of them
        load.until_under_way(100)
        os.kill(...)
    with load.flowing(24, pause_seconds=0.1):       # again and again, until the block ends
        ...
"""

import asyncio
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from local.children import wait_until

END_OF_STREAM = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call went. `kind` is answered, refused, or broken; `code` says how exactly.

    `began` is time.monotonic(), `seconds` lasts until the last byte or the failure, `tokens` is the
    cap that was asked for.
    """

    kind: str
    code: str
    status: int
    call_id: str
    began: float
    seconds: float
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: a model whose answers are as long as its cap, streamed or whole."""

    model: str
    tokens: int
    stream: bool

    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": "user", "content": "Go on."}],
            "max_tokens": self.tokens,
        }
        return body | {"stream": True} if self.stream else body


@dataclass
class Load:
    """Calls of some keys to some gateways, and all their outcomes."""

    urls: Sequence[str]
    keys: Sequence[str]
    asks: Sequence[Ask]
    seed: int
    outcomes: list[Outcome] = field(default_factory=list)
    under_way: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def burst(self, calls: int) -> None:
        """So many calls at once; returns when all have ended."""
        with self.bursting(calls):
            pass

    def bursting(self, calls: int) -> AbstractContextManager[None]:
        """So many calls at once, while the block runs; its end waits for them."""
        return _in_background(self._burst(calls))

    @contextmanager
    def flowing(self, callers: int, *, pause_seconds: float) -> Iterator[None]:
        """So many callers, each with its next call a moment after the last, as long as the block
        runs; its end waits for what they ask then."""
        ended = threading.Event()
        with _in_background(self._flow(callers, ended, pause_seconds)):
            try:
                yield
            finally:
                ended.set()

    def until_under_way(self, calls: int, *, seconds: float = 10) -> None:
        assert wait_until(lambda: self.under_way >= calls, seconds), f"only {self.under_way}"

    def until_answered_again(self, *, seconds: float, at_most: float) -> None:
        """Wait until nobody was refused for so long."""
        deadline = time.monotonic() + at_most
        since = time.monotonic()
        while time.monotonic() - since < seconds:
            time.sleep(0.05)
            since = max([since, *(o.began for o in self.refused())])
            assert time.monotonic() < deadline, f"refused all the time: {self.describe()}"

    def count(self) -> Counter[str]:
        """Outcomes by kind, and refusals by their code."""
        return Counter(o.code if o.kind == "refused" else o.kind for o in self.outcomes)

    def describe(self) -> str:
        return ", ".join(f"{name} {n}" for name, n in sorted(self.count().items()))

    def refused(self, *, since: float = 0.0, until: float = float("inf")) -> list[Outcome]:
        return [o for o in self.outcomes if o.kind == "refused" and since <= o.began < until]

    async def _burst(self, calls: int) -> None:
        async with open_session() as session:
            await asyncio.gather(*(self._call(session) for _ in range(calls)))

    async def _flow(self, callers: int, ended: threading.Event, pause_seconds: float) -> None:
        async def go_on(session: aiohttp.ClientSession) -> None:
            while not ended.is_set():
                await self._call(session)
                await asyncio.sleep(pause_seconds * self._random.uniform(0.5, 1.5))

        async with open_session() as session:
            await asyncio.gather(*(go_on(session) for _ in range(callers)))

    async def _call(self, session: aiohttp.ClientSession) -> None:
        url, key = self._random.choice(self.urls), self._random.choice(self.keys)
        ask = self._random.choice(self.asks)
        self.under_way += 1
        try:
            self.outcomes.append(await call(session, url=url, key=key, ask=ask))
        finally:
            self.under_way -= 1


@contextmanager
def _in_background(work: Coroutine[Any, Any, None]) -> Iterator[None]:
    """Run it in a thread while the block runs, and raise what it raised."""
    with ThreadPoolExecutor(1, thread_name_prefix="load") as thread:
        done = thread.submit(asyncio.run, work)
        yield
        done.result()


def open_session() -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=0, force_close=False)
    return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=120))


async def call(session: aiohttp.ClientSession, *, url: str, key: str, ask: Ask) -> Outcome:
    """Make one call, and say how it went."""
    began = time.monotonic()
    headers = {"authorization": f"Bearer {key}"}
    try:
        async with session.post(
            f"{url}/v1/chat/completions", json=ask.body(), headers=headers
        ) as answer:
            data = await answer.read()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        code = type(error).__name__
        return Outcome("broken", code, 0, "", began, time.monotonic() - began, ask.tokens)
    kind, code = judge(answer.status, data, ask)
    call_id = answer.headers.get("x-request-id", "")
    seconds = time.monotonic() - began
    return Outcome(kind, code, answer.status, call_id, began, seconds, ask.tokens)


def judge(status: int, data: bytes, ask: Ask) -> tuple[str, str]:
    """Whether an answer is whole, a refusal by its code, or broken off."""
    if status != 200:
        return "refused", str(json.loads(data)["error"]["code"])
    if not ask.stream:
        return ("answered", "") if "usage" in json.loads(data) else ("broken", "no usage")
    return ("answered", "") if data.endswith(END_OF_STREAM) else ("broken", "cut stream")
