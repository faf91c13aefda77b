"""GET /v1/api-key: the key as xAI's clients expect it, all twelve fields of it.

A team there is an organization here. Nothing of the secret is shown: the public id is no part of
it.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from django.conf import settings

from accounts.keyring import KeyRecord
from gateway.endpoints.models import write_time


def show_api_key(key: KeyRecord) -> bytes:
    """Answer with the key in xAI's shape; a service key has no user."""
    user = "" if key.member_user is None else str(key.member_user)
    return msgspec.json.encode(
        {
            "redacted_api_key": f"{settings.KEY_PREFIX}_{key.public_id}...",
            "user_id": user,
            "name": key.name,
            "create_time": write_time(key.made_at),
            "modify_time": write_time(key.changed_at),
            "modified_by": user,
            "team_id": key.organization_slug,
            "acls": [*_grant("model", key.models), *_grant("endpoint", key.endpoints)],
            "api_key_id": key.public_id,
            "team_blocked": key.refusal == "organization_suspended",
            "api_key_blocked": key.status == "revoked",
            "api_key_disabled": key.status == "disabled",
        }
    )


def _grant(kind: str, names: Collection[str]) -> list[str]:
    return [f"api-key:{kind}:{name}" for name in sorted(names) or ["*"]]
