"""What the fault tests declare: two models whose calls cost exactly what is held, and three keys.

`steady` has no quota at all and `spender` a lifetime budget, so that both ways of a call are
under load: decided in memory alone, and drawn from the database. `newcomer` has the same budget
and makes no call until a test says so: its first one has to be drawn for.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tests.faults.load import Ask
from tests.parts import Parts

# Tokens are the only thing that costs here: $100 per million of output, a cent for a hundred.
PRICE = {"input": "0", "output": "100.00", "effective": "2026-01-01"}
FIXED = Ask("demo-fixed-100", 100, stream=False)
FIXED_STREAM = Ask("demo-fixed-100", 100, stream=True)
# A second, as a stream or in one piece.
SLOW = Ask("demo-chunks-50-20", 50, stream=False)
SLOW_STREAM = Ask("demo-chunks-50-20", 50, stream=True)
MIXED = (FIXED, FIXED_STREAM, SLOW, SLOW_STREAM)
# Three seconds: long enough for a note of what is known of it so far.
LONG_STREAM = Ask("demo-chunks-150-20", 150, stream=True)

MODELS = {ask.model for ask in (*MIXED, LONG_STREAM)}


def declare(
    parts: Parts, *, budget_usd: str, more_keys: Sequence[Mapping[str, Any]] = ()
) -> dict[str, str]:
    """Apply it, with more keys if a test needs any; returns the keys by name."""
    provider = {"name": "demo", "protocol": "openai", "credential": "literal:demo"}
    keys = [{"name": "steady"}, make_key("spender", budget_usd), make_key("newcomer", budget_usd)]
    project = {"slug": "default", "keys": [*keys, *map(dict, more_keys)]}
    return parts.apply(
        {
            "providers": [{**provider, "base_url": f"{parts.provider.url}/v1"}],
            "models": [declare_model(name) for name in sorted(MODELS)],
            "organizations": [{"slug": "acme", "name": "Acme", "projects": [project]}],
        }
    )


def make_key(name: str, budget_usd: str, *quotas: Mapping[str, Any]) -> dict[str, Any]:
    """A key with a budget for its lifetime, and with other quotas beside it."""
    spending = {"unit": "cost", "limit": budget_usd, "window": "lifetime"}
    return {"name": name, "quotas": [spending, *map(dict, quotas)]}


def declare_model(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "context_window": 128_000,
        "max_output_tokens": 4096,
        "routes": [{"provider": "demo", "model": name}],
        "price": PRICE,
    }
