"""The operators' page of the audit: filters, search, and what a change was."""

import pytest
from django.test import Client

from accounts.audit import acting
from accounts.issuance import issue_key
from accounts.models import AuditEvent, Organization, Project, User

PAGE = "/admin/accounts/auditevent/"


@pytest.fixture
def operator(client: Client, db: None) -> Client:
    client.force_login(User.objects.create_superuser("operator@example.org", "a password"))
    return client


@pytest.fixture
def history(project: Project) -> Project:
    """Changes by three people, in three ways, of two organizations."""
    other = Organization.objects.create(slug="umbrella", name="Umbrella")
    with acting("alice@example.org", via="api", address="192.0.2.7"):
        Project.objects.create(organization=other, slug="labs", name="Labs")
    with acting("root", via="command"):
        issue_key(project=project, name="ci")
    with acting("bob@example.org", via="admin"):
        Project.objects.filter(pk=project.pk).update(name="Renamed", slug="renamed")
    return project


def found(client: Client, **query: str) -> set[str]:
    """Return which actors' events a filter leaves."""
    answer = client.get(PAGE, query)
    assert answer.status_code == 200
    return {event.actor for event in answer.context["cl"].result_list}


@pytest.mark.parametrize(
    ("query", "actors"),
    [
        ({"via": "api"}, {"alice@example.org"}),
        ({"via": "command", "action": "insert"}, {"root"}),
        ({"object_kind": "api_key"}, {"root"}),
        ({"action": "update", "object_kind": "project"}, {"bob@example.org"}),
        ({"q": "Alice@example.org"}, {"alice@example.org"}),
        ({"q": "umbrella", "object_kind": "project"}, {"alice@example.org"}),
        ({"q": "nobody-and-nothing"}, set()),
        ({"q": "%"}, set()),
        ({"q": "9" * 30}, set()),
    ],
)
def test_filters_and_search_leave_what_was_asked_for(
    operator: Client, history: Project, query: dict[str, str], actors: set[str]
) -> None:
    assert found(operator, **query) == actors


def test_events_are_found_by_their_object_and_organization(
    operator: Client, history: Project
) -> None:
    of_project = {"object_kind": "project", "q": str(history.pk)}
    assert "bob@example.org" in found(operator, **of_project)
    ours = found(operator, organization=str(history.organization_id))
    assert "alice@example.org" not in ours
    assert "root" in ours


def test_an_event_shows_what_was_and_what_is(operator: Client, history: Project) -> None:
    event = AuditEvent.objects.get(actor="bob@example.org")
    page = operator.get(f"{PAGE}{event.pk}/change/").content.decode()
    assert "<th scope='row'>name</th><td>Default</td><td>Renamed</td>" in page
    assert "<th scope='row'>made_at</th>" not in page
    assert f'<a href="/admin/accounts/project/{history.pk}/change/">project' in page
    listed = operator.get(PAGE, {"q": "bob@example.org"}).content.decode()
    assert "name, slug" in listed


def test_what_was_written_is_shown_as_text(operator: Client, history: Project) -> None:
    Project.objects.filter(pk=history.pk).update(name="<script>alert(1)</script>")
    page = operator.get(f"{PAGE}{AuditEvent.objects.latest('pk').pk}/change/").content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_a_page_of_events_costs_the_same_however_many_there_are(
    operator: Client, history: Project, django_assert_max_num_queries: object
) -> None:
    with django_assert_max_num_queries(12):  # type: ignore[operator]
        operator.get(PAGE)
