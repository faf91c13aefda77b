"""What a declaration must not contradict: itself, and what is in the database.

Only reads. Every finding is a problem with its line; what reading could not make sense of has no
name by now and is passed over, because it was reported already.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator

from django.utils import timezone

from accounts.models import ApiKey, Project
from billing.models import Price
from billing.prices import figures_of
from gateway.declaration.entries import (
    Declaration,
    Entry,
    HolderEntry,
    ModelEntry,
    PriceEntry,
    ProjectEntry,
    ProviderEntry,
    QuotaEntry,
)
from gateway.declaration.reading import Problems
from gateway.models import Credential, Model, Provider


def check(declaration: Declaration, problems: Problems) -> None:
    """Add to `problems` what cannot be applied, though every word of it could be read."""
    _check_twice(declaration.providers, "provider", problems)
    _check_twice(declaration.models, "model", problems)
    _check_twice(declaration.organizations, "organization", problems)
    for provider in declaration.providers:
        _check_credential(provider, problems)
    for model in declaration.models:
        _check_routes(model, _names(Provider, declaration.providers), problems)
        _check_names(model, declaration, problems)
        if model.price is not None:
            _check_price(model.name, model.price, problems)
    for organization in declaration.organizations:
        _check_twice(organization.members, "member", problems)
        _check_twice(organization.projects, "project", problems)
        for project in organization.projects:
            _check_keys(organization.name, project, problems)
    _check_quotas(declaration, problems)


def find_price(model: str, price: PriceEntry) -> Price | None:
    """Return the price that is in force where the declared one would begin (now, if undated)."""
    begins = price.effective or timezone.now()
    earlier = Price.objects.filter(model=model, provider="", effective_from__lte=begins)
    return earlier.order_by("-effective_from").first()


def find_keys(organization: str, project: str, name: str) -> list[ApiKey]:
    """Return the keys of that name: those that can live first, then those that were revoked."""
    keys = ApiKey.objects.filter(
        project__organization__slug=organization, project__slug=project, name=name
    )
    return sorted(keys, key=lambda key: key.status == ApiKey.Status.REVOKED)


def _check_credential(provider: ProviderEntry, problems: Problems) -> None:
    declared = provider.credential
    if declared is None or declared.secret is not None:
        return
    if not Credential.objects.filter(provider__name=provider.name).exists():
        problems.add(
            provider.line,
            f"credential: provider {provider.name!r} has none stored in this database, and an "
            'exported file holds no secret: write "env:NAME" or "literal:TEXT"',
        )


def _check_routes(model: ModelEntry, providers: set[str], problems: Problems) -> None:
    _refuse_repeats(
        ((route.line, (route.name, route.columns["upstream_model"])) for route in model.routes),
        "this route of the model",
        problems,
    )
    for route in model.routes:
        if route.name and route.name not in providers:
            problems.add(
                route.line,
                f"provider: {route.name!r} is neither in this file nor in the database",
            )


def _check_names(entry: ModelEntry, declaration: Declaration, problems: Problems) -> None:
    """Let no name stand for two models, and no model be followed by one that does not exist."""
    names = _names(Model, declaration.models)
    declared = {model.name for model in declaration.models}
    aliases = {
        alias: model.name
        for model in Model.objects.exclude(name__in=declared)
        for alias in model.aliases
    }
    for model in declaration.models:
        if model is not entry:
            aliases |= dict.fromkeys(model.columns.get("aliases", ()), model.name)
    for alias in entry.columns.get("aliases", ()):
        if alias in names or alias in aliases:
            problems.add(entry.line, f"aliases: {alias!r} is a model's name already")
    successor = entry.columns.get("successor")
    if successor and (successor == entry.name or successor not in names):
        problems.add(
            entry.line,
            f"successor: {successor!r} is neither another model in this file nor in the database",
        )


def _check_price(model: str, price: PriceEntry, problems: Problems) -> None:
    before = find_price(model, price)
    if before is None or before.effective_from != price.effective:
        return
    if figures_of(before) != price.figures:
        problems.add(
            price.line,
            f"price: {model} has another price from {before.effective_from:%Y-%m-%d} on already, "
            "and prices are never changed: give the new one a later `effective`",
        )


def _check_keys(organization: str, project: ProjectEntry, problems: Problems) -> None:
    _check_twice(project.keys, "key", problems)
    archived = Project.objects.filter(
        organization__slug=organization, slug=project.name, archived_at__isnull=False
    ).exists()
    for key in project.keys:
        found = find_keys(organization, project.name, key.name)
        if not found and archived:
            problems.add(key.line, f"key {key.name!r}: project {project.name} is archived")
        live = [one for one in found if one.status != ApiKey.Status.REVOKED]
        if len(live) > 1 and key.quotas:
            problems.add(
                key.line,
                f"key {key.name!r}: {len(live)} keys of the project have this name, so its quotas "
                "could be meant for either",
            )


def _check_quotas(declaration: Declaration, problems: Problems) -> None:
    models = _names(Model, declaration.models)
    for quotas in _quotas_by_scope(declaration):
        _refuse_repeats(
            ((q.line, (q.fields.unit, q.fields.window, q.fields.model)) for q in quotas),
            "a quota of this unit, window and model",
            problems,
        )
        for line, fields in ((quota.line, quota.fields) for quota in quotas):
            if fields.model and fields.model not in models:
                problems.add(
                    line, f"model: {fields.model!r} is neither in this file nor in the database"
                )


def _quotas_by_scope(declaration: Declaration) -> Iterator[Iterable[QuotaEntry]]:
    for organization in declaration.organizations:
        holders: list[HolderEntry] = [organization, *organization.members, *organization.projects]
        for project in organization.projects:
            holders += project.keys
        yield from (holder.quotas for holder in holders)


def _names(kind: type[Provider | Model], entries: Iterable[Entry]) -> set[str]:
    declared = {entry.name for entry in entries}
    return declared.union(kind.objects.values_list("name", flat=True))


def _check_twice(entries: Iterable[Entry], kind: str, problems: Problems) -> None:
    named = ((entry.line, entry.name) for entry in entries if entry.name)
    _refuse_repeats(named, kind, problems)


def _refuse_repeats(found: Iterable[tuple[int, Hashable]], what: str, problems: Problems) -> None:
    first: dict[Hashable, int] = {}
    for line, identity in found:
        if identity in first:
            shown = f" {identity!r}" if isinstance(identity, str) else ""
            problems.add(line, f"{what}{shown} stands twice; see line {first[identity]}")
        first.setdefault(identity, line)
