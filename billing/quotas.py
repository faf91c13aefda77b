"""Rules of quotas: how one is read, where it is kept, and the book that gateways keep in memory.

A rule that this release does not enforce is refused here, by the name of its field, and never
stored: nobody shall trust in a limit that nothing holds. What a rule counts is the ledger's.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import psycopg
from django.utils import timezone

from accounts.errors import InvalidField
from accounts.models import ApiKey, Membership, Project
from billing.models import Quota
from billing.pricing import TICKS_PER_USD, format_usd, parse_usd

if TYPE_CHECKING:
    from accounts.changes import Change

ENFORCED_UNITS = frozenset({"cost"})
ENFORCED_WINDOWS = frozenset({"hour", "day", "week", "month", "lifetime"})
ENFORCED_HOLDS = frozenset({"strict"})

# Sums of limits and amounts have to stay within an int64 of ticks: 922 million USD.
MAX_LIMIT_TICKS = 100_000_000 * TICKS_PER_USD


class QuotaRule(msgspec.Struct, frozen=True):
    """A rule as gateways keep it. `limit` is in the unit, ticks for cost; None counts without
    refusing. Times are Unix seconds."""

    id: int
    organization: int
    scope: str
    scope_id: int
    model: str
    unit: str
    limit: int | None
    window: str
    mode: str
    hold: str
    clamp: bool
    ends_at: float | None
    made_at: float


class QuotaFields(msgspec.Struct, frozen=True):
    """What a declaration or a form says of a quota, read and found to be enforced."""

    unit: str
    limit: int | None
    window: str
    model: str
    mode: str
    hold: str
    clamp: bool


def parse_quota(fields: Mapping[str, object], *, scope: str) -> QuotaFields:
    """Read a quota of a `scope`: unit, limit, window and, where given, model, mode, hold, clamp.

    `limit` is USD for cost, "100.00"; None counts without refusing. Raises InvalidField, also for
    what is not enforced yet.
    """
    if scope not in Quota.Scope.values:
        raise InvalidField("scope", f"{scope!r} is none of {', '.join(Quota.Scope.values)}")
    known = QuotaFields.__struct_fields__
    for name in fields:
        if name not in known:
            raise InvalidField(name, f"is none of {', '.join(known)}")
    unit = _choose(fields, "unit", Quota.Unit.values, ENFORCED_UNITS)
    if "limit" not in fields:
        raise InvalidField("limit", "is missing; write null to count without refusing")
    clamp = fields.get("clamp", False)
    if clamp is not False:
        raise InvalidField(
            "clamp",
            "lowering a call's cap to fit is not done by this release, so it must be false"
            if clamp is True
            else "must be true or false",
        )
    model = fields.get("model") or ""
    if not isinstance(model, str) or len(model) > 200:
        raise InvalidField("model", "must be the name of a model")
    return QuotaFields(
        unit=unit,
        limit=_parse_limit(fields["limit"]),
        window=_choose(fields, "window", Quota.Window.values, ENFORCED_WINDOWS),
        model=model,
        mode=_choose(fields, "mode", Quota.Mode.values, default="enforce"),
        hold=_choose(fields, "hold", Quota.Hold.values, ENFORCED_HOLDS, default="strict"),
        clamp=False,
    )


def _parse_limit(limit: object) -> int | None:
    if limit is None:
        return None
    ticks = parse_usd(limit, field="limit")
    if ticks > MAX_LIMIT_TICKS:
        raise InvalidField("limit", f"is more than {format_usd(MAX_LIMIT_TICKS)} USD")
    return ticks


def _choose(
    fields: Mapping[str, object],
    name: str,
    options: Sequence[str],
    enforced: frozenset[str] | None = None,
    default: str | None = None,
) -> str:
    value = fields.get(name, default)
    if value is None:
        raise InvalidField(name, f"is missing; write one of {', '.join(options)}")
    if not isinstance(value, str) or value not in options:
        raise InvalidField(name, f"{value!r} is none of {', '.join(options)}")
    if enforced is not None and value not in enforced:
        raise InvalidField(
            name,
            f"{value} is not enforced by this release, so such a quota is not accepted;"
            f" what is: {', '.join(option for option in options if option in enforced)}",
        )
    return value


def set_quota(
    *, organization: int, scope: str, scope_id: int, fields: QuotaFields
) -> tuple[Quota, str]:
    """Make the scope's quota of that unit, window and model, or change it to what `fields` say.

    Returns it with "made", "changed" or "unchanged". Its open windows go on with what they have
    counted. Raises InvalidField where the scope is not the organization's.
    """
    require_scope(organization=organization, scope=scope, scope_id=scope_id)
    rest = {name: getattr(fields, name) for name in ("limit", "mode", "hold", "clamp")}
    quota, is_new = Quota.objects.get_or_create(
        scope=scope,
        scope_id=scope_id,
        unit=fields.unit,
        window=fields.window,
        model=fields.model,
        ends_at=None,
        defaults={"organization": organization, **rest},
    )
    if is_new:
        return quota, "made"
    if all(getattr(quota, name) == value for name, value in rest.items()):
        return quota, "unchanged"
    for name, value in rest.items():
        setattr(quota, name, value)
    quota.save(update_fields=list(rest))
    return quota, "changed"


def end_quota(quota: Quota) -> None:
    """End a quota now; what it counted stays."""
    quota.ends_at = timezone.now()
    quota.save(update_fields=["ends_at"])


def require_scope(*, organization: int, scope: str, scope_id: int) -> None:
    """Raise InvalidField unless the scope exists within the organization."""
    if scope == "organization":
        is_ours = scope_id == organization
    elif scope == "project":
        is_ours = Project.objects.filter(organization=organization, pk=scope_id).exists()
    elif scope == "member":
        is_ours = Membership.objects.filter(organization=organization, pk=scope_id).exists()
    elif scope == "key":
        is_ours = ApiKey.objects.filter(organization=organization, pk=scope_id).exists()
    else:
        raise InvalidField("scope", f"{scope!r} is none of {', '.join(Quota.Scope.values)}")
    if not is_ours:
        raise InvalidField("scope_id", f"the organization has no {scope} {scope_id}")


class QuotaBook:
    """Every rule there is, for look-up by whom a call belongs to.

    A rule that did not change stays the same object, so holders may compare by identity.
    """

    kinds = frozenset({"quota"})

    def __init__(self) -> None:
        self._rules: dict[int, QuotaRule] = {}
        self._by_scope: dict[tuple[str, int], list[QuotaRule]] = {}
        self._found: dict[tuple[int, int, int | None, int], tuple[QuotaRule, ...]] = {}

    def rules_for(
        self,
        *,
        organization: int,
        project: int,
        member: int | None,
        key: int,
        model: str | None = None,
    ) -> tuple[QuotaRule, ...]:
        """Return the rules that a call of this key is held to, in the order of their ids.

        With `model`, those for other models are left out. Rules that have ended always are.
        """
        whom = (organization, project, member, key)
        rules = self._found.get(whom)
        if rules is None:
            rules = self._found[whom] = self._find(*whom)
        if any(rule.model or rule.ends_at is not None for rule in rules):
            now = time.time()
            return tuple(rule for rule in rules if _covers(rule, model=model, now=now))
        return rules

    def _find(
        self, organization: int, project: int, member: int | None, key: int
    ) -> tuple[QuotaRule, ...]:
        scopes = [("organization", organization), ("project", project), ("key", key)]
        if member is not None:
            scopes.append(("member", member))
        rules = [rule for scope in scopes for rule in self._by_scope.get(scope, ())]
        ours = (rule for rule in rules if rule.organization == organization)
        return tuple(sorted(ours, key=lambda rule: rule.id))

    async def load(self, connection: psycopg.AsyncConnection[Any]) -> None:
        cursor = await connection.execute(f"{_READ} WHERE {_LIVE}")
        self._replace(list(self._rules), await cursor.fetchall())

    async def refresh(
        self, connection: psycopg.AsyncConnection[Any], changes: Sequence[Change]
    ) -> None:
        """Read the changed rules again; those that are gone or have ended are dropped."""
        ids = list({change.object_id for change in changes})
        cursor = await connection.execute(f"{_READ} WHERE {_LIVE} AND id = ANY (%s)", [ids])
        self._replace(ids, await cursor.fetchall())

    def _replace(self, ids: Sequence[int], rows: Sequence[Sequence[Any]]) -> None:
        """Put rules in the place of those with `ids`, without a pause in between."""
        before = {id_: self._rules.pop(id_) for id_ in ids if id_ in self._rules}
        for rule in before.values():
            self._by_scope[rule.scope, rule.scope_id].remove(rule)
        for row in rows:
            rule = _rule(row)
            same = before.get(rule.id)
            rule = same if same is not None and same == rule else rule
            self._rules[rule.id] = rule
            self._by_scope.setdefault((rule.scope, rule.scope_id), []).append(rule)
        self._found.clear()


_READ = """
SELECT id, organization, scope, scope_id, model, unit, "limit", "window", mode, hold, clamp,
    ends_at, made_at
FROM quota
"""
_LIVE = "(ends_at IS NULL OR ends_at > now())"


def _rule(row: Sequence[Any]) -> QuotaRule:
    fields = dict(zip(QuotaRule.__struct_fields__, row, strict=True))
    for name in ("ends_at", "made_at"):
        fields[name] = fields[name] and fields[name].timestamp()
    return QuotaRule(**fields)


def _covers(rule: QuotaRule, *, model: str | None, now: float) -> bool:
    if rule.ends_at is not None and rule.ends_at <= now:
        return False
    return not rule.model or model is None or rule.model == model
