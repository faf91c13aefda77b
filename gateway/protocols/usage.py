"""Providers' counts, sorted into the disjoint buckets of billing.usage.Usage. Pure.

Every dialect reads its own names into `Counts`; the arithmetic stands here once. Counts that
contradict each other are a fault, never a guess: an answer without usable usage is settled at its
hold. An explicit zero is zero.
"""

from __future__ import annotations

import msgspec

from billing.usage import Usage

# No answer has a trillion tokens; below that, any price times any count fits int64.
MAX_TOKENS = 10**12


class Contradiction(ValueError):
    """The parts of a usage do not fit together; the message says which."""


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider said. `prompt` holds every input part; None means that it was not said.

    `reasoning` lies inside `completion` at OpenAI and beside it at xAI; `total` tells which.
    """

    prompt: int
    completion: int | None
    total: int | None = None
    cached: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    audio_input: int = 0
    image_input: int = 0
    reasoning: int | None = None
    audio_output: int = 0


def sort_counts(counts: Counts) -> Usage:
    """Return usage whose buckets add up to what was said; raise Contradiction where none can."""
    completion, reasoning = _split_output(counts)
    output = completion - counts.audio_output
    if output < 0:
        raise Contradiction("audio output is more than completion_tokens")
    stored = counts.cached + counts.cache_write_5m + counts.cache_write_1h
    if stored > counts.prompt or counts.audio_input + counts.image_input > counts.prompt:
        raise Contradiction("the parts of the prompt are more than prompt_tokens")
    # Cached parts may be audio or images as well. A token counts once, and as read from the cache.
    fresh = counts.prompt - stored
    audio_input = min(counts.audio_input, fresh)
    image_input = min(counts.image_input, fresh - audio_input)
    return Usage(
        uncached_input=fresh - audio_input - image_input,
        cache_read=counts.cached,
        cache_write_5m=counts.cache_write_5m,
        cache_write_1h=counts.cache_write_1h,
        audio_input=audio_input,
        image_input=image_input,
        output=output,
        reasoning=reasoning,
        audio_output=counts.audio_output,
    )


def _split_output(counts: Counts) -> tuple[int, int]:
    """Return completion tokens without reasoning, and reasoning.

    The total decides where reasoning was counted. Without one it is OpenAI's way, unless there is
    more reasoning than completion. A total above the parts, with reasoning never mentioned, is
    hidden reasoning: Gemini's OpenAI surface reports so.
    """
    completion, reasoning, total = counts.completion, counts.reasoning, counts.total
    if completion is None:
        if total is None or total < counts.prompt:
            raise Contradiction("completion_tokens is missing")
        completion = total - counts.prompt
    beside = 0 if total is None else total - counts.prompt - completion
    if reasoning is None and beside >= 0:
        return completion, beside
    reasoning = reasoning or 0
    if beside == 0 and reasoning <= completion:
        return completion - reasoning, reasoning
    if beside == reasoning or total is None:
        return completion, reasoning
    raise Contradiction("prompt_tokens, completion_tokens and total_tokens do not add up")
