"""Writes the database as a declaration: applied where it was written, it changes nothing.

Every column that apply understands is said, so that applying the file later also undoes a drift.
No secret leaves: a credential is named by its environment variable, or is `stored`, which a
database that does not have it refuses by the provider's name. Names are sorted, so that one
database gives one text.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, time
from typing import Any

import yaml
from django.utils import timezone

from accounts.models import ApiKey, Organization, Project
from billing import models as billing
from billing.prices import figures_of
from billing.pricing import format_price, format_usd
from gateway.declaration.grammar import MODEL_COLUMNS, ROUTE_COLUMNS, STORED
from gateway.models import Model, Provider

HEAD = """\
# Written by `manage.py apply --export`. It holds no secret: `credential: stored` means the one
# that the database has; in an empty database write "env:NAME" or "literal:TEXT" there. Keys that
# are missing there are made anew, with new text. Left out are: keys that belong to a person,
# revoked keys, archived projects, organizations that are not active, and of prices all but the
# one that each model has now.
"""

Yaml = dict[str, Any]


def export() -> str:
    """Return the YAML of everything that apply() can make."""
    whole = {
        "providers": [_write_provider(each) for each in Provider.objects.order_by("name")],
        "models": [_write_model(each) for each in Model.objects.order_by("name")],
        "organizations": [
            _write_organization(each)
            for each in Organization.objects.filter(status="active").order_by("slug")
        ],
    }
    body = yaml.safe_dump(
        whole, sort_keys=False, default_flow_style=None, allow_unicode=True, width=120
    )
    return HEAD + str(body)


def _write_provider(provider: Provider) -> Yaml:
    found = {
        "name": provider.name,
        "protocol": provider.protocol,
        "base_url": provider.base_url,
        "responses": provider.responses,
        "enabled": provider.enabled,
    }
    if provider.cap_field:
        found["cap_field"] = provider.cap_field
    credential = provider.credentials.first()
    if credential is not None:
        from_variable = credential.source.startswith("env:")
        found["credential"] = credential.source if from_variable else STORED
    return found


def _write_model(model: Model) -> Yaml:
    routes = model.routes.select_related("provider")
    found: Yaml = {
        "name": model.name,
        **{
            name: _write_value(getattr(model, name))
            for name in MODEL_COLUMNS
            if _is_said(model, name)
        },
        "routes": [
            {
                "provider": route.provider.name,
                "model": route.upstream_model,
                **{name: getattr(route, name) for name in ROUTE_COLUMNS},
            }
            for route in routes.order_by("priority", "provider__name", "upstream_model")
        ],
    }
    price = _find_price(model.name)
    return found | ({"price": _write_price(price)} if price is not None else {})


def _is_said(model: Model, column: str) -> bool:
    """Leave out what most models do not have."""
    return column not in {"aliases", "retires_at", "successor"} or bool(getattr(model, column))


def _write_value(value: object) -> object:
    return _write_moment(value) if isinstance(value, datetime) else value


def _find_price(model: str) -> billing.Price | None:
    """Return the price in force, or the first that will be: a file has room for one."""
    prices = billing.Price.objects.filter(model=model, provider="")
    now = timezone.now()
    return (
        prices.filter(effective_from__lte=now).order_by("-effective_from").first()
        or prices.order_by("effective_from").first()
    )


def _write_price(price: billing.Price) -> Yaml:
    figures = figures_of(price)
    found: Yaml = {name: format_price(ticks) for name, ticks in figures.ticks.items()}
    if figures.tiers:
        found["above"] = [
            {
                name: number if name == "input_tokens" else format_price(number)
                for name, number in tier.items()
            }
            for tier in figures.tiers
        ]
    return found | {"effective": _write_moment(price.effective_from)}


def _write_moment(moment: datetime) -> date | str:
    moment = moment.astimezone(UTC)
    return moment.date() if moment.time() == time() else moment.isoformat()


def _write_organization(organization: Organization) -> Yaml:
    members = organization.memberships.filter(left_at=None).select_related("user")
    found = {
        "slug": organization.slug,
        "name": organization.name,
        "time_zone": organization.time_zone,
        **_write_quotas("organization", organization.pk),
        "members": [
            {
                "email": member.user.email,
                "role": member.role,
                **_write_quotas("member", member.pk),
            }
            for member in members.order_by("user__email")
        ],
        "projects": [
            _write_project(each)
            for each in organization.projects.filter(archived_at=None).order_by("slug")
        ],
    }
    return _drop_empty(found)


def _write_project(project: Project) -> Yaml:
    found = {
        "slug": project.slug,
        "name": project.name,
        **_write_quotas("project", project.pk),
        "keys": _write_keys(project),
    }
    return _drop_empty(found)


def _write_keys(project: Project) -> list[Yaml]:
    """Write service keys by name. A name that several keys have stands once, without quotas:
    apply could not tell whose they are."""
    living = project.keys.exclude(status=ApiKey.Status.REVOKED).order_by("name", "id")
    named = Counter(living.values_list("name", flat=True))
    keys = {key.name: key for key in living if key.owner_id is None}
    return [
        {"name": name, **(_write_quotas("key", key.pk) if named[name] == 1 else {})}
        for name, key in keys.items()
    ]


def _write_quotas(scope: str, scope_id: int) -> Yaml:
    quotas = billing.Quota.objects.filter(scope=scope, scope_id=scope_id, ends_at=None)
    found = [_write_quota(each) for each in quotas.order_by("unit", "window", "model")]
    return {"quotas": found} if found else {}


def _write_quota(quota: billing.Quota) -> Yaml:
    limit: int | str | None = quota.limit
    if quota.limit is not None and quota.unit == "cost":
        limit = format_usd(quota.limit)
    found: Yaml = {"unit": quota.unit, "limit": limit, "window": quota.window}
    if quota.model:
        found["model"] = quota.model
    return found | {"mode": quota.mode, "hold": quota.hold, "clamp": quota.clamp}


def _drop_empty(found: Yaml) -> Yaml:
    return {name: value for name, value in found.items() if value != []}
