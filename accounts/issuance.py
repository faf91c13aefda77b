"""Keys are made, rotated, disabled and ended here, whoever asks: command, admin, console or API.

The plaintext leaves as an IssuedKey and is kept nowhere. Whether the person may do this is
access.py's question. Ends are conditional updates, so that of two at once only one takes effect,
and nothing brings a revoked key back (the database refuses it too; migration 0002).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_network
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.text import Truncator

from accounts import keys
from accounts.addresses import Network
from accounts.ending import living
from accounts.errors import InvalidField, KeyIsRevoked, RotationInProgress
from accounts.models import ApiKey, ApiKeySecret, Membership, Project
from accounts.rows import check_far

MAX_GRACE = timedelta(days=90)
MAX_NAME_LENGTH = 100
MAX_MODEL_LENGTH = 200
MAX_ENDPOINT_LENGTH = 100
MAX_ENTRIES = 100
MAX_TOLD = 200  # Of what was sent and is wrong.
MAX_TAGS = 16
MAX_TAG_NAME_LENGTH = 64
MAX_TAG_VALUE_LENGTH = 256
# What callers name a field, where the column has another name.
COLUMNS = {
    "models": "allowed_models",
    "endpoints": "allowed_endpoints",
    "networks": "allowed_networks",
}


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key with the text that is shown once."""

    key: ApiKey
    plaintext: str = field(repr=False)


def issue_key(
    *,
    project: Project,
    name: str,
    owner: Membership | None = None,
    expires_at: datetime | None = None,
    models: Iterable[str] = (),
    endpoints: Iterable[str] = (),
    networks: Iterable[str | Network] = (),
    tags: Mapping[str, str] | None = None,
) -> IssuedKey:
    """Make a key in a project; without `owner` it is a service key.

    Empty `models`, `endpoints` and `networks` restrict nothing. Raises InvalidField, and
    OrganizationIsDeleted.
    """
    if project.archived_at is not None:
        raise InvalidField("project", f"{project} is archived")
    fields = check_key(
        project=project,
        name=name,
        owner=owner,
        expires_at=expires_at,
        models=models,
        endpoints=endpoints,
        networks=networks,
        tags=tags,
    )
    new = keys.make_key(settings.KEY_PREFIX)
    with living(project.organization):
        key = ApiKey.objects.create(public_id=new.public_id, **fields)
        _add_secret(key, new.text)
    return IssuedKey(key, new.text)


def check_key(
    *,
    project: Project,
    name: str,
    owner: Membership | None = None,
    expires_at: datetime | None = None,
    models: Iterable[str] = (),
    endpoints: Iterable[str] = (),
    networks: Iterable[str | Network] = (),
    tags: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the columns of such a key, cleaned, or raise InvalidField. Forms ask this first."""
    _check_owner(owner, project)
    return {
        "organization_id": project.organization_id,
        "project": project,
        "owner": owner,
        "name": _check_text("name", name, MAX_NAME_LENGTH),
        "expires_at": _check_expiry(expires_at),
        "allowed_models": _check_texts("models", models, MAX_MODEL_LENGTH),
        "allowed_endpoints": _check_texts("endpoints", endpoints, MAX_ENDPOINT_LENGTH),
        "allowed_networks": _check_networks(networks),
        "tags": _check_tags(tags),
    }


def change_key(key: ApiKey, changes: Mapping[str, Any]) -> None:
    """Change a key's name, expires_at, models, endpoints, networks or tags, those that are given.

    Raises InvalidField, and KeyIsRevoked for a key that has ended for good.
    """
    checked = check_key(project=key.project, **{"name": key.name, **changes})
    columns = {COLUMNS.get(name, name): checked[COLUMNS.get(name, name)] for name in changes}
    if not _update(key, ~Q(status=ApiKey.Status.REVOKED), **columns):
        raise KeyIsRevoked("This key was revoked, which is final.")


def rotate_key(key: ApiKey, grace: timedelta) -> IssuedKey:
    """Add a secret to a key; the one before ends after `grace`, at once when that is zero.

    Raises KeyIsRevoked, and RotationInProgress when two are alive and `grace` would keep both.
    """
    if not timedelta(0) <= grace <= MAX_GRACE:
        raise InvalidField("grace", f"must be between nothing and {MAX_GRACE.days} days")
    now = timezone.now()
    new = keys.make_key(settings.KEY_PREFIX, public_id=key.public_id)
    with transaction.atomic():
        # This update is the lock: a second rotation waits here and counts the secrets afterwards.
        if not _update(key, ~Q(status=ApiKey.Status.REVOKED)):
            raise KeyIsRevoked("This key was revoked, which is final.")
        alive = key.secrets.filter(Q(ends_at=None) | Q(ends_at__gt=now))
        if grace and alive.count() > 1:
            raise RotationInProgress(
                "Two secrets of this key are alive already. Wait for the older one to end, or"
                " rotate without grace, which ends both at once."
            )
        alive.filter(Q(ends_at=None) | Q(ends_at__gt=now + grace)).update(ends_at=now + grace)
        _add_secret(key, new.text)
    return IssuedKey(key, new.text)


def revoke_key(key: ApiKey, reason: str = "") -> bool:
    """End a key with all its secrets, for good. Return False if that had been done before.

    The first reason stays.
    """
    reason = _check_text("reason", reason, 200, required=False)
    return _update(
        key,
        ~Q(status=ApiKey.Status.REVOKED),
        status=ApiKey.Status.REVOKED,
        revoked_at=timezone.now(),
        revoke_reason=reason,
    )


def disable_key(key: ApiKey) -> bool:
    """Refuse the key's calls until enable_key(). Return False if it was disabled already."""
    return _switch(key, ApiKey.Status.ACTIVE, ApiKey.Status.DISABLED)


def enable_key(key: ApiKey) -> bool:
    """Let a disabled key call again. Return False if it was active. Raises KeyIsRevoked."""
    return _switch(key, ApiKey.Status.DISABLED, ApiKey.Status.ACTIVE)


def _switch(key: ApiKey, before: ApiKey.Status, after: ApiKey.Status) -> bool:
    switched = _update(key, Q(status=before), status=after)
    if not switched and key.status == ApiKey.Status.REVOKED:
        raise KeyIsRevoked("This key was revoked, which is final.")
    return switched


def _update(key: ApiKey, condition: Q, **changes: object) -> bool:
    """Write `changes` if the condition holds at that moment, and read the key again either way."""
    rows = ApiKey.objects.filter(condition, pk=key.pk).update(changed_at=timezone.now(), **changes)
    key.refresh_from_db()
    return rows == 1


def _add_secret(key: ApiKey, text: str) -> None:
    version = max(settings.KEY_PEPPERS)
    mac = keys.digest(text, settings.KEY_PEPPERS[version])
    ApiKeySecret.objects.create(key=key, mac=mac, pepper_version=version)


def _check_owner(owner: Membership | None, project: Project) -> None:
    if owner is None:
        return
    if owner.organization_id != project.organization_id:
        raise InvalidField("owner", "is not a member of the project's organization")
    if owner.left_at is not None:
        raise InvalidField("owner", "has left the organization")


def _check_expiry(expires_at: datetime | None) -> datetime | None:
    if expires_at is None:
        return None
    if timezone.is_naive(expires_at):
        raise InvalidField("expires_at", "needs a time zone")
    if expires_at <= timezone.now():
        raise InvalidField("expires_at", "lies in the past")
    check_far("expires_at", expires_at)
    return expires_at


def _check_text(name: str, text: str, most: int, *, required: bool = True) -> str:
    text = text.strip()
    if required and not text:
        raise InvalidField(name, "must not be empty")
    if len(text) > most:
        raise InvalidField(name, f"is longer than {most} characters")
    if not text.isprintable():
        raise InvalidField(name, "holds characters that cannot be printed")
    return text


def _check_texts(name: str, texts: Iterable[str], most: int) -> list[str]:
    found = list(dict.fromkeys(_check_text(name, text, most) for text in texts))
    if len(found) > MAX_ENTRIES:
        raise InvalidField(name, f"has more than {MAX_ENTRIES} entries")
    return found


def _check_networks(networks: Iterable[str | Network]) -> list[Network]:
    found: list[Network] = []
    for network in networks:
        try:
            found.append(ip_network(str(network).strip()))
        except ValueError as error:
            raise InvalidField("networks", Truncator(str(error)).chars(MAX_TOLD)) from None
    if len(found) > MAX_ENTRIES:
        raise InvalidField("networks", f"has more than {MAX_ENTRIES} entries")
    return found


def _check_tags(tags: Mapping[str, str] | None) -> dict[str, str]:
    if tags is None:
        return {}
    if not isinstance(tags, Mapping):
        raise InvalidField("tags", "must be names with values")
    if len(tags) > MAX_TAGS:
        raise InvalidField("tags", f"has more than {MAX_TAGS} entries")
    for name, value in tags.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise InvalidField("tags", "names and values must be text")
        _check_text("tags", name, MAX_TAG_NAME_LENGTH)
        _check_text("tags", value, MAX_TAG_VALUE_LENGTH, required=False)
    return dict(tags)
