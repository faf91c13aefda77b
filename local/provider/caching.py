"""Anthropic's prompt cache, as far as usage shows it.

A prefix that ends at a cache_control mark is written the first time it is seen
and read afterwards. It never expires; DELETE /__received empties it.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator

import msgspec

from local.provider.tokens import Counts, Json, count_content, count_json

MAX_PREFIXES = 10_000


class PromptCache:
    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def clear(self) -> None:
        self._seen.clear()

    def count(self, body: Json) -> Counts:
        """The prompt's tokens by how the cache served them: the longest seen prefix is read."""
        total = read = written = 0
        hour = False
        digest = hashlib.sha256(str(body.get("model")).encode())
        for tokens, block in walk_prompt(body):
            total += tokens
            digest.update(_without_mark(block))
            mark = block.get("cache_control") if isinstance(block, dict) else None
            if isinstance(mark, dict):
                written, hour = total, mark.get("ttl") == "1h"
                read = total if digest.digest() in self._seen else read
                self._remember(digest.digest())
        written -= read
        return Counts(
            input=total,
            cached=read,
            cache_write_5m=0 if hour else written,
            cache_write_1h=written if hour else 0,
        )

    def _remember(self, prefix: bytes) -> None:
        self._seen[prefix] = None
        if len(self._seen) > MAX_PREFIXES:
            self._seen.popitem(last=False)


def walk_prompt(body: Json) -> Iterator[tuple[int, object]]:
    """Tools, system and messages in the order in which they are cached, with their tokens."""
    for tool in body.get("tools") or ():
        yield count_json(_cleaned(tool)), tool
    contents = [body.get("system"), *(m.get("content") for m in body.get("messages") or ())]
    for content in contents:
        for block in content if isinstance(content, list) else [content]:
            yield count_content(block), block


def _cleaned(block: object) -> object:
    """The block without its mark, which is an order to the cache and no text."""
    if not isinstance(block, dict):
        return block
    return {name: value for name, value in block.items() if name != "cache_control"}


def _without_mark(block: object) -> bytes:
    return msgspec.json.encode(_cleaned(block))
