"""Callers by the hundred, and what each was told: made from a seed, so that a run can be repeated.

A caller is one kept-alive connection in the test's own loop. Nothing is retried: every refusal,
broken answer and wait is an Outcome.
"""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

END_OF_STREAM = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call went. `kind` is answered, refused, or broken; `code` says how exactly.

    `began` is time.monotonic(), `seconds` lasts until the last byte or the failure.
    """

    kind: str
    code: str
    status: int
    call_id: str
    began: float
    seconds: float


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

    async def burst(self, calls: int) -> None:
        """So many calls at once."""
        async with open_session() as session:
            await asyncio.gather(*(self._call(session) for _ in range(calls)))

    async def flow(self, callers: int, ended: asyncio.Event, *, pause_seconds: float) -> None:
        """So many callers, each with its next call a moment after the last, until `ended`."""

        async def go_on(session: aiohttp.ClientSession) -> None:
            while not ended.is_set():
                await self._call(session)
                await asyncio.sleep(pause_seconds * self._random.uniform(0.5, 1.5))

        async with open_session() as session:
            await asyncio.gather(*(go_on(session) for _ in range(callers)))

    async def until_under_way(self, calls: int, *, seconds: float = 10) -> None:
        async with asyncio.timeout(seconds):
            while self.under_way < calls:
                await asyncio.sleep(0.005)

    def count(self) -> Counter[str]:
        """Outcomes by kind, and refusals by their code."""
        return Counter(o.code if o.kind == "refused" else o.kind for o in self.outcomes)

    def describe(self) -> str:
        return ", ".join(f"{name} {n}" for name, n in sorted(self.count().items()))

    def refused(self, *, since: float = 0.0, until: float = float("inf")) -> list[Outcome]:
        return [o for o in self.outcomes if o.kind == "refused" and since <= o.began < until]

    async def _call(self, session: aiohttp.ClientSession) -> None:
        url, key = self._random.choice(self.urls), self._random.choice(self.keys)
        ask = self._random.choice(self.asks)
        self.under_way += 1
        try:
            self.outcomes.append(await call(session, url=url, key=key, ask=ask))
        finally:
            self.under_way -= 1


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
        return Outcome("broken", code, 0, "", began, time.monotonic() - began)
    kind, code = judge(answer.status, data, ask)
    call_id = answer.headers.get("x-request-id", "")
    return Outcome(kind, code, answer.status, call_id, began, time.monotonic() - began)


def judge(status: int, data: bytes, ask: Ask) -> tuple[str, str]:
    """Whether an answer is whole, a refusal by its code, or broken off."""
    if status != 200:
        return "refused", str(json.loads(data)["error"]["code"])
    if not ask.stream:
        return ("answered", "") if "usage" in json.loads(data) else ("broken", "no usage")
    return ("answered", "") if data.endswith(END_OF_STREAM) else ("broken", "cut stream")
