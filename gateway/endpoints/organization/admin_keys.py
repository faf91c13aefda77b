"""/v1/organization/admin_api_keys: the organization's management keys, in OpenAI's shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db.models import QuerySet

from accounts.access import Right
from accounts.management_keys import (
    issue_management_key,
    management_prefix,
    revoke_management_key,
)
from accounts.models import ManagementKey
from gateway.endpoints.organization.api_keys import read_end
from gateway.endpoints.organization.asking import Asked, find_row, list_rows, seconds_of
from gateway.errors import BadRequest


def list_keys(asked: Asked) -> dict[str, Any]:
    asked.require(Right.MANAGE_ALL_KEYS)
    asked.know("limit", "after", "order")
    return list_rows(asked, keys_of(asked), show_keys, column="public_id")


def create_key(asked: Asked) -> dict[str, Any]:
    """Make a key that may do what this one may, and ends with it at the latest."""
    asked.require(Right.MANAGE_ALL_KEYS)
    fields = asked.fields({"name": str, "expires_in_seconds": int})
    if not fields.get("name"):
        raise BadRequest("'name' is missing.", "name")
    issued = issue_management_key(
        organization=asked.organization,
        name=fields["name"],
        scope=asked.key.scope,
        made_by=asked.key.made_by,
        made_with=asked.key,
        expires_at=read_end(fields.get("expires_in_seconds")),
    )
    return {**show_keys([issued.key])[0], "value": issued.plaintext}


def show_key(asked: Asked, key: str) -> dict[str, Any]:
    asked.require(Right.MANAGE_ALL_KEYS)
    asked.know()
    return show_keys([find_key(asked, key)])[0]


def delete_key(asked: Asked, key: str) -> dict[str, Any]:
    """Revoke a key for good, with all that was made with it."""
    asked.require(Right.MANAGE_ALL_KEYS)
    found = find_key(asked, key)
    revoke_management_key(found)
    return {
        "id": found.public_id,
        "object": "organization.admin_api_key.deleted",
        "deleted": True,
    }


def keys_of(asked: Asked) -> QuerySet[ManagementKey]:
    found = ManagementKey.objects.filter(organization=asked.organization, revoked_at=None)
    return found.select_related("made_by")


def find_key(asked: Asked, key: str) -> ManagementKey:
    return find_row(keys_of(asked), "admin key", key, column="public_id")


def show_keys(keys: Sequence[ManagementKey]) -> list[dict[str, Any]]:
    prefix = management_prefix(settings.KEY_PREFIX)
    return [
        {
            "id": key.public_id,
            "object": "organization.admin_api_key",
            "name": key.name,
            "redacted_value": f"{prefix}_{key.public_id}...",
            "created_at": seconds_of(key.made_at),
            "expires_at": seconds_of(key.expires_at),
            "last_used_at": None,  # Not kept.
            "owner": {
                "type": "user",
                "object": "organization.user",
                "id": str(key.made_by.pk),
                "name": key.made_by.name or key.made_by.email,
                "role": "owner",
                "created_at": seconds_of(key.made_by.date_joined),
            },
        }
        for key in keys
    ]
