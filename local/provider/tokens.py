"""Counting tokens, by one rule that a test can repeat by hand.

A token is a word: a run of characters without white space. A picture, sound
or file counts MEDIA_TOKENS. Definitions of tools count the words of their
compact JSON. Nothing here knows a dialect's field names for usage; `Counts`
is what one answer used, in the provider's own books.
"""

import re
from dataclasses import dataclass
from typing import Any

import msgspec

Json = dict[str, Any]

MEDIA_TOKENS = 85

# Parts of a message whose text stands under one of these names, in any dialect.
_TEXT_NAMES = ("text", "thinking", "refusal", "arguments", "output", "content", "name")
# A tuple, because a request may give a list for a type, which cannot be looked up in a set.
_MEDIA_TYPES = (
    "image_url",
    "input_audio",
    "file",
    "image",
    "document",
    "input_image",
    "input_file",
)


def count_tokens(text: str) -> int:
    """The number of words in `text`."""
    return len(text.split())


def split_tokens(text: str) -> list[str]:
    """The tokens of `text`, each with the white space behind it; joined they are `text`."""
    return re.findall(r"\S+\s*", text)


def count_json(value: Any) -> int:
    """The tokens of a value that goes to the model as compact JSON; 0 for None and empty ones."""
    return count_tokens(msgspec.json.encode(value).decode()) if value else 0


def count_content(content: Any) -> int:
    """The tokens of a string, a part, or a list of either."""
    if isinstance(content, str):
        return count_tokens(content)
    if isinstance(content, list):
        return sum(count_content(part) for part in content)
    if isinstance(content, dict):
        return _count_part(content)
    return 0


def _count_part(part: Json) -> int:
    if part.get("type") in _MEDIA_TYPES:
        return MEDIA_TOKENS
    counted = sum(count_content(part.get(name)) for name in _TEXT_NAMES)
    if isinstance(part.get("input"), dict):
        counted += count_json(part["input"])
    if isinstance(part.get("function"), dict):
        counted += count_content(part["function"])
    return counted


def text_of(content: Any) -> str:
    """The text of a message's content, parts joined by a line break."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(filter(None, map(text_of, content)))
    if isinstance(content, dict):
        return text_of(content.get("text") or content.get("content"))
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What one answer used.

    `input` is the whole prompt, cached and newly cached tokens included;
    `output` is what can be seen, reasoning not included.
    """

    input: int
    output: int = 0
    cached: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    reasoning: int = 0
    reasoning_outside: bool = False

    @property
    def uncached(self) -> int:
        return self.input - self.cached - self.cache_write_5m - self.cache_write_1h

    @property
    def total(self) -> int:
        return self.input + self.output + self.reasoning

    @property
    def reported_output(self) -> int:
        """Output as the provider's field says it: with reasoning inside, but for xAI."""
        return self.output + (0 if self.reasoning_outside else self.reasoning)
