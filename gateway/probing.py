"""Does a provider answer? One small real call to it, along the way that calls go.

It is made for an operator who asks, is counted for nobody and held by no quota; the provider may
bill its few tokens. What comes back is for operators: the provider's own words, without anything
that could be a key.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec
from django.conf import settings

from gateway.credentials import CredentialError, Secret, open_sealed
from gateway.errors import show_to_operator
from gateway.models import Protocol, Provider
from gateway.upstream import Target, Timeouts, Upstream, UpstreamError, check_base_url

TIMEOUTS = Timeouts(
    connect_seconds=5.0, first_byte_seconds=30.0, idle_seconds=15.0, total_seconds=45.0
)
# Each holds one of the few threads that pages are made in (pages.py) for as long as it takes.
PROBES_AT_ONCE = 2
MAX_ANSWER_BYTES = 256 * 2**10
MAX_OUTPUT_TOKENS = 16
MAX_SHOWN_LENGTH = 300
MAX_NAME_LENGTH = 200  # Of a model, as the provider knows it.
QUESTION = "Reply with the word OK."


_places = threading.BoundedSemaphore(PROBES_AT_ONCE)


class TooManyProbes(Exception):
    """So many providers are being asked that pages would have to wait for another one."""

    def __init__(self) -> None:
        super().__init__(
            f"{PROBES_AT_ONCE} tests of providers are under way here. Try again when one has ended."
        )


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider did. `trouble` says in a sentence what is wrong, and is empty if nothing is.

    `status` is None where no answer came, and times where nothing arrived.
    """

    provider: str
    upstream_model: str
    status: int | None = None
    first_byte_ms: int | None = None
    total_ms: int | None = None
    said: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    trouble: str = ""


def probe(provider: Provider, upstream_model: str) -> Probe:
    """Ask a provider something short, where a route says that calls of the model go. Never raises
    for what the provider is or does; raises TooManyProbes while others are asked.

    Blocks for as long as TIMEOUTS allow, and not in a thread whose event loop runs.
    """
    found = Probe(provider=provider.name, upstream_model=upstream_model)
    try:
        check_base_url(provider.base_url, settings.UPSTREAM_ALLOWED_NETWORKS)
        credential = _open_newest(provider)
    except (CredentialError, ValueError) as error:
        return msgspec.structs.replace(found, trouble=str(error))
    routes = provider.routes.filter(upstream_model=upstream_model, only_responses=True)
    is_openai = provider.protocol == Protocol.OPENAI
    way = _RESPONSES if is_openai and routes.exists() else _WAYS[provider.protocol]
    with take_place():
        return asyncio.run(_Asking(provider, way, credential, found).ask())


@contextmanager
def take_place() -> Iterator[None]:
    """Be one of the few that ask now. Raises TooManyProbes."""
    if not _places.acquire(blocking=False):
        raise TooManyProbes
    try:
        yield
    finally:
        _places.release()


def _open_newest(provider: Provider) -> Secret:
    newest = provider.credentials.first()
    if newest is None:
        raise CredentialError("The provider has no credential.")
    return open_sealed(newest.sealed)


class _Asking:
    """One probe, with what it has found so far."""

    def __init__(self, provider: Provider, way: _Way, credential: Secret, found: Probe) -> None:
        self._way = way
        self._base_url = provider.base_url.rstrip("/")
        self._credential = credential
        self._found = found

    async def ask(self) -> Probe:
        upstream = Upstream(allowed_networks=settings.UPSTREAM_ALLOWED_NETWORKS)
        try:
            status, body = await self._exchange(upstream, self._way.cap)
            if status == 400 and b"max_completion_tokens" in body:
                # OpenAI's reasoning models know the cap under this name alone.
                status, body = await self._exchange(upstream, "max_completion_tokens")
        except UpstreamError as error:
            return self._note(trouble=f"No whole answer came: {self._show(str(error).encode())}")
        finally:
            await upstream.close()
        if 200 <= status < 300:
            return self._read(body)
        return self._note(trouble=f"It answered {status}: {self._show(body) or 'nothing more'}")

    async def _exchange(self, upstream: Upstream, cap: str) -> tuple[int, bytes]:
        started = time.monotonic()
        target = Target(
            self._base_url + self._way.path, [*self._way.prove(self._credential), *_HEADERS]
        )
        answer = upstream.open(
            target,
            body=self._write_body(cap),
            timeouts=TIMEOUTS,
        )
        try:
            await answer.send()
            first_byte_ms = _milliseconds_since(started)
            self._note(status=answer.status, first_byte_ms=first_byte_ms)
            body = await answer.read(MAX_ANSWER_BYTES)
        finally:
            await answer.release()
        self._note(total_ms=_milliseconds_since(started))
        return answer.status, body

    def _write_body(self, cap: str) -> bytes:
        asked = [{"role": "user", "content": QUESTION}]
        return msgspec.json.encode(
            {
                "model": self._found.upstream_model,
                self._way.asked: asked,
                cap: MAX_OUTPUT_TOKENS,
                **self._way.beside,
            }
        )

    def _read(self, body: bytes) -> Probe:
        """Look for the answer's text and its usage: without usage nothing can be metered."""
        try:
            said, usage = self._way.read(msgspec.json.decode(body))
        except (msgspec.DecodeError, LookupError, TypeError, AttributeError):
            shown = self._show(body) or "nothing"
            return self._note(trouble=f"It answered {self._found.status}, but not as such: {shown}")
        self._note(said=self._show(said.encode()))
        counts = [usage.get(name) for name in self._way.counts]
        if not all(isinstance(count, int) for count in counts):
            return self._note(trouble="It reports no usage: each call would cost its upper bound.")
        return self._note(input_tokens=counts[0], output_tokens=counts[1])

    def _note(self, **found: Any) -> Probe:
        self._found = msgspec.structs.replace(self._found, **found)
        return self._found

    def _show(self, said: bytes) -> str:
        shown = show_to_operator(said, credential=self._credential.reveal()).strip()
        return shown if len(shown) <= MAX_SHOWN_LENGTH else f"{shown[:MAX_SHOWN_LENGTH]}…"


class _Way(NamedTuple):
    """How a protocol is spoken: `read` returns an answer's text and the usage that it reports.

    `asked` and `cap` are the names of what is asked and of the output cap.
    """

    path: str
    prove: Callable[[Secret], list[tuple[bytes, bytes]]]
    read: Callable[[Any], tuple[str, Mapping[str, Any]]]
    counts: tuple[str, str]
    asked: str = "messages"
    cap: str = "max_tokens"
    beside: Mapping[str, Any] = {}


def _prove_to_openai(credential: Secret) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", b"Bearer " + credential.reveal().encode())]


def _prove_to_anthropic(credential: Secret) -> list[tuple[bytes, bytes]]:
    return [(b"x-api-key", credential.reveal().encode()), (b"anthropic-version", b"2023-06-01")]


def _read_openai(answer: Any) -> tuple[str, Mapping[str, Any]]:
    return answer["choices"][0]["message"].get("content") or "", answer.get("usage") or {}


def _read_anthropic(answer: Any) -> tuple[str, Mapping[str, Any]]:
    said = "".join(part.get("text", "") for part in answer["content"])
    return said, answer.get("usage") or {}


def _read_responses(answer: Any) -> tuple[str, Mapping[str, Any]]:
    parts = [part for item in answer["output"] for part in item.get("content") or ()]
    return "".join(part.get("text", "") for part in parts), answer.get("usage") or {}


_RESPONSES = _Way(
    path="/responses",
    prove=_prove_to_openai,
    read=_read_responses,
    counts=("input_tokens", "output_tokens"),
    asked="input",
    cap="max_output_tokens",
    beside={"store": False},
)
_WAYS: dict[str, _Way] = {
    Protocol.OPENAI: _Way(
        path="/chat/completions",
        prove=_prove_to_openai,
        read=_read_openai,
        counts=("prompt_tokens", "completion_tokens"),
    ),
    Protocol.ANTHROPIC: _Way(
        path="/v1/messages",
        prove=_prove_to_anthropic,
        read=_read_anthropic,
        counts=("input_tokens", "output_tokens"),
    ),
}
_HEADERS = [
    (b"content-type", b"application/json"),
    (b"accept", b"application/json"),
    (b"user-agent", b"tollgate"),
]


def _milliseconds_since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
