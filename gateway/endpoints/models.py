"""GET /v1/models and /v1/models/{id}, in one shape that every vendor's client takes.

The object is a superset of OpenAI's, xAI's and Anthropic's, so that the dialect of the caller does
not matter. Who asks for pages, as Anthropic's clients may, gets them; everybody else gets all.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import parse_qsl

import msgspec

from accounts.keyring import KeyRecord
from gateway.errors import BadRequest, ModelNotFound
from gateway.lanes import may_use
from gateway.routing import Catalog, ModelRecord

MAX_LIMIT = 1000


class Page(NamedTuple):
    """At most `limit` models, those after one name or those that come just before another."""

    limit: int = MAX_LIMIT
    after: str = ""
    before: str = ""


def list_models(key: KeyRecord, catalog: Catalog, query: bytes = b"") -> bytes:
    """Answer with the models that the key may use, in the order of their names. Raises BadRequest.

    Names that are no model's stand where they would: one may be gone when the next page is asked.
    """
    models = find_models(key, catalog)
    has_more = False
    if query and (page := read_page(query)) is not None:
        models, has_more = _turn_to(page, models)
    return msgspec.json.encode(
        {
            "object": "list",
            "data": [describe(model) for model in models],
            "has_more": has_more,
            "first_id": models[0].name if models else None,
            "last_id": models[-1].name if models else None,
        }
    )


def read_page(query: bytes) -> Page | None:
    """Read what a query says of pages; None for one that asks for none. Raises BadRequest."""
    said = dict(parse_qsl(query.decode("latin-1")))
    limit, after, before = said.get("limit"), said.get("after_id", ""), said.get("before_id", "")
    if limit is None and not after and not before:
        return None
    if after and before:
        raise BadRequest("Give 'after_id' or 'before_id', not both.", "before_id")
    if limit is None:
        return Page(after=after, before=before)
    if not (limit.isascii() and limit.isdigit() and len(limit) < 5 and 0 < int(limit) <= MAX_LIMIT):
        raise BadRequest(f"'limit' has to be a number from 1 to {MAX_LIMIT}.", "limit")
    return Page(int(limit), after, before)


def _turn_to(page: Page, models: Sequence[ModelRecord]) -> tuple[Sequence[ModelRecord], bool]:
    """Return a page, and whether there is another one in its direction."""
    if page.before:
        found = [each for each in models if each.name < page.before]
        return found[-page.limit :], len(found) > page.limit
    found = [each for each in models if each.name > page.after]
    return found[: page.limit], len(found) > page.limit


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

    Anthropic's clients from 2.12 on require `lifecycle`: what has a last day is deprecated.
    """
    described: dict[str, object] = {
        "id": model.name,
        "object": "model",
        "created": model.made_at,
        "owned_by": model.routes[0].provider,
        "type": "model",
        "display_name": model.name,
        "created_at": write_time(model.made_at),
        "lifecycle": "active" if model.retires_at is None else "deprecated",
    }
    if model.retires_at is not None:
        described["retires_at"] = write_time(model.retires_at)
    return described


def write_time(unix_seconds: float) -> str:
    """Return an RFC 3339 time in UTC, to the second: 2026-01-31T09:30:00Z."""
    return f"{datetime.fromtimestamp(int(unix_seconds), UTC):%Y-%m-%dT%H:%M:%SZ}"
