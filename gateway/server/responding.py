"""Whole requests and whole responses in one step each, beside ASGI's messages.

ASGI has the head and the body of a response in two messages, and the server looks at every header
of the first one again. What the gateway answers is made of its own constants and ids, so `respond`
takes it as bytes. A body that came with its head is there when the application asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from gateway.server.joining import JoiningTransport


def take_body(cycle: RequestResponseCycle) -> bytes | None:
    """Take the body of a request that is whole already; None where it has to be received."""
    if cycle.more_body or cycle.disconnected or cycle.response_complete:
        return None
    body = bytes(cycle.body)
    cycle.body = bytearray()
    cycle.message_event.clear()  # What comes next is the caller's end.
    cycle.flow.resume_reading()
    return body


def respond(
    cycle: RequestResponseCycle,
    transport: JoiningTransport,
    status: int,
    headers: bytes,
    body: bytes,
    *,
    when: Callable[[Callable[[], None]], None],
) -> bool:
    """Write a response when `when` calls back, in the same turn of the loop or the next; `headers`
    are lines that end in CRLF, without the content-length.

    False where it has to go message by message: another one has begun, the caller reads slowly or
    has left, or it asked for the head alone.
    """
    if (
        cycle.response_started
        or cycle.disconnected
        or cycle.flow.write_paused
        or cycle.scope["method"] == "HEAD"
    ):
        return False
    cycle.response_started = cycle.response_complete = True
    cycle.message_event.set()
    head = b"%b%b%bcontent-length: %d\r\n%b\r\n" % (
        STATUS_LINE[status],
        _write_default(cycle.default_headers),
        headers,
        len(body),
        b"" if cycle.keep_alive else b"connection: close\r\n",
    )
    transport.owe(head, body, is_last=not cycle.keep_alive)
    when(transport.pay)
    cycle.on_response()
    return True


_default: Sequence[tuple[bytes, bytes]] = ()
_written = b""


def _write_default(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return the lines of the headers of every response: the server makes a new list of them once a
    second, for the date."""
    global _default, _written
    if headers is not _default:
        _default, _written = headers, b"".join([b"%b: %b\r\n" % pair for pair in headers])
    return _written
