"""Every rule of every quota, in the memory of a gateway process; kept true by the change log."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import psycopg

from billing.quotas.rules import QuotaRule

if TYPE_CHECKING:
    from accounts.changes import Change


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
