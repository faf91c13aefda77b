"""Who may do what: the table of roles, and what Charlie, a stranger, never may."""

import pytest
from django.utils import timezone

from accounts.access import (
    OPERATOR,
    RIGHTS,
    Right,
    Standing,
    find_standing,
    may,
    may_give_role,
    may_manage_key,
)
from accounts.models import Membership, Organization, User

ACME, OTHER = 1, 2
ME, SOMEBODY = 10, 11
ROLES = ["owner", "admin", "member", "billing", "viewer", "operator"]

# Each row: what is asked, and who may.
MATRIX = [
    (Right.SEE_ORGANIZATION, "owner admin member billing viewer operator"),
    (Right.MANAGE_ORGANIZATION, "owner admin operator"),
    (Right.SEE_MEMBERS, "owner admin viewer operator"),
    (Right.MANAGE_MEMBERS, "owner admin operator"),
    (Right.MANAGE_OWNERS, "owner operator"),
    (Right.MANAGE_PROJECTS, "owner admin operator"),
    (Right.MAKE_OWN_KEYS, "owner admin member operator"),
    (Right.SEE_ALL_KEYS, "owner admin viewer operator"),
    (Right.MANAGE_ALL_KEYS, "owner admin operator"),
    (Right.SEE_OWN_USAGE, "owner admin member billing viewer operator"),
    (Right.SEE_ALL_USAGE, "owner admin billing viewer operator"),
    (Right.SEE_QUOTAS, "owner admin member billing viewer operator"),
    (Right.MANAGE_QUOTAS, "owner admin operator"),
    (Right.SEE_STATEMENTS, "owner admin billing operator"),
    (Right.SEE_AUDIT, "owner admin operator"),
    (Right.SUSPEND_ORGANIZATION, "operator"),
    (Right.MANAGE_PLATFORM, "operator"),
]


@pytest.mark.parametrize("role", ROLES)
def test_the_rights_of_a_role(role: str) -> None:
    allowed = {right for right, roles in MATRIX if role in roles.split()}
    assert {right for right in Right if may(_as(role), right, organization=ACME)} == allowed


def test_the_matrix_asks_about_every_right_and_every_role() -> None:
    assert {right for right, _ in MATRIX} == set(Right)
    assert {str(role) for role in RIGHTS} == set(ROLES) == {*Membership.Role.values, OPERATOR}


@pytest.mark.parametrize("role", ROLES)
def test_no_role_reaches_into_another_organization(role: str) -> None:
    assert not any(may(_as(role), right, organization=OTHER) for right in Right)
    assert not may_manage_key(_as(role), organization=OTHER, owner=ME)


def test_a_stranger_may_nothing() -> None:
    assert not any(may(None, right, organization=ACME) for right in Right)
    assert not may_manage_key(None, organization=ACME, owner=None)
    assert not may_give_role(None, organization=ACME, before=None, after="member")


@pytest.mark.parametrize(
    ("role", "manages_own", "manages_all"),
    [
        ("owner", True, True),
        ("admin", True, True),
        ("member", True, False),
        ("billing", False, False),
        ("viewer", False, False),
        ("operator", True, True),
    ],
)
def test_keys_of_ones_own_and_of_others(role: str, manages_own: bool, manages_all: bool) -> None:
    for owner, manages in ((ME, manages_own), (SOMEBODY, manages_all), (None, manages_all)):
        assert may_manage_key(_as(role), organization=ACME, owner=owner) == manages


@pytest.mark.parametrize(
    ("role", "before", "after", "allowed"),
    [
        ("admin", None, "member", True),
        ("admin", "member", "admin", True),
        ("admin", "member", None, True),
        ("admin", "member", "owner", False),
        ("admin", "owner", "member", False),
        ("admin", "owner", None, False),
        ("owner", "owner", None, True),
        ("owner", None, "owner", True),
        ("member", None, "member", False),
        ("operator", None, "owner", True),
    ],
)
def test_owners_are_made_and_unmade_by_owners_alone(
    role: str, before: str | None, after: str | None, allowed: bool
) -> None:
    assert may_give_role(_as(role), organization=ACME, before=before, after=after) == allowed


def test_a_standing_is_found_for_members_and_not_for_strangers(
    acme: Organization, alice: User, bob: User, charlie: User
) -> None:
    found = {person.name: find_standing(person, acme) for person in (alice, bob, charlie)}
    assert found["Charlie"] is None
    assert found["Alice"] is not None
    assert found["Bob"] is not None
    assert (found["Alice"].role, found["Bob"].role) == ("owner", "member")


def test_someone_who_left_or_was_shut_out_has_no_standing(acme: Organization, bob: User) -> None:
    bob.is_active = False
    assert find_standing(bob, acme) is None
    bob.is_active = True
    Membership.objects.filter(user=bob).update(left_at=timezone.now())
    assert find_standing(bob, acme) is None


def test_an_operator_stands_in_every_organization(acme: Organization, charlie: User) -> None:
    charlie.is_staff = True
    assert find_standing(charlie, acme) == Standing(acme.pk, "operator", None)


def _as(role: str) -> Standing:
    return Standing(ACME, role, ME)
