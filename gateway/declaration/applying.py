"""Writes a declaration that was checked: makes what is missing, changes what differs.

Deletes nothing and revokes nothing. Every change is a line of the report; what is the same already
is not written, so that applying a file again touches no row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any, TypeVar

from django.db import models
from django.utils import timezone

from accounts.issuance import IssuedKey, issue_key
from accounts.models import ApiKey, Membership, Organization, Project, User
from billing.models import Quota
from billing.prices import add_price, figures_of
from billing.quotas import QuotaFields, set_quota, show_amount
from gateway.declaration.checking import find_keys, find_price
from gateway.declaration.entries import (
    Declaration,
    Entry,
    HolderEntry,
    ModelEntry,
    OrganizationEntry,
    PriceEntry,
    ProjectEntry,
    ProviderEntry,
    QuotaEntry,
)
from gateway.models import Model, Provider, Route
from gateway.providers import set_credential

Row = TypeVar("Row", bound=models.Model)


@dataclass
class Report:
    """What applying did: one line a change, and the keys that were made, which are shown once.

    `changes` begin with + (made) or ~ (changed); `notes` say what was left alone, and why.
    """

    changes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    keys: list[tuple[str, IssuedKey]] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Return what a person reads, without any key."""
        return [*(self.changes or ["= nothing changed"]), *self.notes]


def write(declaration: Declaration, report: Report) -> None:
    """Write everything, within the transaction of the caller."""
    for provider in declaration.providers:
        _write_provider(provider, report)
    for model in declaration.models:
        _write_model(model, report)
    for organization in declaration.organizations:
        _write_organization(organization, report)


def _write_provider(entry: ProviderEntry, report: Report) -> None:
    provider = _put(Provider, {"name": entry.name}, entry, f"provider {entry.name}", report)
    had_one = provider.credentials.exists()
    declared = entry.credential
    if declared is not None and declared.secret is not None:
        if set_credential(provider, declared.secret.reveal(), source=declared.source):
            sign, verb = ("~", "replaced") if had_one else ("+", "set")
            report.changes.append(
                f"{sign} credential at {entry.name}: {verb} from {declared.source}"
            )
    elif not had_one:
        report.notes.append(
            f"! provider {entry.name} has no credential, so its routes are not used yet"
        )


def _write_model(entry: ModelEntry, report: Report) -> None:
    model = _put(Model, {"name": entry.name}, entry, f"model {entry.name}", report)
    for route in entry.routes:
        provider = Provider.objects.get(name=route.name)
        upstream = route.columns["upstream_model"]
        identity = {"model": model, "provider": provider, "upstream_model": upstream}
        label = f"route {entry.name} at {route.name} as {upstream}"
        _put(Route, identity, route, label, report)
    if entry.routes:
        _note_others(model, entry, report)
    if entry.price is not None:
        _write_price(entry.name, entry.price, report)


def _note_others(model: Model, entry: ModelEntry, report: Report) -> None:
    """Say which routes go on taking calls beside those of the file: nobody may have meant that."""
    declared = {(route.name, route.columns["upstream_model"]) for route in entry.routes}
    in_use = model.routes.filter(enabled=True, provider__enabled=True)
    for name, upstream in in_use.order_by("pk").values_list("provider__name", "upstream_model"):
        if (name, upstream) not in declared:
            report.notes.append(
                f"! route {entry.name} at {name} as {upstream} is not in the file and stays in use"
            )


def _write_price(model: str, entry: PriceEntry, report: Report) -> None:
    before = find_price(model, entry)
    if before is not None and figures_of(before) == entry.figures:
        return
    begins = entry.effective or timezone.now()
    add_price(model=model, effective_from=begins, figures=entry.figures)
    report.changes.append(f"+ price {model} from {begins.astimezone(UTC):%Y-%m-%d %H:%M} UTC")


def _write_organization(entry: OrganizationEntry, report: Report) -> None:
    organization = _put(
        Organization,
        {"slug": entry.name},
        entry,
        f"organization {entry.name}",
        report,
        defaults={"name": entry.name},
    )
    whole = _Scope(organization.pk, "organization", organization.pk, entry.name)
    _write_quotas(whole, entry, report)
    for member in entry.members:
        _write_member(organization, member, report)
    for project in entry.projects:
        _write_project(organization, project, report)


def _write_member(organization: Organization, entry: HolderEntry, report: Report) -> None:
    user = User.objects.filter(email=entry.name).first()
    if user is None:
        user = User.objects.create_user(entry.name)
        report.changes.append(f"+ user {entry.name}, who has no password yet")
    label = f"member {entry.name} of {organization.slug}"
    identity = {"organization": organization, "user": user, "left_at": None}
    membership = _put(Membership, identity, entry, label, report)
    _write_quotas(_Scope(organization.pk, "member", membership.pk, label), entry, report)


def _write_project(organization: Organization, entry: ProjectEntry, report: Report) -> None:
    label = f"project {organization.slug}/{entry.name}"
    identity = {"organization": organization, "slug": entry.name}
    project = _put(Project, identity, entry, label, report, defaults={"name": entry.name})
    _write_quotas(_Scope(organization.pk, "project", project.pk, label), entry, report)
    for key in entry.keys:
        _write_key(project, key, report)


def _write_key(project: Project, entry: HolderEntry, report: Report) -> None:
    label = f"key {entry.name} of {project}"
    key = next(iter(find_keys(project.organization.slug, project.slug, entry.name)), None)
    if key is None:
        issued = issue_key(project=project, name=entry.name)
        key = issued.key
        report.changes.append(f"+ {label} ({key.public_id})")
        report.keys.append((label, issued))
    if key.status == ApiKey.Status.REVOKED:
        report.notes.append(f"! {label} was revoked, which is final: it is not made again")
    else:
        scope = _Scope(project.organization_id, "key", key.pk, label)
        _write_quotas(scope, entry, report)


@dataclass(frozen=True)
class _Scope:
    """What a quota holds for; `label` names it in the report."""

    organization: int
    kind: str
    id: int
    label: str


def _write_quotas(scope: _Scope, holder: HolderEntry, report: Report) -> None:
    for entry in holder.quotas:
        _write_quota(scope, entry, report)


def _write_quota(scope: _Scope, entry: QuotaEntry, report: Report) -> None:
    fields = entry.fields
    before = Quota.objects.filter(
        scope=scope.kind,
        scope_id=scope.id,
        unit=fields.unit,
        window=fields.window,
        model=fields.model,
        ends_at=None,
    ).first()
    _, what = set_quota(
        organization=scope.organization, scope=scope.kind, scope_id=scope.id, fields=fields
    )
    only = f" on {fields.model}" if fields.model else ""
    period = "" if fields.window == "none" else f" per {fields.window}"
    label = f"quota {fields.unit}{period}{only} of {scope.label}"
    if before is None:
        report.changes.append(f"+ {label}: limit {_show_limit(fields)}")
    elif what == "changed":
        report.changes.append(f"~ {label}: {_show_difference(before, fields)}")


def _show_difference(before: Quota, fields: QuotaFields) -> str:
    told = []
    for name in ("limit", "mode", "hold", "clamp"):
        old, new = getattr(before, name), getattr(fields, name)
        if old != new and name == "limit":
            told.append(f"limit {_show_limit(before)} -> {_show_limit(fields)}")
        elif old != new:
            told.append(_show_change(name, old, new))
    return ", ".join(told)


def _show_limit(quota: Quota | QuotaFields) -> str:
    return "none" if quota.limit is None else show_amount(quota.unit, quota.limit)


def _put(
    kind: type[Row],
    identity: Mapping[str, Any],
    entry: Entry,
    label: str,
    report: Report,
    *,
    defaults: Mapping[str, Any] | None = None,
) -> Row:
    """Make the row of that identity with the columns given, or change those that differ."""
    row = kind._default_manager.filter(**identity).first()
    if row is None:
        report.changes.append(f"+ {label}")
        columns = {**(defaults or {}), **entry.columns, **identity}
        return kind._default_manager.create(**columns)
    differences = {
        name: (getattr(row, name), value)
        for name, value in entry.columns.items()
        if getattr(row, name) != value
    }
    if differences:
        for name, (_, value) in differences.items():
            setattr(row, name, value)
        row.save(update_fields=list(differences))
        told = ", ".join(_show_change(name, *pair) for name, pair in differences.items())
        report.changes.append(f"~ {label}: {told}")
    return row


def _show_change(name: str, before: object, after: object) -> str:
    return f"{name} {_show(before)} -> {_show(after)}"


def _show(value: object) -> str:
    shown = {True: "true", False: "false", None: "none"}
    return shown[value] if value is None or isinstance(value, bool) else str(value)
