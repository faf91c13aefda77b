"""Usage as each dialect writes it, and the lies about it that some models tell.

`report` is the one way by which usage gets into an answer, so that every
behaviour of the table works in every dialect.
"""

from collections.abc import Callable
from typing import Any

from local.provider.behaviours import Behaviour
from local.provider.tokens import Counts, Json

# The list prices of grok-4, in ticks (10^-10 USD) a token.
XAI_PROMPT_TICKS = 30_000
XAI_COMPLETION_TICKS = 150_000


def report(behaviour: Behaviour, fields: Json, cap: int | None) -> Json:
    """`{"usage": ...}` to be put into an answer: as counted, bent, null or not there."""
    if behaviour.base == "demo-no-usage":
        return {}
    if behaviour.base == "demo-null-usage":
        return {"usage": None}
    bend = _BENT.get(behaviour.base)
    return {"usage": bend(fields, cap) if bend else fields}


def completion_usage(counts: Counts) -> Json:
    """The usage object of chat completions and completions."""
    if counts.reasoning_outside:
        return _xai_usage(counts)
    return {
        "prompt_tokens": counts.input,
        "completion_tokens": counts.reported_output,
        "total_tokens": counts.total,
        "prompt_tokens_details": {"cached_tokens": counts.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": counts.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _xai_usage(counts: Counts) -> Json:
    usage = completion_usage(Counts(input=counts.input, cached=counts.cached))
    prompt_details = usage["prompt_tokens_details"] | {
        "text_tokens": counts.input,
        "image_tokens": 0,
    }
    details = usage["completion_tokens_details"] | {"reasoning_tokens": counts.reasoning}
    output = counts.output + counts.reasoning
    return usage | {
        "completion_tokens": counts.output,
        "total_tokens": counts.total,
        "prompt_tokens_details": prompt_details,
        "completion_tokens_details": details,
        "num_sources_used": 0,
        "cost_in_usd_ticks": counts.input * XAI_PROMPT_TICKS + output * XAI_COMPLETION_TICKS,
    }


def response_usage(counts: Counts) -> Json:
    """The usage object of the Responses API."""
    return {
        "input_tokens": counts.input,
        "input_tokens_details": {"cached_tokens": counts.cached},
        "output_tokens": counts.reported_output,
        "output_tokens_details": {"reasoning_tokens": counts.reasoning},
        "total_tokens": counts.total,
    }


def message_usage(counts: Counts) -> Json:
    """The usage object of Anthropic's messages; input_tokens leaves the cache out."""
    return {
        "input_tokens": counts.uncached,
        "cache_creation_input_tokens": counts.cache_write_5m + counts.cache_write_1h,
        "cache_read_input_tokens": counts.cached,
        "cache_creation": {
            "ephemeral_5m_input_tokens": counts.cache_write_5m,
            "ephemeral_1h_input_tokens": counts.cache_write_1h,
        },
        "output_tokens": counts.reported_output,
        "output_tokens_details": {"thinking_tokens": counts.reasoning},
        "service_tier": "standard",
    }


def _change_figures(usage: Json, change: Callable[[int], Any]) -> Json:
    changed: Json = {}
    for name, value in usage.items():
        if isinstance(value, dict):
            changed[name] = _change_figures(value, change)
        else:
            changed[name] = change(value) if isinstance(value, int) else value
    return changed


def _above_cap(usage: Json, cap: int | None) -> Json:
    name = "completion_tokens" if "completion_tokens" in usage else "output_tokens"
    output = 10 * (cap or 4096)
    bent = usage | {name: output}
    if "total_tokens" in usage:
        bent["total_tokens"] = usage["total_tokens"] - usage.get(name, 0) + output
    return bent


def _mismatch(usage: Json) -> Json:
    """Anthropic gives no total; there the sum of cache writes disagrees with its parts."""
    name = "total_tokens" if "total_tokens" in usage else "cache_creation_input_tokens"
    return usage | {name: usage.get(name, 0) + 7}


_BENT: dict[str, Callable[[Json, int | None], Json]] = {
    "demo-usage-strings": lambda usage, cap: _change_figures(usage, str),
    "demo-usage-negative": lambda usage, cap: _change_figures(usage, lambda figure: -figure),
    "demo-usage-huge": lambda usage, cap: _change_figures(usage, lambda figure: 2**63),
    "demo-usage-above-cap": _above_cap,
    "demo-usage-mismatch": lambda usage, cap: _mismatch(usage),
}
