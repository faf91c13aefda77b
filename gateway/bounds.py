"""The most that one attempt can use, before it is sent. Pure integers; no clock, no quota.

A bound holds whatever the caller wrote and whatever the provider does within what its model and
route declare. A part of the request that nothing bounds is named, never guessed at.
"""

from __future__ import annotations

import typing

import msgspec

from billing.pricing import Price, affordable_output_tokens, bound_ticks
from gateway.errors import UnboundedFeature
from gateway.protocols.form import CARRIED_KINDS, Feature, FeatureKind, Request


class ModelBounds(typing.Protocol):
    """What a model declares, by the names of the table's columns."""

    @property
    def context_window(self) -> int: ...
    @property
    def max_output_tokens(self) -> int: ...
    @property
    def overhead_tokens(self) -> int: ...
    @property
    def overhead_tokens_per_image(self) -> int | None: ...
    @property
    def overhead_tokens_per_audio(self) -> int | None: ...
    @property
    def overhead_tokens_per_file(self) -> int | None: ...


class RouteBounds(typing.Protocol):
    """What a route declares about its provider."""

    @property
    def cap_bounds_reasoning(self) -> bool: ...


class Bound(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """No attempt whose body holds `output_cap` uses more. `output_tokens` counts all `answers`.

    `is_capped` is false where a lower cap would not lower `output_tokens`. With `unbounded` set
    the figures are the model's own limits, and a strict quota has to refuse the call.
    """

    input_tokens: int
    output_tokens: int
    output_cap: int
    answers: int
    is_capped: bool
    unbounded: UnboundedFeature | None = None


NOTHING = Bound(input_tokens=0, output_tokens=0, output_cap=0, answers=0, is_capped=True)


def output_cap(request: Request, model: ModelBounds) -> int:
    """Return the cap to write into the body: the caller's, at most what the model can write."""
    return min(request.output_cap or model.max_output_tokens, model.max_output_tokens)


def bound(
    request: Request,
    *,
    size_bytes: int,
    model: ModelBounds,
    route: RouteBounds,
    cap: int | None = None,
    is_translated: bool = False,
) -> Bound:
    """Bound an attempt whose forwarded body is `size_bytes` long and holds `cap`.

    Of a request that `is_translated` only what other dialects can carry is in the body.

    Input: a token stands for at least one byte of text, and every message brings more bytes of
    JSON than tokens of its template; a part that is not text adds what the model declares for it.
    The context window bounds each prompt as well, as a provider refuses or cuts what does not fit.
    Output: the cap for each answer; where the cap leaves reasoning out, only the context window.
    """
    cap = output_cap(request, model) if cap is None else cap
    if request.is_free:
        return NOTHING
    input_tokens = size_bytes + model.overhead_tokens
    unbounded = None
    for feature in request.features:
        if is_translated and feature.kind not in CARRIED_KINDS:
            continue
        overhead = _find_overhead(feature, model)
        if overhead is None:
            unbounded = unbounded or UnboundedFeature(feature.field, feature.kind)
        input_tokens += model.context_window if overhead is None else overhead
    longest = cap if route.cap_bounds_reasoning else model.context_window
    return Bound(
        input_tokens=min(input_tokens, model.context_window * request.prompts),
        output_tokens=longest * request.answers,
        output_cap=cap,
        answers=request.answers,
        is_capped=route.cap_bounds_reasoning,
        unbounded=unbounded,
    )


def ticks(bound: Bound, price: Price) -> int:
    """Return the most that the attempt can cost, in ticks."""
    return bound_ticks(price, input_tokens=bound.input_tokens, output_tokens=bound.output_tokens)


def largest_cap_that_fits(bound: Bound, *, price: Price, limit_ticks: int) -> int | None:
    """Return the largest output cap whose attempt costs `limit_ticks` at most, up to its own cap.

    None where no cap helps: one token is too much already, the cap does not bound the output, or
    there is none.
    """
    output_tokens = affordable_output_tokens(
        price, input_tokens=bound.input_tokens, ticks=limit_ticks
    )
    return None if output_tokens is None else largest_cap_within(bound, output_tokens)


def largest_cap_within(bound: Bound, output_tokens: int) -> int | None:
    """Return the largest output cap whose attempt writes so many tokens at most, up to its own
    cap; None where no cap helps."""
    if not bound.is_capped or not bound.answers:
        return None
    return min(max(output_tokens, 0) // bound.answers, bound.output_cap) or None


def _find_overhead(feature: Feature, model: ModelBounds) -> int | None:
    match feature.kind:
        case FeatureKind.IMAGE:
            return model.overhead_tokens_per_image
        case FeatureKind.AUDIO:
            return model.overhead_tokens_per_audio
        case FeatureKind.FILE:
            return model.overhead_tokens_per_file
        case _:
            return None
