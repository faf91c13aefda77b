"""Every rule of every quota, in the memory of a gateway process; kept true by the change log."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import psycopg

from billing.quotas.rules import QuotaRule, Terms, make_terms

if TYPE_CHECKING:
    from accounts.changes import Change


class QuotaBook:
    """Every rule there is, for look-up by whom a call belongs to.

    A rule that did not change stays the same object, so holders may compare by identity.
    """

    kinds = frozenset({"quota", "quota_raise"})

    def __init__(self) -> None:
        self._entries: dict[int, _Entry] = {}
        self._by_scope: dict[tuple[str, int], list[_Entry]] = {}

    def terms_for(
        self,
        *,
        organization: int,
        project: int,
        member: int | None,
        key: int,
        model: str | None = None,
        now: float | None = None,
    ) -> Terms:
        """Return the rules that a call of this key is held to at `now` (Unix seconds).

        With `model`, those for other models are left out. Rules that have ended always are.
        """
        now = time.time() if now is None else now
        scopes = [("organization", organization), ("project", project), ("key", key)]
        if member is not None:
            scopes.append(("member", member))
        rules = (entry.rule_at(now) for scope in scopes for entry in self._by_scope.get(scope, ()))
        ours = (rule for rule in rules if rule.organization == organization)
        return make_terms(rule for rule in ours if _covers(rule, model=model, now=now))

    async def load(self, connection: psycopg.AsyncConnection[Any]) -> None:
        cursor = await connection.execute(f"{_READ} WHERE {_LIVE}")
        self._replace(list(self._entries), await cursor.fetchall())

    async def refresh(
        self, connection: psycopg.AsyncConnection[Any], changes: Sequence[Change]
    ) -> None:
        """Read the changed rules again; those that are gone or have ended are dropped.

        A raise's change names its quota.
        """
        ids = list({change.object_id for change in changes})
        cursor = await connection.execute(f"{_READ} WHERE {_LIVE} AND q.id = ANY (%s)", [ids])
        self._replace(ids, await cursor.fetchall())

    def _replace(self, ids: Sequence[int], rows: Sequence[Sequence[Any]]) -> None:
        """Put rules in the place of those with `ids`, without a pause in between."""
        before = {id_: self._entries.pop(id_) for id_ in ids if id_ in self._entries}
        for entry in before.values():
            self._by_scope[entry.rule.scope, entry.rule.scope_id].remove(entry)
        now = time.time()
        for row in rows:
            entry = _Entry(row, now=now)
            same = before.get(entry.rule.id)
            if same is not None and same.rule == entry.rule:
                entry.rule = same.rule
            self._entries[entry.rule.id] = entry
            self._by_scope.setdefault((entry.rule.scope, entry.rule.scope_id), []).append(entry)


class _Entry:
    """A quota's row with its raises, and the rule that they make now."""

    __slots__ = ("_limit", "_raises", "rule")

    def __init__(self, row: Sequence[Any], *, now: float) -> None:
        *columns, raises = row
        fields = dict(zip(QuotaRule.__struct_fields__, columns, strict=False))
        self._limit: int | None = fields["limit"]
        self._raises: list[tuple[int, float]] = raises or []
        self.rule = self._compose(QuotaRule(**fields), now)

    def rule_at(self, now: float) -> QuotaRule:
        """Return the rule, made again where a raise has ended since."""
        if self.rule.changes_at is not None and self.rule.changes_at <= now:
            self.rule = self._compose(self.rule, now)
        return self.rule

    def _compose(self, rule: QuotaRule, now: float) -> QuotaRule:
        active = [(amount, ends_at) for amount, ends_at in self._raises if ends_at > now]
        ends = [ends_at for _, ends_at in active]
        if rule.ends_at is not None:
            ends.append(rule.ends_at)
        limit = self._limit
        if limit is not None:
            limit += sum(amount for amount, _ in active)
        return msgspec.structs.replace(rule, limit=limit, changes_at=min(ends, default=None))


_READ = """
SELECT q.id, q.organization, q.scope, q.scope_id, q.model, q.unit, q."limit", q."window", q.mode,
    q.hold, q.clamp,
    extract(epoch FROM q.ends_at)::float8, extract(epoch FROM q.made_at)::float8,
    (
        SELECT jsonb_agg(jsonb_build_array(r.amount, extract(epoch FROM r.ends_at)))
        FROM quota_raise r WHERE r.quota_id = q.id AND r.ends_at > now()
    )
FROM quota q
"""
_LIVE = "(q.ends_at IS NULL OR q.ends_at > now())"


def _covers(rule: QuotaRule, *, model: str | None, now: float) -> bool:
    if rule.ends_at is not None and rule.ends_at <= now:
        return False
    return not rule.model or model is None or rule.model == model
