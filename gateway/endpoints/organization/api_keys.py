"""Keys of a project, and its service accounts, which here are its service keys.

A key is shown by its public id, which is no part of a secret. Deleting one revokes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from accounts.access import Right, may_manage_key
from accounts.issuance import issue_key, revoke_key
from accounts.models import ApiKey, Project
from billing.calls import find_last_used
from gateway.endpoints.organization.asking import Asked, find_row, list_rows, seconds_of
from gateway.endpoints.organization.projects import find_project
from gateway.errors import BadRequest, PermissionDenied

MOST_SECONDS = 10 * 366 * 86_400


def list_keys(asked: Asked, project: str) -> dict[str, Any]:
    asked.require(Right.SEE_ORGANIZATION)
    asked.know("limit", "after", "order", "owner_project_access")
    access = asked.choice("owner_project_access", ("active", "inactive", "any"), "any")
    found = keys_of(asked, find_project(asked, project))
    if access != "any":
        is_living = {"owner__left_at": None}
        found = found.filter(**is_living) if access == "active" else found.exclude(**is_living)
    return list_rows(asked, found, show_keys, column="public_id")


def show_key(asked: Asked, project: str, key: str) -> dict[str, Any]:
    asked.require(Right.SEE_ORGANIZATION)
    asked.know()
    return show_keys([find_key(asked, project, key)])[0]


def delete_key(asked: Asked, project: str, key: str) -> dict[str, Any]:
    """Revoke a key, for good."""
    asked.require(Right.SEE_ORGANIZATION)
    return {
        "id": end_key(asked, find_key(asked, project, key)),
        "object": "organization.project.api_key.deleted",
        "deleted": True,
    }


def list_service_accounts(asked: Asked, project: str) -> dict[str, Any]:
    asked.require(Right.SEE_ALL_KEYS)
    asked.know("limit", "after", "order")
    found = keys_of(asked, find_project(asked, project)).filter(owner=None)
    return list_rows(asked, found, show_service_accounts, column="public_id")


def create_service_account(asked: Asked, project: str) -> dict[str, Any]:
    """Make a service key. Its secret is in this answer and never shown again."""
    asked.require(Right.MANAGE_ALL_KEYS)
    fields = asked.fields(
        {"name": str, "expires_in_seconds": int, "create_service_account_only": bool}
    )
    if fields.get("create_service_account_only"):
        raise BadRequest(
            "A service account is its key here, so none is made without.",
            "create_service_account_only",
        )
    if "name" not in fields:
        raise BadRequest("'name' is missing.", "name")
    issued = issue_key(
        project=find_project(asked, project),
        name=fields["name"],
        expires_at=read_end(fields.get("expires_in_seconds")),
    )
    [shown] = show_service_accounts([issued.key])
    return {
        **shown,
        "api_key": {
            "id": issued.key.public_id,
            "object": "organization.project.service_account.api_key",
            "name": issued.key.name,
            "created_at": seconds_of(issued.key.made_at),
            "expires_at": seconds_of(issued.key.expires_at),
            "value": issued.plaintext,
        },
    }


def show_service_account(asked: Asked, project: str, key: str) -> dict[str, Any]:
    asked.require(Right.SEE_ALL_KEYS)
    asked.know()
    return show_service_accounts([find_service_key(asked, project, key)])[0]


def delete_service_account(asked: Asked, project: str, key: str) -> dict[str, Any]:
    asked.require(Right.SEE_ALL_KEYS)
    return {
        "id": end_key(asked, find_service_key(asked, project, key)),
        "object": "organization.project.service_account.deleted",
        "deleted": True,
    }


def keys_of(asked: Asked, project: Project) -> QuerySet[ApiKey]:
    """Return the keys that live and may be seen: of somebody who may not see all, their own."""
    found = ApiKey.objects.filter(organization=asked.organization, project=project)
    found = found.exclude(status=ApiKey.Status.REVOKED).select_related("owner__user")
    if not asked.may(Right.SEE_ALL_KEYS):
        found = found.filter(owner=asked.standing.membership, owner__isnull=False)
    return found


def find_key(asked: Asked, project: str, key: str) -> ApiKey:
    found = keys_of(asked, find_project(asked, project))
    return find_row(found, "key", key, column="public_id")


def find_service_key(asked: Asked, project: str, key: str) -> ApiKey:
    found = keys_of(asked, find_project(asked, project)).filter(owner=None)
    return find_row(found, "service account", key, column="public_id")


def end_key(asked: Asked, key: ApiKey) -> str:
    if not may_manage_key(asked.standing, organization=asked.organization.pk, owner=key.owner_id):
        raise PermissionDenied("This management key may not do this.")
    revoke_key(key, "deleted by API")
    return key.public_id


def read_end(seconds: int | None) -> Any:
    """Return when something ends that is to live so many seconds."""
    if seconds is None:
        return None
    name = "expires_in_seconds"
    if not 1 <= seconds <= MOST_SECONDS:
        raise BadRequest(f"'{name}' must be between 1 and {MOST_SECONDS}.", name)
    return timezone.now() + timedelta(seconds=seconds)


def show_keys(keys: Sequence[ApiKey]) -> list[dict[str, Any]]:
    used = find_last_used(keys)
    return [
        {
            "id": key.public_id,
            "object": "organization.project.api_key",
            "name": key.name,
            "redacted_value": f"{settings.KEY_PREFIX}_{key.public_id}...",
            "created_at": seconds_of(key.made_at),
            "expires_at": seconds_of(key.expires_at),
            "last_used_at": seconds_of(used.get(key.pk)),
            "owner_project_access": "inactive" if key.owner and key.owner.left_at else "active",
            "owner": describe_owner(key),
        }
        for key in keys
    ]


def describe_owner(key: ApiKey) -> dict[str, Any]:
    owner = key.owner
    if owner is None:
        [account] = show_service_accounts([key])
        return {"type": "service_account", "service_account": account}
    return {
        "type": "user",
        "user": {
            "id": str(owner.pk),
            "object": "organization.project.user",
            "name": owner.user.name,
            "email": owner.user.email,
            "role": "owner" if owner.role == owner.Role.OWNER else "member",
            "created_at": seconds_of(owner.made_at),
        },
    }


def show_service_accounts(keys: Sequence[ApiKey]) -> list[dict[str, Any]]:
    return [
        {
            "id": key.public_id,
            "object": "organization.project.service_account",
            "name": key.name,
            "role": "member",
            "created_at": seconds_of(key.made_at),
        }
        for key in keys
    ]
