"""Providers' counts, sorted into the disjoint buckets of billing.usage.Usage. Pure.

Every dialect reads its own names; the arithmetic stands here once. Counts that contradict each
other are a fault, never a guess: an answer without usable usage is settled at its hold. An explicit
zero is zero.
"""

from __future__ import annotations

from billing.usage import Usage

# No answer has a trillion tokens; below that, any price times any count fits int64.
MAX_TOKENS = 10**12


class Contradiction(ValueError):
    """The parts of a usage do not fit together; the message says which."""


def sort_counts(
    *,
    prompt: int,
    completion: int | None,
    total: int | None = None,
    cached: int = 0,
    cache_write_5m: int = 0,
    cache_write_1h: int = 0,
    audio_input: int = 0,
    image_input: int = 0,
    reasoning: int | None = None,
    audio_output: int = 0,
) -> Usage:
    """Return usage whose buckets add up to what was said; raise Contradiction where none can.

    `prompt` holds every input part; None means that it was not said. `reasoning` lies inside
    `completion` at OpenAI and beside it at xAI; `total` tells which.
    """
    if completion is None or reasoning or (total is not None and total != prompt + completion):
        completion, reasoning = _split_output(prompt, completion, total, reasoning)
    output = completion - audio_output
    if output < 0:
        raise Contradiction("audio output is more than completion_tokens")
    fresh = prompt - cached - cache_write_5m - cache_write_1h
    if fresh < 0 or audio_input + image_input > prompt:
        raise Contradiction("the parts of the prompt are more than prompt_tokens")
    if audio_input or image_input:
        # Cached parts may be audio or images as well. A token counts once, and as read from the
        # cache.
        audio_input = min(audio_input, fresh)
        image_input = min(image_input, fresh - audio_input)
    return Usage(
        uncached_input=fresh - audio_input - image_input,
        cache_read=cached,
        cache_write_5m=cache_write_5m,
        cache_write_1h=cache_write_1h,
        audio_input=audio_input,
        image_input=image_input,
        output=output,
        reasoning=reasoning or 0,
        audio_output=audio_output,
    )


def _split_output(
    prompt: int, completion: int | None, total: int | None, reasoning: int | None
) -> tuple[int, int]:
    """Return completion tokens without reasoning, and reasoning.

    The total decides where reasoning was counted. Without one it is OpenAI's way, unless there is
    more reasoning than completion. A total above the parts, with reasoning never mentioned, is
    hidden reasoning: Gemini's OpenAI surface reports so.
    """
    if completion is None:
        if total is None or total < prompt:
            raise Contradiction("completion_tokens is missing")
        completion = total - prompt
    beside = 0 if total is None else total - prompt - completion
    if reasoning is None and beside >= 0:
        return completion, beside
    reasoning = reasoning or 0
    if beside == 0 and reasoning <= completion:
        return completion - reasoning, reasoning
    if beside == reasoning or total is None:
        return completion, reasoning
    raise Contradiction("prompt_tokens, completion_tokens and total_tokens do not add up")
