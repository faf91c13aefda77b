"""Quotas are made, changed and ended here, by whichever way somebody comes."""

from __future__ import annotations

from django.utils import timezone

from accounts.errors import InvalidField
from accounts.models import ApiKey, Membership, Project
from billing.models import Quota
from billing.quotas.reading import QuotaFields


def set_quota(
    *, organization: int, scope: str, scope_id: int, fields: QuotaFields
) -> tuple[Quota, str]:
    """Make the scope's quota of that unit, window and model, or change it to what `fields` say.

    Returns it with "made", "changed" or "unchanged". Its open windows go on with what they have
    counted. Raises InvalidField where the scope is not the organization's.
    """
    require_scope(organization=organization, scope=scope, scope_id=scope_id)
    rest = {name: getattr(fields, name) for name in ("limit", "mode", "hold", "clamp")}
    quota, is_new = Quota.objects.get_or_create(
        scope=scope,
        scope_id=scope_id,
        unit=fields.unit,
        window=fields.window,
        model=fields.model,
        ends_at=None,
        defaults={"organization": organization, **rest},
    )
    if is_new:
        return quota, "made"
    if all(getattr(quota, name) == value for name, value in rest.items()):
        return quota, "unchanged"
    for name, value in rest.items():
        setattr(quota, name, value)
    quota.save(update_fields=list(rest))
    return quota, "changed"


def end_quota(quota: Quota) -> None:
    """End a quota now; what it counted stays."""
    quota.ends_at = timezone.now()
    quota.save(update_fields=["ends_at"])


def require_scope(*, organization: int, scope: str, scope_id: int) -> None:
    """Raise InvalidField unless the scope exists within the organization."""
    if scope == "organization":
        is_ours = scope_id == organization
    elif scope == "project":
        is_ours = Project.objects.filter(organization=organization, pk=scope_id).exists()
    elif scope == "member":
        is_ours = Membership.objects.filter(organization=organization, pk=scope_id).exists()
    elif scope == "key":
        is_ours = ApiKey.objects.filter(organization=organization, pk=scope_id).exists()
    else:
        raise InvalidField("scope", f"{scope!r} is none of {', '.join(Quota.Scope.values)}")
    if not is_ours:
        raise InvalidField("scope_id", f"the organization has no {scope} {scope_id}")
