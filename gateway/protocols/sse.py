"""Server-sent events as the vendors send them: where an event ends, and what its data is. Pure.

Lines end in LF or CRLF (the lone CR that the standard also allows is not in use, and would leave
open whether an LF is still to come). Bytes are split and joined, never decoded.
"""

from __future__ import annotations

import re

from gateway.protocols.surrogates import mend

# An event ends with an empty line; whatever the mix, that is LF, perhaps CR, LF.
_END = re.compile(rb"\n\r?\n")
_LONGEST_END = 3


class EventSplitter:
    """Cuts a stream of bytes into whole events, however it arrives; `rest` is the unended tail."""

    def __init__(self) -> None:
        self.rest = bytearray()
        self._searched = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Return the events that are now whole, each with its end."""
        rest = self.rest
        rest += data
        events = []
        start = 0
        while (end := _END.search(rest, max(start, self._searched))) is not None:
            events.append(bytes(rest[start : end.end()]))
            start = self._searched = end.end()
        del rest[:start]
        # An end may be split between this piece and the next one.
        self._searched = max(0, len(rest) - _LONGEST_END + 1)
        return events


def read_data(event: bytes) -> bytes | None:
    """Return the event's data to be read, its lines joined by LF; None for none (a comment)."""
    if event.startswith(b"data: ") and event.find(b"\n", 6, -_LONGEST_END) < 0:
        return mend(event[6:].rstrip(b"\r\n"))
    lines = [line[5:].removeprefix(b" ") for line in event.splitlines() if line[:5] == b"data:"]
    return mend(b"\n".join(lines)) if lines else None


def is_comment(event: bytes) -> bool:
    """Whether an event without data is one that clients skip: comments, names, ids, empty lines."""
    lines = (line for line in event.splitlines() if line)
    return all(line.startswith((b":", b"event:", b"id:", b"retry:")) for line in lines)
