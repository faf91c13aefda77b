"""Events that differ from the one before in their text alone, recognised without parsing. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from gateway.protocols.body import UNREADABLE

Raw = msgspec.Raw
_QUOTE = ord('"')
_any = msgspec.json.Decoder()


class Shape(msgspec.Struct, frozen=True):
    """The bytes of an event before and after the one text in its delta.

    An event that begins and ends alike, with no quote in between, is the same JSON with another
    text: it brings no other finish and no other usage than those that were read. Searching for
    such names instead costs more than parsing (five searches through 300 bytes take 2 us, parsing
    takes 1 us, and this 0.4 us).
    """

    before: bytes
    after: bytes
    length: int

    def find_text_bytes(self, event: bytes) -> int:
        """Return the text's length as it is written, -1 for an event of any other shape."""
        length = len(event) - self.length
        start = len(self.before)
        fits = length >= 0 and event.startswith(self.before) and event.endswith(self.after)
        return length if fits and event.find(b'"', start, start + length) < 0 else -1


# Longer than any event that is taken, so nothing is of this shape.
NO_SHAPE = Shape(b"", b"", 2**62)


def find_shape(event: bytes, values: Iterable[Raw]) -> Shape | None:
    """The shape of an event among whose values is one text, found in one place only."""
    texts = [text for text in map(bytes, values) if text[0] == _QUOTE and len(text) > 2]
    if len(texts) != 1 or event.count(texts[0]) != 1:
        return None
    before, after = event.split(texts[0])
    return Shape(before + b'"', b'"' + after, len(before) + len(after) + 2)


def measure_text(raw: Raw) -> int:
    """The bytes of all text in a value, as JSON writes it: content, arguments, audio."""
    first = memoryview(raw)[0]
    if first == _QUOTE:
        return len(raw) - 2
    if first not in b"[{":
        return 0
    try:
        return _measure_nested(_any.decode(raw))
    except UNREADABLE:
        return len(raw)


def _measure_nested(value: Any) -> int:
    if isinstance(value, str):
        return len(msgspec.json.encode(value)) - 2
    if isinstance(value, dict):
        return sum(map(_measure_nested, value.values()))
    return sum(map(_measure_nested, value)) if isinstance(value, list) else 0
