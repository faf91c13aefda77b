"""Halves of characters, as servers that count in UTF-16 write them where they cut an answer.

JSON's grammar allows an escape such as \\ud83d alone, and clients in Python and JavaScript take it;
msgspec does not. What is read of an answer has U+FFFD in its place, what passes is left alone; a
request is refused, for what it was to say is not known. Pure.
"""

from __future__ import annotations

import re

_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|\\u[dD][89a-fA-F][0-9a-fA-F]{2}|\\.",
    re.DOTALL,
)
_HALF_LENGTH = len(rb"\ud83d")


def mend(data: bytes) -> bytes:
    """Return JSON in which every character is whole."""
    if not _may_hold_half(data):
        return data
    return _ESCAPE.sub(_mend_escape, data)


def find_half(data: bytes) -> int | None:
    """Return where the first half of a character is escaped; None where there is none."""
    if not _may_hold_half(data):
        return None
    halves = (found.start() for found in _ESCAPE.finditer(data) if len(found[0]) == _HALF_LENGTH)
    return next(halves, None)


def _may_hold_half(data: bytes) -> bool:
    return b"\\ud" in data or b"\\uD" in data


def _mend_escape(found: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if len(found[0]) == _HALF_LENGTH else found[0]
