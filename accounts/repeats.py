"""Which key a request to make one led to. A repeat is answered with that key and makes no other.

A request is told by the actor's own Idempotency-Key in the organization, and by a digest of what
was asked: another request under the same one is an error, not a key that nobody meant. After KEPT
an Idempotency-Key is forgotten, and a request under it makes a key.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.utils import timezone

from accounts.errors import RepeatDiffers
from accounts.models import ApiKey, KeyRequest, Organization

# As long as Stripe keeps them.
KEPT = timedelta(hours=24)


def find_repeat(
    *, organization: Organization, actor: str, idempotency_key: str, request: Mapping[str, Any]
) -> ApiKey | None:
    """Return the key that this request made before, or None. Raises RepeatDiffers."""
    made = (
        KeyRequest.objects.filter(
            organization=organization, actor=actor, idempotency_key=idempotency_key
        )
        .select_related("key__project")
        .first()
    )
    if made is None:
        return None
    if bytes(made.digest) != _digest(request):
        raise RepeatDiffers("This Idempotency-Key came with another request before.")
    return made.key


def keep_repeat(
    key: ApiKey,
    *,
    organization: Organization,
    actor: str,
    idempotency_key: str,
    request: Mapping[str, Any],
) -> None:
    """Remember what a request made, in the transaction that made it."""
    KeyRequest.objects.create(
        organization=organization,
        actor=actor,
        idempotency_key=idempotency_key,
        digest=_digest(request),
        key=key,
    )


def forget_old_requests() -> int:
    """Delete what is older than KEPT; the keys stay. Returns how many requests went."""
    old = KeyRequest.objects.filter(made_at__lt=timezone.now() - KEPT)
    return old.delete()[0]


def _digest(request: Mapping[str, Any]) -> bytes:
    text = json.dumps(request, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).digest()
