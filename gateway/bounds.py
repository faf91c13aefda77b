"""The most that one attempt can use, before it is sent. Pure integers: no prices, no quotas.

A bound holds whatever the caller wrote and whatever the provider does within what its model and
route declare. What has no such bound is `Unbounded`, by name; it is never guessed at.
"""

from __future__ import annotations

import typing
from collections.abc import Callable

import msgspec

from gateway.protocols.form import FeatureKind, Request


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


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """No attempt with `output_cap` in its body uses more. `output_tokens` counts all `answers`.

    `is_capped` is false where a lower cap would not lower `output_tokens`.
    """

    input_tokens: int
    output_tokens: int
    output_cap: int
    answers: int
    is_capped: bool


class Unbounded(msgspec.Struct, frozen=True):
    """The first part of the request that nothing bounds."""

    field: str
    kind: FeatureKind


def choose_cap(request: Request, model: ModelBounds) -> int:
    """The output cap to write into the body: the caller's, at most what the model can write."""
    return min(request.output_cap or model.max_output_tokens, model.max_output_tokens)


def bound_attempt(
    request: Request,
    model: ModelBounds,
    *,
    body_bytes: int,
    output_cap: int,
    cap_bounds_reasoning: bool,
) -> Bound | Unbounded:
    """Bound an attempt whose forwarded body is `body_bytes` long and holds `output_cap`.

    Input: a token stands for at least one byte of text, and every message brings more bytes of
    JSON than tokens of its template; parts that are not text add what the model declares for each.
    The context window bounds the input as well, for a provider refuses or cuts what does not fit.
    Output: the cap for each answer; where the cap leaves reasoning out, only the context window.
    """
    input_tokens = body_bytes + model.overhead_tokens
    for feature in request.features:
        overhead = _find_overhead(feature.kind, model)
        if overhead is None:
            return Unbounded(feature.field, feature.kind)
        input_tokens += overhead
    longest = output_cap if cap_bounds_reasoning else model.context_window
    return Bound(
        input_tokens=min(input_tokens, model.context_window),
        output_tokens=longest * request.answers,
        output_cap=output_cap,
        answers=request.answers,
        is_capped=cap_bounds_reasoning,
    )


def largest_cap_that_fits(
    bound: Bound, limit: int, *, amount: Callable[[int, int], int]
) -> int | None:
    """The largest output cap, up to the bound's own, whose attempt comes to `limit` at most.

    `amount(input_tokens, output_tokens)` gives what a quota of this unit counts (ticks or tokens)
    and never falls as output grows. None where no cap helps: one token is too much already, or the
    cap does not bound the output.
    """

    def fits(cap: int) -> bool:
        output_tokens = cap * bound.answers if bound.is_capped else bound.output_tokens
        return amount(bound.input_tokens, output_tokens) <= limit

    fitting, too_large = 0, bound.output_cap + 1
    while too_large - fitting > 1:
        middle = (fitting + too_large) // 2
        if fits(middle):
            fitting = middle
        else:
            too_large = middle
    return fitting or None


def _find_overhead(kind: FeatureKind, model: ModelBounds) -> int | None:
    if kind is FeatureKind.IMAGE:
        return model.overhead_tokens_per_image
    if kind is FeatureKind.AUDIO:
        return model.overhead_tokens_per_audio
    if kind is FeatureKind.FILE:
        return model.overhead_tokens_per_file
    return None
