"""What the calls of these tests find in the database: a tenant, keys, models, prices and quotas."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.db import transaction

from accounts.issuance import IssuedKey, issue_key
from accounts.models import Organization, Project
from billing.models import Price, Quota
from gateway import models
from gateway.credentials import seal

OUTPUT_TICKS = 1_000_000  # $100 per million output tokens: 100 tokens cost a cent.
CENT = 100 * OUTPUT_TICKS
CREDENTIAL = "sk-canary-credential-0123456789abcdef"


def chat(model: str = "gpt-4o", **fields: Any) -> dict[str, Any]:
    """Return the body of a chat completions request."""
    messages = [{"role": "user", "content": "What is the answer?"}]
    return {"model": model, "messages": messages, **fields}


@dataclass
class World:
    """A project with a key, and models at the demo provider with a price."""

    organization: Organization
    project: Project
    provider: models.Provider
    issued: IssuedKey = field(init=False)

    def __post_init__(self) -> None:
        self.issued = self.add_key("ci")

    @property
    def key(self) -> str:
        return self.issued.plaintext

    @property
    def key_id(self) -> int:
        return self.issued.key.pk

    def add_key(self, name: str, **fields: Any) -> IssuedKey:
        return issue_key(project=self.project, name=name, **fields)

    def add_model(
        self,
        name: str,
        *,
        upstream_model: str = "",
        provider: models.Provider | None = None,
        input: int = 0,
        priced: bool = True,
        route: dict[str, Any] | None = None,
        **fields: Any,
    ) -> models.Model:
        """Make a model with a route and, if it is `priced`, `input` ticks for an input token."""
        bounds = {"context_window": 128_000, "max_output_tokens": 16_384}
        with transaction.atomic():
            model = models.Model.objects.create(name=name, **{**bounds, **fields})
            models.Route.objects.create(
                model=model,
                provider=provider or self.provider,
                upstream_model=upstream_model or name,
                **(route or {}),
            )
            if priced:
                self.add_price(name, input=input)
        return model

    def add_route(self, model: models.Model, provider: models.Provider) -> models.Provider:
        """Let another provider answer for a model too; return the provider."""
        models.Route.objects.create(model=model, provider=provider, upstream_model=model.name)
        return provider

    def add_provider(self, name: str, base_url: str = "", **fields: Any) -> models.Provider:
        return add_provider(name, base_url or self.provider.base_url, **fields)

    def add_price(self, model: str, *, output: int = OUTPUT_TICKS, **fields: Any) -> None:
        effective_from = datetime(2026, 1, 1, tzinfo=UTC)
        prices = {"input": 0, "output": output, **fields}
        Price.objects.create(model=model, effective_from=effective_from, **prices)

    def add_quota(self, limit: int | None, *, scope: str = "key", **fields: Any) -> Quota:
        """Make a cost quota of this world's key, project or organization."""
        ids = {
            "key": self.key_id,
            "project": self.project.pk,
            "organization": self.organization.pk,
        }
        return Quota.objects.create(
            organization=self.organization.pk,
            scope=scope,
            limit=limit,
            **{"scope_id": ids.get(scope), "unit": "cost", "window": "lifetime", **fields},
        )


def add_provider(name: str, base_url: str, **fields: Any) -> models.Provider:
    fields = {"protocol": "openai", **fields}
    row = models.Provider.objects.create(name=name, base_url=base_url, **fields)
    models.Credential.objects.create(provider=row, sealed=seal(CREDENTIAL), source="test")
    return row


def make_world(project: Project, provider_url: str) -> World:
    world = World(project.organization, project, add_provider("local", f"{provider_url}/v1"))
    for name in ("gpt-4o", "demo-fixed-100", "demo-echo"):
        world.add_model(name)
    return world
