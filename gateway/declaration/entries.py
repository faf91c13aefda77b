"""What a declaration says, as values: entries with the line where each stands.

An entry's `columns` hold what was given and nothing else: a name that is left out says nothing,
and what is in the database stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from billing.pricing import Figures
from billing.quotas import QuotaFields
from gateway.credentials import Secret


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing that is declared: where, under which name, and the columns that were given."""

    line: int
    name: str
    columns: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DeclaredCredential:
    """A provider's secret and where it came from, which never quotes it. Without a secret the one
    that is stored is meant."""

    secret: Secret | None
    source: str


@dataclass(frozen=True, kw_only=True)
class ProviderEntry(Entry):
    credential: DeclaredCredential | None


@dataclass(frozen=True, kw_only=True)
class PriceEntry:
    line: int
    figures: Figures
    effective: datetime | None


@dataclass(frozen=True, kw_only=True)
class ModelEntry(Entry):
    """`name` of a route is its provider; `upstream_model` is among its columns."""

    routes: Sequence[Entry]
    price: PriceEntry | None


@dataclass(frozen=True)
class QuotaEntry:
    line: int
    fields: QuotaFields


@dataclass(frozen=True, kw_only=True)
class HolderEntry(Entry):
    """A member (`name` is the e-mail address) or a key, with the quotas of its scope."""

    quotas: Sequence[QuotaEntry]


@dataclass(frozen=True, kw_only=True)
class ProjectEntry(HolderEntry):
    keys: Sequence[HolderEntry]


@dataclass(frozen=True, kw_only=True)
class OrganizationEntry(HolderEntry):
    members: Sequence[HolderEntry]
    projects: Sequence[ProjectEntry]


@dataclass(frozen=True)
class Declaration:
    """A whole file. With problems around it is incomplete, and good for checking only."""

    providers: Sequence[ProviderEntry] = ()
    models: Sequence[ModelEntry] = ()
    organizations: Sequence[OrganizationEntry] = ()
