"""Every "may they?": what each role allows, in one table, and the questions that are asked of it.

Pure but for find_standing() and find_key_standing(), the ways from a person or a management key to
a standing. A stranger has none, and what a stranger asks for looks as if it did not exist.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from django.conf import settings
from django.db.models import QuerySet

from accounts.models import ManagementKey, Membership, Organization, User


class Right(enum.Enum):
    """Something that a role may do in its organization."""

    SEE_ORGANIZATION = enum.auto()
    MANAGE_ORGANIZATION = enum.auto()  # Name, time zone, what happens at a hang-up.
    SEE_MEMBERS = enum.auto()
    MANAGE_MEMBERS = enum.auto()
    MANAGE_OWNERS = enum.auto()
    MANAGE_PROJECTS = enum.auto()
    MAKE_OWN_KEYS = enum.auto()
    SEE_ALL_KEYS = enum.auto()
    MANAGE_ALL_KEYS = enum.auto()
    SEE_OWN_USAGE = enum.auto()
    SEE_ALL_USAGE = enum.auto()
    SEE_QUOTAS = enum.auto()
    MANAGE_QUOTAS = enum.auto()
    SEE_STATEMENTS = enum.auto()
    SEE_AUDIT = enum.auto()
    SUSPEND_ORGANIZATION = enum.auto()
    MANAGE_PLATFORM = enum.auto()  # Organizations, providers, models, routes and prices.


OPERATOR = "operator"
# What the people of a suspended organization keep.
READING = frozenset(right for right in Right if right.name.startswith("SEE_"))
_VIEWER = frozenset(
    {
        Right.SEE_ORGANIZATION,
        Right.SEE_MEMBERS,
        Right.SEE_ALL_KEYS,
        Right.SEE_OWN_USAGE,
        Right.SEE_ALL_USAGE,
        Right.SEE_QUOTAS,
    }
)
_ADMIN = _VIEWER | {
    Right.MANAGE_ORGANIZATION,
    Right.MANAGE_MEMBERS,
    Right.MANAGE_PROJECTS,
    Right.MAKE_OWN_KEYS,
    Right.MANAGE_ALL_KEYS,
    Right.MANAGE_QUOTAS,
    Right.SEE_STATEMENTS,
    Right.SEE_AUDIT,
}
RIGHTS: dict[str, frozenset[Right]] = {
    Membership.Role.VIEWER: _VIEWER,
    Membership.Role.BILLING: frozenset(
        {
            Right.SEE_ORGANIZATION,
            Right.SEE_OWN_USAGE,
            Right.SEE_ALL_USAGE,
            Right.SEE_QUOTAS,
            Right.SEE_STATEMENTS,
        }
    ),
    Membership.Role.MEMBER: frozenset(
        {
            Right.SEE_ORGANIZATION,
            Right.MAKE_OWN_KEYS,
            Right.SEE_OWN_USAGE,
            Right.SEE_QUOTAS,
        }
    ),
    Membership.Role.ADMIN: _ADMIN,
    Membership.Role.OWNER: _ADMIN | {Right.MANAGE_OWNERS},
    OPERATOR: frozenset(Right),
}


@dataclass(frozen=True, slots=True)
class Standing:
    """What a person is in an organization. `membership` is None for an operator from outside."""

    organization: int
    role: str
    membership: int | None
    is_suspended: bool = False


def may(standing: Standing | None, right: Right, *, organization: int) -> bool:
    """Say whether a standing allows something in an organization."""
    if standing is None or standing.organization != organization:
        return False
    if standing.is_suspended and standing.role != OPERATOR and right not in READING:
        return False
    return right in RIGHTS[standing.role]


def may_manage_key(standing: Standing | None, *, organization: int, owner: int | None) -> bool:
    """Ask before making, rotating, disabling, enabling or revoking a key of `owner`."""
    return may(standing, Right.MANAGE_ALL_KEYS, organization=organization) or (
        _is_own(standing, owner) and may(standing, Right.MAKE_OWN_KEYS, organization=organization)
    )


def may_manage_quota(standing: Standing | None, *, organization: int, scope: str) -> bool:
    """Ask before making, changing, raising or ending a quota. What an organization as a whole may
    use is the operator's word; what it makes of that is its own."""
    if scope == "organization" and (standing is None or standing.role != OPERATOR):
        return False
    return may(standing, Right.MANAGE_QUOTAS, organization=organization)


def find_quota_managers(organization: int, *, scope: str) -> QuerySet[User]:
    """Return the people who may change a quota of that scope, as may_manage_quota() has it; of
    operators only where nobody else may."""
    people = User.objects.filter(is_active=True)
    if scope == "organization":
        return people.filter(is_staff=True).order_by("pk")
    roles = [role for role, rights in RIGHTS.items() if Right.MANAGE_QUOTAS in rights]
    members = Membership.objects.filter(
        organization=organization, role__in=roles, left_at=None, organization__status="active"
    )
    return people.filter(pk__in=members.values("user")).order_by("pk")


def may_give_role(
    standing: Standing | None, *, organization: int, before: str | None, after: str | None
) -> bool:
    """Ask before adding (`before` None), changing or removing (`after` None) a member.

    Owners are made and unmade by owners alone.
    """
    concerns_owner = Membership.Role.OWNER in {before, after}
    right = Right.MANAGE_OWNERS if concerns_owner else Right.MANAGE_MEMBERS
    return may(standing, right, organization=organization)


def find_standing(user: User, organization: Organization) -> Standing | None:
    """Return what a person is in an organization now; None for strangers and inactive users.

    The people of a suspended organization may see what they could see, and change nothing.
    """
    if not user.is_active:
        return None
    is_suspended = organization.status != Organization.Status.ACTIVE
    membership = Membership.objects.filter(
        organization=organization, user=user, left_at=None
    ).first()
    if user.is_staff:
        return Standing(
            organization.pk, OPERATOR, membership.pk if membership else None, is_suspended
        )
    if membership is None:
        return None
    return Standing(organization.pk, membership.role, membership.pk, is_suspended)


def find_key_standing(key: ManagementKey, organization: Organization) -> Standing | None:
    """Return what a management key is in an organization: what its maker is there now, but never
    an owner. An operator's key is an operator in all of them, as long as its maker is one."""
    if key.organization_id is None:
        return (
            Standing(organization.pk, OPERATOR, None)
            if may_manage_platform(key.made_by, key)
            else None
        )
    if key.organization_id != organization.pk:
        return None
    maker = find_standing(key.made_by, organization)
    if maker is None:
        return None
    is_above = maker.role in {Membership.Role.OWNER, OPERATOR}
    role = Membership.Role.ADMIN.value if is_above else maker.role
    return Standing(organization.pk, role, maker.membership, maker.is_suspended)


def find_organizations(user: User, key: ManagementKey | None = None) -> QuerySet[Organization]:
    """Return the organizations in which a person, or a management key, has a standing."""
    if key is not None and key.organization is not None:
        if find_key_standing(key, key.organization) is None:
            return Organization.objects.none()
        return Organization.objects.filter(pk=key.organization.pk)
    if may_manage_platform(user, key):
        return Organization.objects.all()
    if key is not None:
        return Organization.objects.none()
    ours = Membership.objects.filter(user=user, left_at=None)
    return Organization.objects.filter(pk__in=ours.values("organization"))


def may_found_organization(user: User, key: ManagementKey | None = None) -> bool:
    """Ask before a person makes an organization of their own: operators may, and where everybody
    may sign up everybody may, in person."""
    return may_manage_platform(user, key) or (
        key is None and user.is_active and settings.SIGNUP == "open"
    )


def may_manage_platform(user: User, key: ManagementKey | None = None) -> bool:
    """Ask before anything that is no organization's. A management key must be an operator's."""
    return user.is_active and user.is_staff and (key is None or key.organization_id is None)


def _is_own(standing: Standing | None, owner: int | None) -> bool:
    return standing is not None and owner is not None and standing.membership == owner
