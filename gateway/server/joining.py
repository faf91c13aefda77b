"""The head of a response on its way to the transport, until its body catches up.

uvloop sends each write at once, and an ASGI application cannot help writing a head and a body
apart. Joined they are one system call and one packet.
"""

from __future__ import annotations

import asyncio

JOIN_BYTES = 65_536


class JoiningTransport:
    """What a response writes to. Its first write waits for the second, or for the loop's next turn.

    Nothing is held over a close, and an interim answer (100 Continue) is not a head.
    """

    __slots__ = ("_held", "_is_begun", "_is_last", "_loop", "_owed", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = b""
        self._is_begun = False
        self._is_last = False
        self._owed: tuple[bytes, bytes] | None = None

    def write(self, data: bytes) -> None:
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held + data)
        elif self._is_begun or data.startswith(b"HTTP/1.1 100 "):
            self._transport.write(data)
        else:
            self._is_begun = True
            self._held = data
            self._loop.call_soon(self.flush)

    def owe(self, head: bytes, body: bytes, *, is_last: bool) -> None:
        """Take a response that is complete, to be written by pay(); the last one of its connection
        closes it."""
        self._is_begun = True
        self._is_last = is_last
        self._owed = head, body

    @property
    def owes(self) -> bool:
        return self._owed is not None

    def make_last(self) -> None:
        """Have the connection closed behind what is owed."""
        self._is_last = True

    def pay(self) -> None:
        """Write what is owed; a large body is not copied behind its head."""
        owed, self._owed = self._owed, None
        if owed is None or self._transport.is_closing():
            return
        head, body = owed
        if len(body) > JOIN_BYTES:
            self._transport.writelines(owed)
        else:
            self._transport.write(head + body)
        if self._is_last:
            self._transport.close()

    def flush(self) -> None:
        """Write the head now if it is still here."""
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held)

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()
