"""What keys can be for: the models that can be called now, and the endpoints that there are."""

from __future__ import annotations

from collections.abc import Collection

from gateway import dialects
from gateway.models import Model


def list_models(allowed: Collection[str] = ()) -> list[str]:
    """Return the models that have a route, those that are allowed where any are named."""
    found = Model.objects.filter(
        enabled=True, routes__enabled=True, routes__provider__enabled=True
    ).distinct()
    if allowed:
        found = found.filter(name__in=list(allowed))
    return list(found.order_by("name").values_list("name", flat=True))


def list_endpoints() -> list[str]:
    """Return the endpoints that keys can be restricted to, as keys and events name them."""
    found = (each for each in vars(dialects).values() if isinstance(each, dialects.Dialect))
    return sorted({dialect.endpoint for dialect in found})
