"""People leave, projects are archived, organizations end: what becomes of keys, sessions, names."""

from datetime import timedelta

import psycopg
import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from accounts import keyring as keyrings
from accounts.access import Right, find_standing, may
from accounts.changes import Change
from accounts.ending import delete_organization
from accounts.errors import InvalidField, KeyRefused, LastOwner, OrganizationIsDeleted
from accounts.invitations import accept_invitation, invite
from accounts.issuance import IssuedKey, issue_key, revoke_key
from accounts.leaving import hand_over
from accounts.members import change_role, join, remove_member
from accounts.models import (
    ApiKey,
    AuditEvent,
    ChangeLog,
    Invitation,
    Membership,
    Organization,
    Project,
    User,
)
from accounts.organizations import (
    archive_project,
    make_organization,
    resume_organization,
    suspend_organization,
    unarchive_project,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def his(bob: User, acme: Organization) -> Membership:
    return Membership.objects.get(user=bob, organization=acme)


@pytest.fixture
def hers(alice: User, acme: Organization) -> Membership:
    return Membership.objects.get(user=alice, organization=acme)


@pytest.fixture
def own(project: Project, his: Membership) -> IssuedKey:
    """A key of Bob's."""
    return issue_key(project=project, name="bob's", owner=his)


def log_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def is_logged_in(client: Client) -> bool:
    return client.session.get("_auth_user_id") is not None and bool(
        client.get("/admin/logout-probe/").wsgi_request.user.is_authenticated
    )


def test_who_is_removed_is_a_member_no_more_and_only_once(
    bob: User, acme: Organization, his: Membership
) -> None:
    assert remove_member(his)
    assert not remove_member(his)
    assert find_standing(bob, acme) is None


def test_who_has_no_organization_left_is_logged_out(bob: User, his: Membership) -> None:
    client = log_in(bob)
    assert is_logged_in(client)
    remove_member(his)
    assert not is_logged_in(client)


def test_who_has_another_organization_stays_logged_in(bob: User, his: Membership) -> None:
    join(make_organization(slug="other", name="Other"), bob, "member")
    client = log_in(bob)
    remove_member(his)
    assert is_logged_in(client)


def test_an_operator_stays_logged_in(bob: User, his: Membership) -> None:
    bob.is_staff = True
    bob.save()
    client = log_in(bob)
    remove_member(Membership.objects.get(pk=his.pk))
    assert is_logged_in(client)


def test_open_invitations_to_who_is_removed_are_taken_back(
    alice: User, bob: User, acme: Organization, his: Membership
) -> None:
    waiting = timezone.now() + timedelta(days=1)
    for email in (bob.email, "else@example.org"):
        Invitation.objects.create(
            organization=acme,
            email=email,
            role="admin",
            digest=email.encode().ljust(32)[:32],
            invited_by=alice,
            expires_at=waiting,
        )
    remove_member(his)
    left = Invitation.objects.filter(revoked_at=None)
    assert [each.email for each in left] == ["else@example.org"]


def test_who_was_removed_can_be_invited_again_and_gets_no_key_back(
    alice: User, bob: User, acme: Organization, his: Membership, own: IssuedKey
) -> None:
    remove_member(his)
    invitation, _ = invite(acme, email=bob.email, role="member", invited_by=alice)
    again = accept_invitation(invitation, bob)
    own.key.refresh_from_db()
    assert own.key.owner == his
    assert hand_over([own.key], again) == 1


def test_the_last_owner_can_neither_leave_nor_be_demoted(hers: Membership) -> None:
    with pytest.raises(LastOwner):
        remove_member(hers)
    with pytest.raises(LastOwner):
        change_role(hers, "admin")
    hers.refresh_from_db()
    assert (hers.role, hers.left_at) == ("owner", None)


def test_one_of_two_owners_can_leave(hers: Membership, his: Membership) -> None:
    change_role(his, "owner")
    assert remove_member(hers)
    with pytest.raises(LastOwner):
        remove_member(his)


def test_keys_are_handed_over_with_all_they_have(own: IssuedKey, hers: Membership) -> None:
    before = list(own.key.secrets.values_list("mac", flat=True))
    assert hand_over([own.key], hers) == 1
    assert hand_over([own.key], hers) == 0
    own.key.refresh_from_db()
    assert own.key.owner == hers
    assert list(own.key.secrets.values_list("mac", flat=True)) == before


def test_a_key_without_an_owner_is_a_service_key(own: IssuedKey) -> None:
    assert hand_over(ApiKey.objects.all(), None) == 1
    own.key.refresh_from_db()
    assert own.key.owner is None


def test_a_revoked_key_is_not_handed_over(own: IssuedKey, hers: Membership) -> None:
    revoke_key(own.key)
    assert hand_over([own.key], hers) == 0


def test_keys_go_to_living_members_of_their_organization_only(
    own: IssuedKey, charlie: User, hers: Membership, his: Membership, alice: User
) -> None:
    stranger = join(make_organization(slug="other", name="Other"), charlie, "owner")
    with pytest.raises(InvalidField, match="not a member of the organization of these keys"):
        hand_over([own.key], stranger)
    alice.is_active = False
    alice.save()
    with pytest.raises(InvalidField, match="deactivated"):
        hand_over([own.key], Membership.objects.get(pk=hers.pk))
    remove_member(his)
    with pytest.raises(InvalidField, match="has left"):
        hand_over([own.key], his)


def test_a_project_is_archived_and_taken_back(project: Project) -> None:
    assert (archive_project(project), archive_project(project)) == (True, False)
    with pytest.raises(InvalidField, match="archived"):
        issue_key(project=project, name="new")
    assert (unarchive_project(project), unarchive_project(project)) == (True, False)
    assert issue_key(project=project, name="new").key.status == "active"


def test_members_of_a_suspended_organization_read_and_change_nothing(
    alice: User, acme: Organization
) -> None:
    suspend_organization(acme, "unpaid")
    standing = find_standing(alice, acme)
    allowed = {right for right in Right if may(standing, right, organization=acme.pk)}
    assert Right.SEE_ALL_USAGE in allowed
    assert all(right.name.startswith("SEE_") for right in allowed)
    resume_organization(acme)
    assert may(find_standing(alice, acme), Right.MANAGE_MEMBERS, organization=acme.pk)


def test_an_operator_acts_in_a_suspended_organization(charlie: User, acme: Organization) -> None:
    charlie.is_staff = True
    suspend_organization(acme, "unpaid")
    standing = find_standing(charlie, acme)
    assert all(may(standing, right, organization=acme.pk) for right in Right)


def test_deleting_revokes_every_key_and_frees_the_slug(acme: Organization, own: IssuedKey) -> None:
    assert (delete_organization(acme), delete_organization(acme)) == (True, False)
    own.key.refresh_from_db()
    assert (own.key.status, own.key.revoke_reason) == ("revoked", "the organization was deleted")
    assert make_organization(slug="acme", name="Acme").pk != acme.pk


def test_deleting_forgets_people_without_another_organization(
    alice: User, bob: User, acme: Organization
) -> None:
    join(make_organization(slug="other", name="Other"), bob, "owner")
    clients = log_in(alice), log_in(bob)
    delete_organization(acme)
    assert [is_logged_in(client) for client in clients] == [False, True]
    alice.refresh_from_db()
    assert (alice.name, alice.is_active, alice.has_usable_password()) == ("", False, False)
    assert alice.email == f"deleted-{alice.pk}@deleted.invalid"
    assert User.objects.get(pk=bob.pk).email == "bob@example.org"


def test_deleting_forgets_who_had_left_before_and_lets_them_come_again(
    acme: Organization, his: Membership
) -> None:
    remove_member(his)
    delete_organization(acme)
    assert not User.objects.filter(email="bob@example.org").exists()
    assert User.objects.create_user("bob@example.org")


def test_deleting_keeps_the_audit(acme: Organization, own: IssuedKey) -> None:
    before = AuditEvent.objects.filter(organization=acme.pk).count()
    delete_organization(acme)
    assert AuditEvent.objects.filter(organization=acme.pk).count() > before


def test_nothing_of_a_deleted_organization_comes_back(acme: Organization, project: Project) -> None:
    delete_organization(acme)
    for undo in (resume_organization, suspend_organization):
        with pytest.raises(OrganizationIsDeleted):
            undo(acme)
    with pytest.raises(OrganizationIsDeleted):
        unarchive_project(project)


def test_a_login_writes_nothing_to_the_change_log(bob: User) -> None:
    before = ChangeLog.objects.count()
    log_in(bob)
    bob.name = "Robert"
    bob.save()
    assert ChangeLog.objects.count() == before


@pytest.fixture
def operator(db: None) -> Client:
    return log_in(User.objects.create_superuser("operator@example.org", "a password"))


def act(operator: Client, kind: str, action: str, pk: int) -> str:
    answer = operator.post(
        f"/admin/accounts/{kind}/", {"action": action, "_selected_action": [pk]}, follow=True
    )
    assert answer.status_code == 200
    return answer.content.decode()


def test_operators_do_all_of_it_in_the_admin(
    operator: Client, acme: Organization, project: Project, his: Membership, own: IssuedKey
) -> None:
    act(operator, "apikey", "make_service_keys", own.key.pk)
    act(operator, "membership", "remove", his.pk)
    act(operator, "project", "archive", project.pk)
    for row in (own.key, his, project):
        row.refresh_from_db()
    assert own.key.owner is None
    assert his.left_at is not None
    assert project.archived_at is not None
    act(operator, "project", "unarchive", project.pk)
    act(operator, "organization", "delete_for_good", acme.pk)
    acme.refresh_from_db()
    assert acme.status == "active", "only a suspended organization is deleted"
    act(operator, "organization", "suspend", acme.pk)
    act(operator, "organization", "delete_for_good", acme.pk)
    acme.refresh_from_db()
    assert acme.status == "deleted"


def test_the_admin_keeps_the_last_owner(operator: Client, hers: Membership) -> None:
    assert "needs an owner" in act(operator, "membership", "remove", hers.pk)
    page = f"/admin/accounts/membership/{hers.pk}/change/"
    assert "needs an owner" in operator.post(page, {"role": "viewer"}, follow=True).content.decode()
    hers.refresh_from_db()
    assert (hers.role, hers.left_at) == ("owner", None)


@pytest.mark.django_db(transaction=True)
async def test_the_keys_of_who_is_deactivated_are_refused_until_they_are_back(
    own: IssuedKey, aconn: psycopg.AsyncConnection
) -> None:
    ring = keyrings.Keyring(prefixes=[settings.KEY_PREFIX], peppers=settings.KEY_PEPPERS)
    await ring.load(aconn)

    async def refusal_after(is_active: bool) -> str | None:
        head = await (await aconn.execute("SELECT max(seq) FROM change_log")).fetchone()
        await aconn.execute(
            "UPDATE accounts_user SET is_active = %s WHERE email LIKE 'bob@%%'", (is_active,)
        )
        rows = await aconn.execute(
            "SELECT seq, kind, object_id, organization FROM change_log WHERE seq > %s", head
        )
        await ring.refresh(aconn, [Change(*row) for row in await rows.fetchall()])
        try:
            ring.authenticate(own.plaintext, now=0, address=None)
        except KeyRefused as refused:
            return refused.code
        return None

    assert await refusal_after(False) == "member_deactivated"
    assert await refusal_after(True) is None
