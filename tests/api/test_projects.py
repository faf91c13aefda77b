"""/organizations/X/projects: made, renamed, archived and taken out again."""

import pytest

from accounts.models import Project
from tests.api.asking import Api

pytestmark = pytest.mark.django_db
PROJECTS = "organizations/acme/projects"


def test_owners_make_and_rename_projects(alices: Api) -> None:
    made = alices.post(PROJECTS, {"slug": "search", "name": "Search"})
    assert made.status == 201
    assert alices.get(f"{PROJECTS}/search").body == made.body
    renamed = alices.patch(f"{PROJECTS}/search", {"name": "Find"})
    assert (renamed.body["slug"], renamed.body["name"]) == ("search", "Find")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"slug": "default", "name": "Again"}, "slug"),
        ({"slug": "no slug", "name": "New"}, "slug"),
        ({"slug": "new", "name": " "}, "name"),
        ({"slug": "new", "name": "N" * 101}, "name"),
        ({"slug": "new", "name": "New", "organization": "globex"}, "organization"),
    ],
)
def test_what_makes_no_project_is_refused_by_its_field(
    alices: Api, project: Project, fields: dict[str, str], field: str
) -> None:
    answer = alices.post(PROJECTS, fields)
    assert (answer.status, answer.error["field"]) == (400, field)
    assert Project.objects.count() == 1


def test_an_archived_project_can_be_taken_out_again(alices: Api, project: Project) -> None:
    alices.post(PROJECTS, {"slug": "search", "name": "Search"})
    assert alices.post(f"{PROJECTS}/default/archive").body["archived_at"] is not None
    assert [each["slug"] for each in alices.list_all(PROJECTS, archived="true")] == ["default"]
    assert [each["slug"] for each in alices.list_all(PROJECTS, archived="false")] == ["search"]
    key = {"project": "default", "name": "late"}
    assert alices.post("organizations/acme/keys", key).error["field"] == "project"
    assert alices.post(f"{PROJECTS}/default/unarchive").body["archived_at"] is None
    assert alices.post("organizations/acme/keys", key).status == 201


def test_members_see_projects_and_change_none(bobs: Api, project: Project) -> None:
    assert [each["slug"] for each in bobs.list_all(PROJECTS)] == ["default"]
    assert bobs.post(PROJECTS, {"slug": "new", "name": "New"}).status == 403
    assert bobs.patch(f"{PROJECTS}/default", {"name": "Mine"}).status == 403
    assert bobs.post(f"{PROJECTS}/default/archive").status == 403
    assert bobs.post(f"{PROJECTS}/default/unarchive").status == 403


def test_charlie_sees_no_foreign_project(charlies: Api, project: Project) -> None:
    assert charlies.get(PROJECTS).status == 404
    assert charlies.get("organizations/globex/projects/default").status == 404
    for ask in (
        charlies.post(f"{PROJECTS}/default/archive"),
        charlies.post("organizations/globex/projects/default/archive"),
        charlies.patch("organizations/globex/projects/default", {"name": "Mine"}),
    ):
        assert ask.status == 404
    project.refresh_from_db()
    assert (project.name, project.archived_at) == ("Default", None)
