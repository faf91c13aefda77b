"""The most that an attempt can use: never too low, and nothing guessed."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.pricing import Price, make_price
from gateway import bounds
from gateway.protocols.anthropic_messages import read_count_request
from gateway.protocols.openai_chat import ChatRequest, read_request
from tests.wire.making import body


class Model(msgspec.Struct, frozen=True):
    context_window: int = 128_000
    max_output_tokens: int = 16_384
    overhead_tokens: int = 50
    overhead_tokens_per_image: int | None = None
    overhead_tokens_per_audio: int | None = None
    overhead_tokens_per_file: int | None = None


class Route(msgspec.Struct, frozen=True):
    cap_bounds_reasoning: bool = True


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
REMOTE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
XAI = Route(cap_bounds_reasoning=False)


def request(**fields: Any) -> ChatRequest:
    return read_request(body(**fields))


def bound(
    model: Model | None = None, route: Route | None = None, size_bytes: int = 1000, **fields: Any
) -> bounds.Bound:
    return bounds.bound(
        request(**fields), size_bytes=size_bytes, model=model or Model(), route=route or Route()
    )


def price(input: int = 3, output: int = 7, tiers: list[dict[str, int]] | None = None) -> Price:
    return make_price(
        id=1,
        model="m",
        provider="",
        effective_from=0.0,
        ticks={"input": input, "output": output},
        tiers=tiers or [],
    )


def test_what_is_free_is_bounded_by_nothing() -> None:
    counting = read_count_request(body())
    found = bounds.bound(counting, size_bytes=9999, model=Model(), route=Route())
    assert (found.input_tokens, found.output_tokens) == (0, 0)


def test_the_cap_is_the_callers_and_at_most_what_the_model_writes() -> None:
    assert bounds.output_cap(request(), Model()) == 16_384
    assert bounds.output_cap(request(max_tokens=10), Model()) == 10
    assert bounds.output_cap(request(max_tokens=1_000_000), Model()) == 16_384


def test_input_is_bounded_by_bytes_and_the_declared_overhead() -> None:
    found = bound(max_tokens=10)
    assert (found.input_tokens, found.output_tokens, found.output_cap) == (1050, 10, 10)


def test_the_context_window_bounds_the_input_too() -> None:
    assert bound(size_bytes=5_000_000).input_tokens == 128_000


def test_every_answer_is_counted() -> None:
    assert bound(n=5, max_tokens=10).output_tokens == 50


def test_where_the_cap_leaves_reasoning_out_only_the_window_bounds_it() -> None:
    found = bound(route=XAI, n=2, max_tokens=10)
    assert (found.output_tokens, found.is_capped, found.output_cap) == (256_000, False, 10)


def test_an_image_adds_what_the_model_declares() -> None:
    messages = [{"role": "user", "content": [IMAGE, IMAGE]}]
    found = bound(Model(overhead_tokens_per_image=1500), messages=messages)
    assert (found.input_tokens, found.unbounded) == (4050, None)


UNDECLARED: list[tuple[dict[str, Any], str]] = [
    ({"messages": [{"role": "user", "content": [IMAGE]}]}, "messages[0].content[0]"),
    ({"messages": [{"role": "user", "content": [REMOTE]}]}, "messages[0].content[0]"),
    ({"tools": [{"type": "web_search"}]}, "tools[0]"),
    ({"deferred": True}, "deferred"),
]


@pytest.mark.parametrize(("fields", "field"), UNDECLARED)
def test_what_nothing_bounds_is_named_and_counted_as_the_whole_window(
    fields: dict[str, Any], field: str
) -> None:
    found = bound(**fields)
    assert found.unbounded is not None
    assert (found.unbounded.field, found.unbounded.code) == (field, "unbounded_feature")
    assert found.input_tokens == 128_000


def test_an_image_at_an_address_has_no_bound_even_where_images_have_one() -> None:
    messages = [{"role": "user", "content": [REMOTE]}]
    assert bound(Model(overhead_tokens_per_image=1500), messages=messages).unbounded is not None


def test_a_bound_is_priced_at_the_dearest_tier_it_can_reach() -> None:
    dear = price(tiers=[{"input_tokens": 1000, "input": 30, "output": 70}])
    assert bounds.ticks(bound(max_tokens=10), dear) == 1050 * 30 + 10 * 70


@given(st.integers(0, 200_000), st.integers(1, 5), st.integers(1, 20_000))
def test_the_largest_cap_fits_and_one_more_does_not(limit: int, answers: int, cap: int) -> None:
    def cost(output_cap: int) -> int:
        return bounds.ticks(bound(n=answers, max_tokens=output_cap), price())

    found = bounds.largest_cap_that_fits(
        bound(n=answers, max_tokens=cap), price=price(), limit_ticks=limit
    )
    assert found is None or cost(found) <= limit
    if (found or 0) < min(cap, 16_384):
        assert cost((found or 0) + 1) > limit


def test_no_cap_helps_where_it_does_not_bound_the_output() -> None:
    found = bounds.largest_cap_that_fits(bound(route=XAI), price=price(), limit_ticks=10)
    assert found is None
