"""A mail server that only keeps what it is sent, and what is told in a letter."""

from __future__ import annotations

import asyncio
import email
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import Message

from tests.outside.canaries import Places

TOKEN = re.compile(r"/invitations/(\S+)")


class Mailbox:
    """The letters that came, each as it stands and as it is read."""

    def __init__(self, places: Places) -> None:
        self.url = ""
        self.texts: list[str] = []
        self._places = places

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        while line := await reader.readline():
            if line.upper().startswith(b"DATA"):
                writer.write(b"354 go on\r\n")
                self._keep(await reader.readuntil(b"\r\n.\r\n"))
            writer.write(b"221 bye\r\n" if line.upper().startswith(b"QUIT") else b"250 well\r\n")
            await writer.drain()
        writer.close()

    def _keep(self, raw: bytes) -> None:
        letter: Message = email.message_from_bytes(raw)
        payload = letter.get_payload(decode=True)
        assert isinstance(payload, bytes)
        text = payload.decode()
        self.texts.append(text)
        # What an invitation's own letter is for is no leak of it.
        headers = "\n".join(f"{name}: {value}" for name, value in letter.items())
        self._places.add("letters", headers + TOKEN.sub("/invitations/", text))


@asynccontextmanager
async def receiving(places: Places) -> AsyncIterator[Mailbox]:
    mailbox = Mailbox(places)
    async with await asyncio.start_server(mailbox.accept, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        mailbox.url = f"smtp://127.0.0.1:{port}"
        yield mailbox
