"""The audit log: every change, by whom, from where, before and after, never a secret."""

from ipaddress import ip_network
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, connection, transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from accounts.audit import AuditMiddleware, acting
from accounts.models import AuditEvent, Membership, Project, User


def test_an_event_tells_who_what_where_before_and_after(project: Project) -> None:
    with acting("alice@example.org", via="api", address="192.0.2.7"):
        Project.objects.update(name="Renamed")
    event = AuditEvent.objects.latest("id")
    assert (event.actor, event.via, event.address) == ("alice@example.org", "api", "192.0.2.7")
    assert (event.action, event.object_kind, event.object_id) == ("update", "project", project.pk)
    assert event.organization == project.organization_id
    assert event.before is not None
    assert event.after is not None
    assert (event.before["name"], event.after["name"]) == ("Default", "Renamed")


def test_sql_without_a_name_is_audited_as_the_database_user(project: Project) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE project SET name = 'x'")
    event = AuditEvent.objects.latest("id")
    assert (event.actor, event.via) == (connection.settings_dict["USER"], "sql")
    assert event.address is None


def test_an_insert_has_no_before_and_a_delete_no_after(project: Project) -> None:
    extra = Project.objects.create(organization=project.organization, slug="extra", name="Extra")
    made = AuditEvent.objects.latest("id")
    extra.delete()
    gone = AuditEvent.objects.latest("id")
    assert (made.action, made.before) == ("insert", None)
    assert (gone.action, gone.after) == ("delete", None)


def test_a_password_change_is_audited_without_the_password(alice: User) -> None:
    before = AuditEvent.objects.count()
    alice.set_password("another password")
    alice.save()
    event = AuditEvent.objects.latest("id")
    assert AuditEvent.objects.count() == before + 1
    assert event.object_kind == "accounts_user"
    assert "password" not in {**(event.before or {}), **(event.after or {})}


def test_logging_in_is_no_change(alice: User, client: Client) -> None:
    before = AuditEvent.objects.count()
    client.force_login(alice)
    alice.refresh_from_db()
    assert alice.last_login is not None
    assert AuditEvent.objects.count() == before


def test_an_operators_groups_are_audited(alice: User) -> None:
    alice.groups.add(Group.objects.create(name="operators"))
    assert AuditEvent.objects.latest("id").object_kind == "accounts_user_groups"


def test_acting_blocks_nest_and_end(project: Project) -> None:
    with acting("outer", via="console"):
        with acting("inner", via="admin"):
            assert _actor_of_a_change() == "inner"
        assert _actor_of_a_change() == "outer"
    assert _actor_of_a_change() == connection.settings_dict["USER"]


def test_an_error_inside_does_not_leave_the_name_behind(project: Project) -> None:
    with (
        pytest.raises(IntegrityError),
        transaction.atomic(),
        acting("clumsy", via="console"),
    ):
        Project.objects.create(organization=project.organization, slug="default", name="Twice")
    assert _actor_of_a_change() == connection.settings_dict["USER"]


@pytest.mark.django_db(transaction=True)
def test_an_error_inside_without_a_transaction_leaves_no_name_either(project: Project) -> None:
    with pytest.raises(IntegrityError), acting("clumsy", via="console"):
        Project.objects.create(organization=project.organization, slug="default", name="Twice")
    assert _actor_of_a_change() == connection.settings_dict["USER"]


@pytest.mark.django_db(transaction=True)
def test_a_connection_closed_inside_is_no_trouble(project: Project) -> None:
    with acting("alice", via="console"):
        connection.close()
    assert _actor_of_a_change() == connection.settings_dict["USER"]


@pytest.mark.parametrize(
    ("path", "via"),
    [("/admin/accounts/", "admin"), ("/api/v1/keys", "api"), ("/projects/", "console")],
)
def test_a_request_acts_as_its_user(
    alice: User, project: Project, rf: RequestFactory, path: str, via: str
) -> None:
    event = _change_in_request(rf.post(path, REMOTE_ADDR="192.0.2.7"), alice)
    assert (event.actor, event.via, event.address) == (alice.email, via, "192.0.2.7")


def test_a_request_is_not_believed_about_its_address(
    alice: User, project: Project, rf: RequestFactory
) -> None:
    request = rf.post("/", REMOTE_ADDR="192.0.2.7", headers={"x-forwarded-for": "203.0.113.9"})
    assert _change_in_request(request, alice).address == "192.0.2.7"


def test_a_trusted_proxy_is_believed_about_the_address(
    alice: User, project: Project, rf: RequestFactory, settings: Any
) -> None:
    settings.TRUSTED_PROXIES = (ip_network("192.0.2.0/24"),)
    request = rf.post("/", REMOTE_ADDR="192.0.2.7", headers={"x-forwarded-for": "203.0.113.9"})
    assert _change_in_request(request, alice).address == "203.0.113.9"


def _change_in_request(request: HttpRequest, user: User) -> AuditEvent:
    def view(_: HttpRequest) -> HttpResponse:
        Membership.objects.filter(user=user).update(role="viewer")
        return HttpResponse()

    request.user = user
    AuditMiddleware(view)(request)
    return AuditEvent.objects.latest("id")


def _actor_of_a_change() -> str:
    project = Project.objects.get()
    project.name += "+"
    project.save()
    return AuditEvent.objects.latest("id").actor
