"""/v1/organization/projects: what keys belong to. An id is the project's slug."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet
from django.utils.text import slugify

from accounts.access import Right
from accounts.models import Project
from accounts.organizations import archive_project, make_project, rename_project
from gateway.endpoints.organization.asking import Asked, find_row, list_rows, seconds_of
from gateway.errors import BadRequest

MAX_SLUG_LENGTH = 50
# What OpenAI's clients may send, and has no meaning here.
ELSEWHERE = ("residency", "geography", "external_key_id")


def list_projects(asked: Asked) -> dict[str, Any]:
    asked.require(Right.SEE_ORGANIZATION)
    asked.know("limit", "after", "order", "include_archived")
    found = projects_of(asked)
    if not asked.flag("include_archived"):
        found = found.filter(archived_at=None)
    return list_rows(asked, found, show_projects, column="slug")


def create_project(asked: Asked) -> dict[str, Any]:
    """Make a project; its slug, which stays, is made of the name."""
    asked.require(Right.MANAGE_PROJECTS)
    name = read_name(asked)
    project = make_project(asked.organization, slug=choose_slug(asked, name), name=name)
    return show_projects([project])[0]


def show_project(asked: Asked, project: str) -> dict[str, Any]:
    asked.require(Right.SEE_ORGANIZATION)
    asked.know()
    return show_projects([find_project(asked, project)])[0]


def change_project(asked: Asked, project: str) -> dict[str, Any]:
    asked.require(Right.MANAGE_PROJECTS)
    found = find_project(asked, project)
    rename_project(found, read_name(asked, default=found.name))
    return show_projects([found])[0]


def archive(asked: Asked, project: str) -> dict[str, Any]:
    asked.require(Right.MANAGE_PROJECTS)
    asked.fields({})
    found = find_project(asked, project)
    archive_project(found)
    return show_projects([found])[0]


def projects_of(asked: Asked) -> QuerySet[Project]:
    return Project.objects.filter(organization=asked.organization)


def find_project(asked: Asked, project: str) -> Project:
    return find_row(projects_of(asked), "project", project, column="slug")


def show_projects(projects: Sequence[Project]) -> list[dict[str, Any]]:
    return [
        {
            "id": project.slug,
            "object": "organization.project",
            "name": project.name,
            "created_at": seconds_of(project.made_at),
            "archived_at": seconds_of(project.archived_at),
            "status": "active" if project.archived_at is None else "archived",
        }
        for project in projects
    ]


def read_name(asked: Asked, *, default: str | None = None) -> str:
    known: dict[str, type | tuple[type, ...]] = {"name": str}
    fields = asked.fields(known | dict.fromkeys(ELSEWHERE, (str, dict)))
    for name in ELSEWHERE:
        if name in fields:
            raise BadRequest(f"'{name}' is not a matter of this service.", name)
    found: str | None = fields.get("name", default)
    if found is None:
        raise BadRequest("'name' is missing.", "name")
    return found


def choose_slug(asked: Asked, name: str) -> str:
    """Return a slug that is like the name and that no project has yet."""
    stem = slugify(name)[: MAX_SLUG_LENGTH - 5] or "project"
    taken = set(projects_of(asked).filter(slug__startswith=stem).values_list("slug", flat=True))
    number = 1
    while (slug := stem if number == 1 else f"{stem}-{number}") in taken:
        number += 1
    return slug
