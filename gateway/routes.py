"""Public models and the routes that serve them are made, changed and removed here, whoever asks.

A model's bounds decide what a call is held at, so they are kept within what sums can carry. Names
stay: prices, quotas, keys and facts refer to a model by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from accounts import rows
from accounts.errors import InvalidField
from gateway.models import Model, Provider, Route

MAX_TOKENS = 2**40
MAX_OVERHEAD = 2**31 - 1
MAX_SMALL = 32_767
MAX_TIMEOUT_MS = 86_400_000

# What can be said of each but its name: the columns, with the least and the most of a number.
MODEL_BOUNDS: dict[str, tuple[int, int]] = {
    "context_window": (1, MAX_TOKENS),
    "max_output_tokens": (1, MAX_TOKENS),
    "overhead_tokens": (0, MAX_OVERHEAD),
    "overhead_tokens_per_image": (0, MAX_OVERHEAD),
    "overhead_tokens_per_audio": (0, MAX_OVERHEAD),
    "overhead_tokens_per_file": (0, MAX_OVERHEAD),
}
ROUTE_BOUNDS: dict[str, tuple[int, int]] = {
    "priority": (0, MAX_SMALL),
    "weight": (0, MAX_SMALL),
    "connect_timeout_ms": (1, MAX_TIMEOUT_MS),
    "first_byte_timeout_ms": (1, MAX_TIMEOUT_MS),
    "idle_timeout_ms": (1, MAX_TIMEOUT_MS),
    "total_timeout_ms": (1, MAX_TIMEOUT_MS),
}


def make_model(*, name: str, context_window: int, max_output_tokens: int, **columns: Any) -> Model:
    """Make a model that no route serves yet. Raises InvalidField."""
    if not name.isprintable() or " " in name:
        raise InvalidField("name", "must be free of spaces")
    columns |= {"context_window": context_window, "max_output_tokens": max_output_tokens}
    _check_bounds(columns, MODEL_BOUNDS)
    return rows.insert(Model(name=name, **columns))


def change_model(model: Model, changes: Mapping[str, Any]) -> None:
    """Change a model's bounds, or switch it on or off. Raises InvalidField."""
    _check_bounds(changes, MODEL_BOUNDS)
    rows.change(model, changes)


def remove_model(model: Model) -> None:
    """Take a model away, with its routes. Prices and history stay."""
    model.delete()


def make_route(model: Model, provider: Provider, *, upstream_model: str, **columns: Any) -> Route:
    """Let a provider serve a model, under the name that it has there. Raises InvalidField."""
    if not upstream_model.isprintable() or " " in upstream_model:
        raise InvalidField("upstream_model", "must be free of spaces")
    _check_bounds(columns, ROUTE_BOUNDS)
    same = Route.objects.filter(model=model, provider=provider, upstream_model=upstream_model)
    if same.exists():
        raise InvalidField("upstream_model", "such a route is there already")
    return rows.insert(
        Route(model=model, provider=provider, upstream_model=upstream_model, **columns)
    )


def change_route(route: Route, changes: Mapping[str, Any]) -> None:
    """Change a route's order, weight or timeouts, or switch it on or off. Raises InvalidField."""
    _check_bounds(changes, ROUTE_BOUNDS)
    rows.change(route, changes)


def remove_route(route: Route) -> None:
    """Take a route away; calls that are on their way there go on."""
    route.delete()


def _check_bounds(columns: Mapping[str, Any], bounds: Mapping[str, tuple[int, int]]) -> None:
    for name, (least, most) in bounds.items():
        value = columns.get(name)
        if value is not None and not least <= value <= most:
            raise InvalidField(name, f"{value} is outside {least} to {most}")
