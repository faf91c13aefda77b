"""One run of the whole product for all SDK journeys, with a model at each kind of provider."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx2
import pytest

from local.children import wait_until
from local.provider.behaviours import DEMO_MODELS
from tests.local.running import Run
from tests.product import apply, run_product

# The model that answers, by the protocol of its provider; the last one is on Responses alone.
OF_OPENAI, OF_ANTHROPIC, OF_RESPONSES = "of-openai", "of-anthropic", "of-responses-alone"
ALL = (OF_OPENAI, OF_ANTHROPIC, OF_RESPONSES)
FAILURES = tuple(name for name in DEMO_MODELS)


class Door(NamedTuple):
    """What a user of the product is given: where it is, and keys."""

    url: str
    key: str
    spent_key: str

    @property
    def openai_url(self) -> str:
        return f"{self.url}/v1"


@pytest.fixture(scope="session")
def product() -> Iterator[Run]:
    with run_product() as run:
        yield run


@pytest.fixture(scope="session")
def door(product: Run) -> Door:
    keys = apply(product, compose_declaration(str(product.read_running()["PROVIDER_URL"])))
    door = Door(f"http://127.0.0.1:{product.port}", keys["sdk"], keys["spent"])
    assert wait_until(lambda: is_open(door), 20), "the gateway does not know what was declared"
    return door


def is_open(door: Door) -> bool:
    """Whether the gateway has heard of all of it: a refusal for what is spent takes the key, the
    model, its price and the quota, which it learns one after the other."""
    body = {"model": OF_OPENAI, "messages": [{"role": "user", "content": "x"}], "max_tokens": 10}
    headers = {"authorization": f"Bearer {door.spent_key}"}
    answer = httpx2.post(f"{door.openai_url}/chat/completions", json=body, headers=headers)
    return "insufficient_quota" in answer.text


def compose_declaration(provider_url: str) -> dict[str, Any]:
    """Every behaviour of the demo provider as a model, at a provider of either protocol."""
    models = [_model(OF_OPENAI, "gpt-4o", "sdk-openai"), _model(OF_ANTHROPIC, "x", "sdk-anthropic")]
    models.append(_model(OF_RESPONSES, "gpt-4o", "sdk-openai", only_responses=True))
    for name in FAILURES:
        models.append(_model(f"openai/{name}", name, "sdk-openai"))
        models.append(_model(f"anthropic/{name}", name, "sdk-anthropic"))
    return {
        "providers": [
            _provider("sdk-openai", "openai", f"{provider_url}/v1"),
            _provider("sdk-anthropic", "anthropic", provider_url),
        ],
        "models": models,
        "organizations": [{"slug": "sdk", "name": "SDK", "projects": [_project()]}],
    }


def _provider(name: str, protocol: str, base_url: str) -> dict[str, Any]:
    return {"name": name, "protocol": protocol, "base_url": base_url, "credential": "literal:sk-x"}


def _model(name: str, upstream: str, provider: str, **route: Any) -> dict[str, Any]:
    return {
        "name": name,
        "context_window": 400_000,
        "max_output_tokens": 16_384,
        "overhead_tokens_per_image": 2_000,
        "routes": [{"provider": provider, "model": upstream, **route}],
        "price": {"input": "1.00", "output": "1.00", "effective": "2026-01-01"},
    }


def _project() -> dict[str, Any]:
    nothing = {"unit": "cost", "limit": "0.00", "window": "lifetime"}
    keys = [{"name": "sdk"}, {"name": "spent", "quotas": [nothing]}]
    return {"slug": "default", "keys": keys}
