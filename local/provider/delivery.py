"""Putting an answer on the wire: paced, compressed, bent, or broken off on purpose.

`deliver` is for every endpoint alike. It writes into the receipt only what was
handed to the socket.
"""

import asyncio
import zlib
from collections.abc import Coroutine, Iterator
from typing import Any

from local.provider.behaviours import Behaviour
from local.provider.connection import EVENT_STREAM, JSON, Exchange
from local.provider.errors import Dialect, Refused, anthropic_error, openai_error
from local.provider.frames import Frame, Kind, Reply, encode, keep_chunks

GZIP = b"content-encoding: gzip\r\n"
DEFAULT_SLOW_MS = 2000
_BROKEN_OFF = {
    "demo-reset-midstream": 2,
    "demo-cut-midstream": 2,
    "demo-error-in-stream": 2,
    "demo-stall": 1,
}
_ALTERED_BODIES = frozenset(
    (*_BROKEN_OFF, "demo-slow", "demo-chunks", "bench-chunks", "demo-gzip", "demo-split-utf8")
)


def deliver(
    exchange: Exchange,
    reply: Reply,
    *,
    behaviour: Behaviour,
    dialect: Dialect,
    pace_seconds: float,
) -> Coroutine[Any, Any, None] | None:
    """Send `reply`: at once when it is a plain body, else by the coroutine given back."""
    if reply.frames is not None:
        pace_seconds = _find_pace(behaviour, pace_seconds)
        return _stream(exchange, reply.frames, behaviour, dialect, pace_seconds)
    if behaviour.base in _ALTERED_BODIES:
        return _send_altered(exchange, reply, behaviour, dialect)
    _note_usage(exchange, reply.usage)
    exchange.answer(200, reply.body)
    return None


def _find_pace(behaviour: Behaviour, pace_seconds: float) -> float:
    if behaviour.base.endswith("-chunks"):
        return behaviour.number(0, at=1) / 1000
    return 0.0 if behaviour.base.startswith("bench-") else pace_seconds


async def _stream(
    exchange: Exchange,
    frames: list[Frame],
    behaviour: Behaviour,
    dialect: Dialect,
    pace_seconds: float,
) -> None:
    await _wait_if_slow(behaviour)
    gzip = behaviour.base == "demo-gzip"
    exchange.start_chunked(200, EVENT_STREAM + (GZIP if gzip else b""))
    broken_after = _BROKEN_OFF.get(behaviour.base)
    if broken_after is not None:
        frames = keep_chunks(frames, behaviour.number(broken_after))
    split = behaviour.base == "demo-split-utf8"
    for frame in _alter_frames(frames, behaviour):
        if frame.kind is Kind.CONTENT and pace_seconds:
            await asyncio.sleep(pace_seconds)
        await (_send_split(exchange, frame.data) if split else exchange.send(frame.data))
        _note_frame(exchange, frame)
    if broken_after is not None:
        await _break_off(exchange, behaviour, dialect)
    else:
        exchange.finish()


def _note_frame(exchange: Exchange, frame: Frame) -> None:
    if frame.kind is Kind.CONTENT and exchange.receipt is not None:
        exchange.receipt.chunks_sent += 1
    if frame.usage is not None:
        _note_usage(exchange, frame.usage)


def _note_usage(exchange: Exchange, usage: Any) -> None:
    """Later figures overwrite earlier ones field by field, as a reader must merge them."""
    receipt = exchange.receipt
    if receipt is None:
        return
    merges = isinstance(usage, dict) and isinstance(receipt.usage, dict)
    receipt.usage = receipt.usage | usage if merges else usage


async def _break_off(exchange: Exchange, behaviour: Behaviour, dialect: Dialect) -> None:
    """End, or do not end, what was begun."""
    if behaviour.base == "demo-reset-midstream":
        # A reset throws away what the kernel has not sent yet; on loopback a moment is enough.
        await asyncio.sleep(0.02)
        exchange.reset()
    elif behaviour.base == "demo-stall":
        await asyncio.get_running_loop().create_future()
    else:
        if behaviour.base == "demo-error-in-stream":
            await exchange.send(_error_event(dialect))
        exchange.finish(complete=False)


def _error_event(dialect: Dialect) -> bytes:
    message = "The server had an error in the middle of the answer."
    if dialect is Dialect.ANTHROPIC:
        error = anthropic_error(529, message, "req_demo")
        return b"event: error\ndata: " + encode(error) + b"\n\n"
    return b"data: " + encode(openai_error(Refused(500, message))) + b"\n\n"


def _alter_frames(frames: list[Frame], behaviour: Behaviour) -> list[Frame]:
    """The same events without their end, with CRLF and comments, or compressed."""
    if behaviour.base == "demo-no-done":
        return [frame for frame in frames if frame.kind is not Kind.DONE]
    if behaviour.base == "demo-crlf":
        comment = b": comment\r\n\r\n"
        return [_with_data(frame, comment + frame.data.replace(b"\n", b"\r\n")) for frame in frames]
    if behaviour.base == "demo-gzip":
        return list(_compress_frames(frames))
    return frames


def _compress_frames(frames: list[Frame]) -> Iterator[Frame]:
    """One gzip member over all frames; each can be read as soon as it arrives."""
    packer = zlib.compressobj(wbits=31)
    for place, frame in enumerate(frames, start=1):
        flush = zlib.Z_FINISH if place == len(frames) else zlib.Z_SYNC_FLUSH
        yield _with_data(frame, packer.compress(frame.data) + packer.flush(flush))


def _with_data(frame: Frame, data: bytes) -> Frame:
    return Frame(data, frame.kind, frame.usage)


async def _send_split(exchange: Exchange, data: bytes) -> None:
    """Write up to the middle of the first character of several bytes, then the rest."""
    first = next((at for at, byte in enumerate(data) if byte >= 0x80), None)
    if first is None:
        await exchange.send(data)
        return
    await exchange.send(data[: first + 1])
    # The reader must have the first piece alone before the second is written.
    await asyncio.sleep(0.003)
    await exchange.send(data[first + 1 :])


async def _wait_if_slow(behaviour: Behaviour) -> None:
    if behaviour.base == "demo-slow":
        await asyncio.sleep(behaviour.number(DEFAULT_SLOW_MS) / 1000)


async def _send_altered(
    exchange: Exchange, reply: Reply, behaviour: Behaviour, dialect: Dialect
) -> None:
    """An answer in one body, late, compressed, in pieces or not to its end."""
    await _wait_if_slow(behaviour)
    if behaviour.base.endswith("-chunks"):
        await asyncio.sleep(behaviour.number(10) * behaviour.number(0, at=1) / 1000)
    if behaviour.base in _BROKEN_OFF:
        await _send_half(exchange, reply, behaviour, dialect)
        return
    _note_usage(exchange, reply.usage)
    if behaviour.base == "demo-gzip":
        exchange.answer(200, zlib.compress(reply.body, wbits=31), JSON + GZIP)
    elif behaviour.base == "demo-split-utf8":
        exchange.start_chunked(200, JSON)
        await _send_split(exchange, reply.body)
        exchange.finish()
    else:
        exchange.answer(200, reply.body)


async def _send_half(
    exchange: Exchange, reply: Reply, behaviour: Behaviour, dialect: Dialect
) -> None:
    """Half of the body; or, for the error in a stream, a 200 with an error object."""
    if behaviour.base == "demo-error-in-stream":
        refused = Refused(500, "The server had an error while processing your request.")
        exchange.answer(200, encode(refused.shape(dialect, "req_demo")))
        return
    exchange.start_chunked(200, JSON)
    await exchange.send(reply.body[: len(reply.body) // 2])
    await _break_off(exchange, behaviour, dialect)
