"""A way to a server that can be cut: bytes go in and none come out, as behind a dropped route."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit


class Relay:
    """Listens on a port of its own and passes everything on to one server, until it is cut."""

    def __init__(self, host: str, port: int) -> None:
        self.port = 0
        self._target = (host, port)
        self._loop: asyncio.AbstractEventLoop
        self._ended: asyncio.Event
        self._flowing: asyncio.Event

    def cut(self) -> None:
        """Pass nothing on from now on; connections stay open and hang."""
        self._do(self._flowing.clear)

    def mend(self) -> None:
        """Go on, with everything that was said meanwhile."""
        self._do(self._flowing.set)

    def end(self) -> None:
        self._do(self._ended.set)

    async def run(self, started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended, self._flowing = asyncio.Event(), asyncio.Event()
        self._flowing.set()
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        await self._ended.wait()
        server.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flowing.wait()
        there, back = await asyncio.open_connection(*self._target)
        await asyncio.gather(self._pump(reader, back), self._pump(there, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.close()

    def _do(self, function: Callable[[], None]) -> None:
        """Do something in the relay's loop; return when it is done."""
        done = threading.Event()
        self._loop.call_soon_threadsafe(function)
        self._loop.call_soon_threadsafe(done.set)
        assert done.wait(5)


@contextmanager
def relay_to(url: str) -> Iterator[tuple[Relay, str]]:
    """A relay to the server of a URL, and the URL that goes through it."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    relay, started = Relay(parts.hostname, parts.port), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(relay.run(started)), daemon=True)
    thread.start()
    assert started.wait(5)
    user, _, _ = parts.netloc.rpartition("@")
    try:
        yield relay, parts._replace(netloc=f"{user}@127.0.0.1:{relay.port}").geturl()
    finally:
        relay.end()
        thread.join(5)
