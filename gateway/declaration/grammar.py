"""The words of a declaration: which names may stand where, and what their values must be.

Reading gives a Declaration of plain values with line numbers. Nothing here looks into the
database; whether providers and models exist is checking.py's question.
"""

from __future__ import annotations

import os
import re
import zoneinfo
from datetime import datetime

import yaml
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from accounts.errors import InvalidField
from accounts.models import Membership
from billing.pricing import parse_prices
from billing.quotas import parse_quota
from gateway.credentials import Secret, check_secret
from gateway.declaration.entries import (
    Declaration,
    DeclaredCredential,
    Entry,
    HolderEntry,
    ModelEntry,
    OrganizationEntry,
    PriceEntry,
    ProjectEntry,
    ProviderEntry,
    QuotaEntry,
)
from gateway.declaration.reading import (
    Problems,
    Reader,
    Unreadable,
    compose,
    flag,
    is_null,
    line_of,
    list_of,
    matching,
    nullable,
    one_of,
    parse_moment,
    read_plain,
    read_record,
    text,
    whole,
)
from gateway.models import CapField, Protocol
from gateway.routes import MODEL_BOUNDS, ROUTE_BOUNDS
from gateway.upstream import check_base_url

# What an export says where a credential came from no environment variable.
STORED = "stored"


def read_declaration(source: str, problems: Problems) -> Declaration:
    """Read a file. Raises DeclarationError for what is not YAML; all else goes to `problems`."""
    root = compose(source)
    if root is None or is_null(root):
        return Declaration()
    try:
        return Declaration(**read_record(root, FILE, problems).values)
    except Unreadable as error:
        problems.add(line_of(root), f"the file {error}")
        return Declaration()


def read_provider(node: yaml.Node, problems: Problems) -> ProviderEntry:
    record = read_record(node, PROVIDER, problems, required=("name", "protocol", "base_url"))
    return ProviderEntry(
        line=record.line,
        name=record.values.get("name", ""),
        columns=record.only("protocol", "base_url", "responses", "cap_field", "enabled"),
        credential=record.values.get("credential"),
    )


def read_model(node: yaml.Node, problems: Problems) -> ModelEntry:
    record = read_record(
        node, MODEL, problems, required=("name", "context_window", "max_output_tokens")
    )
    return ModelEntry(
        line=record.line,
        name=record.values.get("name", ""),
        columns=record.only(*MODEL_COLUMNS),
        routes=record.values.get("routes", ()),
        price=record.values.get("price"),
    )


def read_route(node: yaml.Node, problems: Problems) -> Entry:
    record = read_record(node, ROUTE, problems, required=("provider", "model"))
    columns = record.only(*ROUTE_COLUMNS)
    columns["upstream_model"] = record.values.get("model", "")
    return Entry(line=record.line, name=record.values.get("provider", ""), columns=columns)


def read_price(node: yaml.Node, problems: Problems) -> PriceEntry | None:
    """Read a price; None where billing does not accept it, which is then among the problems."""
    record = read_plain(node, problems)
    effective = record.values.pop("effective", None)
    try:
        return PriceEntry(
            line=record.line,
            figures=parse_prices(record.values),
            effective=None if effective is None else parse_moment(str(effective)),
        )
    except InvalidField as error:
        problems.add(record.line_of(error.field), f"price: {error}")
    except Unreadable as error:
        problems.add(record.line_of("effective"), f"price: effective: {error}")
    return None


def quotas_of(scope: str) -> Reader:
    """Return a reader of the quotas of one scope, which is where they stand."""

    def read(node: yaml.Node, problems: Problems) -> QuotaEntry | None:
        record = read_plain(node, problems)
        try:
            return QuotaEntry(record.line, parse_quota(record.values, scope=scope))
        except InvalidField as error:
            problems.add(record.line_of(error.field), f"quota: {error}")
            return None

    def reader(node: yaml.Node, problems: Problems) -> list[QuotaEntry]:
        return [entry for entry in list_of(read)(node, problems) if entry is not None]

    return reader


def read_organization(node: yaml.Node, problems: Problems) -> OrganizationEntry:
    record = read_record(node, ORGANIZATION, problems, required=("slug",))
    return OrganizationEntry(
        line=record.line,
        name=record.values.get("slug", ""),
        columns=record.only("name", "time_zone"),
        quotas=record.values.get("quotas", ()),
        members=record.values.get("members", ()),
        projects=record.values.get("projects", ()),
    )


def read_member(node: yaml.Node, problems: Problems) -> HolderEntry:
    record = read_record(node, MEMBER, problems, required=("email",))
    return HolderEntry(
        line=record.line,
        name=record.values.get("email", ""),
        columns=record.only("role"),
        quotas=record.values.get("quotas", ()),
    )


def read_project(node: yaml.Node, problems: Problems) -> ProjectEntry:
    record = read_record(node, PROJECT, problems, required=("slug",))
    return ProjectEntry(
        line=record.line,
        name=record.values.get("slug", ""),
        columns=record.only("name"),
        quotas=record.values.get("quotas", ()),
        keys=record.values.get("keys", ()),
    )


def read_key(node: yaml.Node, problems: Problems) -> HolderEntry:
    record = read_record(node, KEY, problems, required=("name",))
    return HolderEntry(
        line=record.line,
        name=record.values.get("name", ""),
        quotas=record.values.get("quotas", ()),
    )


def read_base_url(node: yaml.Node, problems: Problems) -> str:
    url: str = text(200)(node, problems)
    try:
        check_base_url(url, settings.UPSTREAM_ALLOWED_NETWORKS)
    except ValueError as error:
        raise Unreadable(str(error)) from None
    return url


def read_credential(node: yaml.Node, problems: Problems) -> DeclaredCredential:
    """Read `env:NAME`, `literal:TEXT`, or `stored`: the secret that the database has.

    No message quotes the secret, nor what may be one.
    """
    kind, _, rest = (node.value if isinstance(node, yaml.ScalarNode) else "").partition(":")
    if (kind, rest) == (STORED, ""):
        return DeclaredCredential(None, STORED)
    if kind == "env":
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", rest):
            raise Unreadable("env: must be followed by the name of an environment variable")
        # Only the file knows the name, so that config/env.py cannot read it.
        secret, source = os.environ.get(rest, "").strip(), f"env:{rest}"
        if not secret:
            raise Unreadable(f"the environment variable {rest} is not set")
    elif kind == "literal":
        secret, source = rest, "literal"
    else:
        raise Unreadable('must be "env:NAME" or "literal:TEXT"')
    try:
        return DeclaredCredential(Secret(check_secret(secret)), source)
    except ValueError as error:
        raise Unreadable(f"the secret {error}") from None


def read_time_zone(node: yaml.Node, problems: Problems) -> str:
    name: str = text(64)(node, problems)
    if name not in zoneinfo.available_timezones():
        raise Unreadable(f"{name!r} is not a time zone of the IANA database")
    return name


def read_email(node: yaml.Node, problems: Problems) -> str:
    address: str = text(254)(node, problems).lower()
    try:
        validate_email(address)
    except ValidationError:
        raise Unreadable(f"{address!r} is not an e-mail address") from None
    return address


def read_moment(node: yaml.Node, problems: Problems) -> datetime:
    if not isinstance(node, yaml.ScalarNode):
        raise Unreadable("must be a date, or a time with its zone")
    return parse_moment(node.value)


SLUG = matching(r"[A-Za-z0-9_-]+", 50, "made of letters, digits, - and _ alone")
NAME = text(100)
MODEL_NAME = matching(r"\S+", 200, "free of spaces")

PROVIDER: dict[str, Reader] = {
    "name": SLUG,
    "protocol": one_of(Protocol.values),
    "base_url": read_base_url,
    "responses": flag,
    "cap_field": one_of(CapField.values),
    "credential": read_credential,
    "enabled": flag,
}
# Empty where the part has no declared bound.
NULLABLE_OVERHEADS = tuple(name for name in MODEL_BOUNDS if "_per_" in name)
MODEL_COLUMNS: dict[str, Reader] = {
    **{name: whole(*bounds) for name, bounds in MODEL_BOUNDS.items()},
    **{name: nullable(whole(*MODEL_BOUNDS[name])) for name in NULLABLE_OVERHEADS},
    "aliases": list_of(MODEL_NAME),
    "retires_at": nullable(read_moment),
    "successor": matching(r"\S*", 200, "free of spaces"),
    "enabled": flag,
}
ROUTE_COLUMNS: dict[str, Reader] = {
    **{name: whole(*bounds) for name, bounds in ROUTE_BOUNDS.items()},
    "cap_bounds_reasoning": flag,
    "hides_reasoning": flag,
    "only_responses": flag,
    "enabled": flag,
}
ROUTE: dict[str, Reader] = {"provider": SLUG, "model": MODEL_NAME, **ROUTE_COLUMNS}
MODEL: dict[str, Reader] = {
    "name": MODEL_NAME,
    **MODEL_COLUMNS,
    "routes": list_of(read_route),
    "price": read_price,
}
MEMBER: dict[str, Reader] = {
    "email": read_email,
    "role": one_of(Membership.Role.values),
    "quotas": quotas_of("member"),
}
KEY: dict[str, Reader] = {"name": NAME, "quotas": quotas_of("key")}
PROJECT: dict[str, Reader] = {
    "slug": SLUG,
    "name": NAME,
    "quotas": quotas_of("project"),
    "keys": list_of(read_key),
}
ORGANIZATION: dict[str, Reader] = {
    "slug": SLUG,
    "name": NAME,
    "time_zone": read_time_zone,
    "quotas": quotas_of("organization"),
    "members": list_of(read_member),
    "projects": list_of(read_project),
}
FILE: dict[str, Reader] = {
    "providers": list_of(read_provider),
    "models": list_of(read_model),
    "organizations": list_of(read_organization),
}
