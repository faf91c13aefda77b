"""Usage of every provider, sorted into disjoint buckets: the golden cases in usage/*.json."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.usage import Usage
from gateway.protocols import anthropic_messages, openai_chat
from gateway.protocols.form import Metered
from gateway.protocols.usage import Contradiction, Counts, sort_counts
from tests.wire import messages
from tests.wire.making import compact, relay

FOLDER = Path(__file__).parent / "usage"
CASES = [
    pytest.param(path.stem, case, id=f"{path.stem}: {case['why']}")
    for path in sorted(FOLDER.glob("*.json"))
    for case in json.loads(path.read_text())
]


def meter(provider: str, case: dict[str, Any]) -> Metered:
    """Have the dialect of the provider read the case, as a whole answer or as a stream."""
    if provider != "anthropic":
        return openai_chat.read_answer(compact({"choices": [], "usage": case["usage"]})).metered
    if "usage" in case:
        answer = compact({"content": [], "usage": case["usage"]})
        return anthropic_messages.read_answer(answer).metered
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


counts = st.builds(
    Counts,
    prompt=st.integers(0, 50),
    completion=st.none() | st.integers(0, 50),
    total=st.none() | st.integers(0, 150),
    cached=st.integers(0, 30),
    cache_write_5m=st.integers(0, 10),
    audio_input=st.integers(0, 30),
    image_input=st.integers(0, 30),
    reasoning=st.none() | st.integers(0, 50),
    audio_output=st.integers(0, 20),
)


@given(counts)
def test_buckets_add_up_to_what_was_said_and_are_never_negative(said: Counts) -> None:
    try:
        usage = sort_counts(said)
    except Contradiction:
        return
    assert usage.input_tokens == said.prompt
    assert said.total is None or usage.total_tokens == said.total
    assert said.completion is None or usage.output_tokens >= said.completion
    assert min(getattr(usage, bucket) for bucket in Usage.__struct_fields__) >= 0
