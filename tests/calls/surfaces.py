"""Models at every kind of provider, and the same question at every endpoint."""

from __future__ import annotations

from typing import Any

from gateway.models import Provider
from tests.calls.world import World

QUESTION = "What is the answer?"
CAP = 2000
# A model for each kind of route, by what can be called there.
KINDS = {
    "openai": "of-openai",
    "openai+responses": "of-responses",
    "openai+only-responses": "of-only-responses",
    "anthropic": "of-anthropic",
}
ENDPOINTS = {
    "chat.completions": "/v1/chat/completions",
    "responses": "/v1/responses",
    "completions": "/v1/completions",
    "messages": "/v1/messages",
}


def add_kinds(world: World, upstream_model: str = "gpt-4o") -> None:
    """Let every kind of route lead to a model of its own."""
    for kind, (provider, route) in add_providers(world).items():
        world.add_model(
            KINDS[kind], provider=provider, upstream_model=upstream_model, input=7, route=route
        )


def add_providers(world: World) -> dict[str, tuple[Provider, dict[str, Any]]]:
    """Add a provider of every kind; return them with how a route of the kind is."""
    root = world.provider.base_url.removesuffix("/v1")
    responses = world.add_provider("responses", responses=True)
    anthropic = world.add_provider("anthropic", root, protocol="anthropic")
    return {
        "openai": (world.provider, {}),
        "openai+responses": (responses, {}),
        "openai+only-responses": (responses, {"only_responses": True}),
        "anthropic": (anthropic, {}),
    }


def ask(endpoint: str, model: str, **fields: Any) -> dict[str, Any]:
    """The body that asks the question at an endpoint."""
    messages = [{"role": "user", "content": QUESTION}]
    asked: dict[str, dict[str, Any]] = {
        "chat.completions": {"messages": messages, "max_tokens": CAP},
        "responses": {"input": QUESTION, "max_output_tokens": CAP},
        "completions": {"prompt": QUESTION, "max_tokens": CAP},
        "messages": {"messages": messages, "max_tokens": CAP},
        "embeddings": {"input": QUESTION},
        "messages.count_tokens": {"messages": messages},
    }
    return {"model": model, **asked[endpoint], **fields}


def read_text(endpoint: str, answer: dict[str, Any]) -> str:
    """What an answer of that endpoint says."""
    match endpoint:
        case "chat.completions":
            text = answer["choices"][0]["message"]["content"]
        case "responses":
            parts = [p for item in answer["output"] for p in item.get("content", [])]
            text = "".join(part["text"] for part in parts)
        case "completions":
            text = answer["choices"][0]["text"]
        case _:
            text = "".join(block.get("text", "") for block in answer["content"])
    return str(text)
