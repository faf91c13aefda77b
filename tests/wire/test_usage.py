"""Usage of every provider, in disjoint buckets and at its price: the cases in usage/*.json."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.pricing import cost_ticks, make_price
from billing.usage import Usage
from gateway.protocols import (
    anthropic_messages,
    openai_chat,
    openai_embeddings,
    openai_responses,
)
from gateway.protocols.form import Answer, Metered
from gateway.protocols.usage import Contradiction, sort_counts
from tests.wire import messages
from tests.wire.making import compact, relay

FOLDER = Path(__file__).parent / "usage"
CASES = [
    pytest.param(path.stem, case, id=f"{path.stem}: {case['why']}")
    for path in sorted(FOLDER.glob("*.json"))
    for case in json.loads(path.read_text())
]


# In ticks a token, by the names of prices; what has none costs as input or output does.
PRICES = {
    provider: make_price(
        id=1, model="m", provider=provider, effective_from=0, ticks=ticks, tiers=[]
    )
    for provider, ticks in json.loads((FOLDER.parent / "prices.json").read_text()).items()
}
READERS: dict[str, Callable[[bytes], Answer]] = {
    "anthropic": anthropic_messages.read_answer,
    "responses": openai_responses.read_answer,
    "embeddings": openai_embeddings.read_answer,
}


def meter(provider: str, case: dict[str, Any]) -> Metered:
    """Have the dialect of the provider read the case, as a whole answer or as a stream."""
    if "usage" in case:
        read = READERS.get(provider, openai_chat.read_answer)
        return read(compact({"id": "a", "usage": case["usage"]})).metered
    stream = messages.make_stream()
    deltas = [messages.finish(usage if usage else {}) for usage in case["deltas"]]
    relay(stream, messages.start(case["start"]), *deltas, messages.STOP)
    return stream.metered


@pytest.mark.parametrize(("provider", "case"), CASES)
def test_what_a_provider_says_lands_in_disjoint_buckets(
    provider: str, case: dict[str, Any]
) -> None:
    metered = meter(provider, case)
    if "fault" in case:
        assert metered.usage is None
        assert case["fault"] in (metered.fault or "")
    else:
        assert metered.usage == Usage(**case["buckets"])
        assert metered.fault is None
        assert metered.reported_cost_ticks == case.get("ticks")
        assert cost_ticks(PRICES[provider], metered.usage) == case["cost"]


counts = st.fixed_dictionaries(
    {
        "prompt": st.integers(0, 50),
        "completion": st.none() | st.integers(0, 50),
        "total": st.none() | st.integers(0, 150),
        "cached": st.integers(0, 30),
        "cache_write_5m": st.integers(0, 10),
        "audio_input": st.integers(0, 30),
        "image_input": st.integers(0, 30),
        "reasoning": st.none() | st.integers(0, 50),
        "audio_output": st.integers(0, 20),
    }
)


@given(counts)
def test_buckets_add_up_to_what_was_said_and_are_never_negative(said: dict[str, Any]) -> None:
    try:
        usage = sort_counts(**said)
    except Contradiction:
        return
    assert usage.input_tokens == said["prompt"]
    assert said["total"] is None or usage.total_tokens == said["total"]
    assert said["completion"] is None or usage.output_tokens >= said["completion"]
    assert min(getattr(usage, bucket) for bucket in Usage.__struct_fields__) >= 0
