"""GET /v1/models and /v1/models/{id}, in one shape that every vendor's client takes.

The object is a superset of OpenAI's, xAI's and Anthropic's, so that the dialect of the caller does
not matter.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from accounts.keyring import KeyRecord
from gateway.errors import ModelNotFound
from gateway.lanes import may_use
from gateway.routing import Catalog, ModelRecord


def list_models(key: KeyRecord, catalog: Catalog) -> bytes:
    """Answer with every model that the key may use, in the order of their names."""
    models = find_models(key, catalog)
    return msgspec.json.encode(
        {
            "object": "list",
            "data": [describe(model) for model in models],
            "has_more": False,
            "first_id": models[0].name if models else None,
            "last_id": models[-1].name if models else None,
        }
    )


def show_model(key: KeyRecord, catalog: Catalog, name: str) -> bytes:
    """Answer with one model. Raises ModelNotFound, also for one that the key may not use."""
    model = catalog.model(name)
    if model is None or not may_use(key, model) or not _is_offered(model):
        raise ModelNotFound(name)
    return msgspec.json.encode(describe(model))


def find_models(key: KeyRecord, catalog: Catalog) -> Sequence[ModelRecord]:
    """Return the models that the key may use and that can be called."""
    return [each for each in catalog.models() if may_use(key, each) and _is_offered(each)]


def _is_offered(model: ModelRecord) -> bool:
    return bool(model.routes) and not model.is_retired(time.time())


def describe(model: ModelRecord) -> dict[str, object]:
    """Return a model as OpenAI, xAI (the first four) and Anthropic (the others) know it.

    Anthropic's clients from 2.12 on require `lifecycle`; what can be called is active.
    """
    return {
        "id": model.name,
        "object": "model",
        "created": model.made_at,
        "owned_by": model.routes[0].provider,
        "type": "model",
        "display_name": model.name,
        "created_at": write_time(model.made_at),
        "lifecycle": "active",
    }


def write_time(unix_seconds: float) -> str:
    """Return an RFC 3339 time in UTC, to the second: 2026-01-31T09:30:00Z."""
    return f"{datetime.fromtimestamp(int(unix_seconds), UTC):%Y-%m-%dT%H:%M:%SZ}"
