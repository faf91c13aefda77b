"""Everything that a declaration can say at once: applied, exported, applied again, and compared."""

from ipaddress import ip_network
from typing import Any

import pytest

from billing.models import Quota
from gateway.declaration import apply, export

pytestmark = pytest.mark.django_db

WHOLE = """
providers:
  - {name: openai, protocol: openai, base_url: "https://api.openai.com/v1", credential: "env:OPENAI_API_KEY"}
  - {name: local,  protocol: anthropic, base_url: "http://127.0.0.1:9900", credential: "literal:abc"}
models:
  - name: gpt-4o
    context_window: 128000
    max_output_tokens: 16384
    routes: [{provider: openai, model: gpt-4o, priority: 0, weight: 1}]
    price: {input: "2.50", cache_read: "1.25", output: "10.00", effective: 2026-01-01}
organizations:
  - slug: acme
    name: Acme
    time_zone: Europe/Berlin
    quotas: [{unit: cost, limit: "100.00", window: month}]
    members: [{email: dev@example.com, role: member, quotas: [{unit: cost, limit: "20.00", window: month}]}]
    projects:
      - slug: default
        quotas:
          - {unit: cost, limit: "5.00", window: month, mode: enforce, hold: strict, clamp: false}
          - {unit: requests, limit: 600, window: minute}
          - {unit: total_tokens, limit: 2000000, window: day, model: gpt-4o}
        keys: [{name: ci, quotas: [{unit: cost, limit: "1.00", window: lifetime}]}]
"""  # noqa: E501 - as people write it.


@pytest.fixture
def applied(monkeypatch: pytest.MonkeyPatch, settings: Any) -> str:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789")
    settings.UPSTREAM_ALLOWED_NETWORKS = (ip_network("127.0.0.0/8"),)
    apply(WHOLE)
    return WHOLE


def test_every_kind_of_quota_stands_where_it_was_declared(applied: str) -> None:
    found = set(Quota.objects.values_list("scope", "unit", "window", "model"))
    assert found == {
        ("organization", "cost", "month", ""),
        ("member", "cost", "month", ""),
        ("project", "cost", "month", ""),
        ("project", "requests", "minute", ""),
        ("project", "total_tokens", "day", "gpt-4o"),
        ("key", "cost", "lifetime", ""),
    }


def test_applying_it_again_changes_nothing(applied: str) -> None:
    assert apply(applied).lines() == ["= nothing changed"]


def test_its_export_is_the_same_and_exports_the_same_again(applied: str) -> None:
    first = export()
    assert apply(first).lines() == ["= nothing changed"]
    assert export() == first


def test_a_dry_run_shows_the_difference_and_leaves_it(applied: str) -> None:
    other = applied.replace("limit: 600", "limit: 900").replace("name: Acme", "name: Acme Ltd")
    shown = apply(other, dry_run=True).changes
    assert len(shown) == 2
    assert any("limit 600 -> 900" in line for line in shown)
    assert any("Acme -> Acme Ltd" in line for line in shown)
    assert apply(applied).lines() == ["= nothing changed"]
    assert apply(other).changes == shown
