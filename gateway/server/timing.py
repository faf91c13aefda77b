"""How long a connection may stay in a state: its head, its body, idle, blocked, closing.

One sweep a second looks at all connections of a server, so a call costs no timer.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from gateway.errors import GatewayError, RequestTimeout

_sweeping: weakref.WeakSet[ServerState] = weakref.WeakSet()


class TimedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, ended when it is too long in a state that must not last."""

    head_seconds = 10.0
    # A body has this long, a second more for each so many bytes of it, and never more than the
    # last figure.
    body_seconds = 20.0
    body_bytes_per_second = 2_048
    body_longest_seconds = 600.0
    write_seconds = 60.0
    linger_seconds = 2.0
    sweep_seconds = 1.0

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._refusal: GatewayError | None = None
        self._partial_bytes = 0  # Of a head that is not yet complete.
        self._body_bytes = 0
        # When each state began; None while the connection is not in it.
        self._head_since: float | None = None
        self._body_since: float | None = None
        self._idle_since: float | None = None
        self._blocked_since: float | None = None
        self._closing_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_since = self.loop.time()
        if self.server_state not in _sweeping:
            _sweeping.add(self.server_state)
            self.loop.call_later(self.sweep_seconds, sweep, self.server_state, self.loop)

    def pause_writing(self) -> None:
        self._blocked_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._blocked_since = None
        super().resume_writing()

    def _refuse(self, error: GatewayError) -> None:
        """Answer in place of the application and end the connection."""
        raise NotImplementedError

    def _is_answering(self) -> bool:
        raise NotImplementedError

    def check(self, now: float) -> None:
        """End the connection if it has been too long in a state that must not last."""
        if self._closing_since is not None or self.transport.is_closing():
            self._check_closing(now)
        elif self._blocked_since is not None:
            if now - self._blocked_since >= self.write_seconds:
                self.transport.abort()
        elif self._body_since is not None:
            self._check_body(now, self._body_since)
        elif self._head_since is not None:
            if now - self._head_since >= self.head_seconds and not self._is_answering():
                self._end_head()
        elif self._idle_since is not None and now - self._idle_since >= self.timeout_keep_alive:
            self.transport.close()

    def _check_closing(self, now: float) -> None:
        if self._closing_since is None:
            self._closing_since = now
        linger = self.linger_seconds if self._refusal is not None else self.write_seconds
        if now - self._closing_since >= linger:
            self.transport.abort()

    def _check_body(self, now: float, since: float) -> None:
        if self.flow.read_paused:
            # The application has not taken what is there, so the caller cannot be blamed.
            self._body_since = now
            return
        earned = self.body_seconds + self._body_bytes / self.body_bytes_per_second
        if now - since >= min(earned, self.body_longest_seconds):
            self._refuse(RequestTimeout())

    def _end_head(self) -> None:
        if self._partial_bytes:
            self._refuse(RequestTimeout())
        else:
            self.transport.close()  # Nothing was asked: a browser's spare connection.


def sweep(state: ServerState, loop: asyncio.AbstractEventLoop) -> None:
    """Check every connection of a server, and again later while there are any."""
    now = loop.time()
    later = 1.0
    for connection in list(state.connections):
        if isinstance(connection, TimedProtocol):
            connection.check(now)
            later = connection.sweep_seconds
    if state.connections:
        loop.call_later(later, sweep, state, loop)
    else:
        _sweeping.discard(state)
