"""GET /v1/me: whose key this is, what it may use, and what is left of its quotas."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec

from accounts.keyring import KeyRecord
from billing.ledger.allowances import Standing
from billing.ledger.windows import END
from billing.pricing import format_usd
from gateway.endpoints.models import find_models, write_time
from gateway.routing import Catalog


def show_me(key: KeyRecord, catalog: Catalog, standing: Sequence[Standing]) -> bytes:
    """Answer with the key, the models that it may use, and how each of its quotas stands now."""
    return msgspec.json.encode(
        {
            "object": "key",
            "id": key.public_id,
            "name": key.name,
            "organization": key.organization_slug,
            "project": key.project_slug,
            "owner": _describe_owner(key),
            "created_at": write_time(key.made_at),
            "expires_at": None if key.expires_at is None else write_time(key.expires_at),
            "models": [model.name for model in find_models(key, catalog)],
            "endpoints": sorted(key.endpoints) or ["*"],
            "tags": key.tags,
            "time_zone": key.time_zone,
            "quotas": [_describe_quota(key, each) for each in standing],
        }
    )


def _describe_owner(key: KeyRecord) -> dict[str, object] | None:
    """Return the person by number, as reports name people; None for a service key."""
    return None if key.member is None else {"member": key.member, "user": key.member_user}


def _describe_quota(key: KeyRecord, standing: Standing) -> dict[str, object]:
    """Return a quota as refusals describe one: cost in decimal USD, other units as numbers.

    `held` is what running calls may yet use. `left` is what a new call can still hold; both it
    and `limit` are null where the quota only counts. `at_worst` is the most that can ever be used
    of the limit: a bounded quota's calls may use more than they hold.
    """
    rule, limit, used, held = standing.rule, standing.limit, standing.used, standing.held
    left = None if limit is None else max(limit - used - held, 0)
    at_worst = limit * rule.share if limit is not None and rule.is_drawn else None
    amounts = {"limit": limit, "used": used, "held": held, "left": left, "at_worst": at_worst}
    return {
        "scope": rule.scope,
        "name": _name_scope(key, rule.scope),
        "unit": rule.unit,
        "currency": "USD" if rule.unit == "cost" else None,
        "window": rule.window,
        "model": rule.model or None,
        "mode": rule.mode,
        "hold": rule.hold,
        "clamp": rule.clamp,
        **{name: _show(amount, rule.unit) for name, amount in amounts.items()},
        "counted_since": _write_local(_counted_since(standing), key.time_zone),
        "resets_at": _describe_reset(standing, key.time_zone),
        "as_of": _write_local(standing.as_of, key.time_zone),
    }


def _name_scope(key: KeyRecord, scope: str) -> str:
    names = {
        "organization": key.organization_slug,
        "project": key.project_slug,
        "member": "you",
        "key": key.name,
    }
    return names[scope]


def _show(amount: int | None, unit: str) -> str | int | None:
    return format_usd(amount) if unit == "cost" and amount is not None else amount


def _counted_since(standing: Standing) -> float:
    """Return when counting began: with the window, or with the quota in the middle of it."""
    return max(standing.starts_at.timestamp(), standing.rule.made_at)


def _write_local(at: float, time_zone: str) -> str:
    return datetime.fromtimestamp(int(at), ZoneInfo(time_zone)).isoformat()


def _describe_reset(standing: Standing, time_zone: str) -> str | None:
    """Return when the window ends, in the organization's zone; None where it never does."""
    if standing.ends_at >= END:
        return None
    return standing.ends_at.astimezone(ZoneInfo(time_zone)).isoformat()
