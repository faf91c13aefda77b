"""Prompts as OpenAI's older endpoints take them: texts or lists of token numbers, one or many."""

from __future__ import annotations

from typing import Annotated

import msgspec

MAX_PROMPTS = 2048

_Tokens = Annotated[list[int], msgspec.Meta(min_length=1)]
# msgspec takes one kind of list in a union, so the elements of it are the union.
Prompts = str | Annotated[list[str | int | _Tokens], msgspec.Meta(min_length=1)]


def count_prompts(prompts: Prompts | None) -> int:
    """Return how many prompts there are; a list of numbers is one."""
    if not isinstance(prompts, list):
        return 1
    return len([one for one in prompts if not isinstance(one, int)]) or 1
