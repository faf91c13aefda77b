"""/organizations/X/projects: what keys belong to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import Right
from accounts.api.fields import Fields, Nothing, Query, SlugText, Text
from accounts.api.paging import answer_page, page_of
from accounts.api.views import View, find
from accounts.models import Project
from accounts.organizations import archive_project, make_project, rename_project, unarchive_project


class ProjectOut(serializers.ModelSerializer[Project]):
    class Meta:
        model = Project
        fields = ("slug", "name", "made_at", "archived_at")


class ProjectIn(Fields):
    slug = SlugText()
    name = Text(max_length=100)


class ProjectChange(Fields):
    name = Text(max_length=100, required=False)


class ProjectQuery(Query):
    archived = serializers.BooleanField(required=False)


class Projects(View):
    @extend_schema(parameters=[ProjectQuery], responses=page_of(ProjectOut))
    def get(self, request: Request, organization: str) -> Response:
        self.enter(organization, Right.SEE_ORGANIZATION)
        query = self.read_query(ProjectQuery)
        found = Project.objects.filter(organization=self.organization)
        if "archived" in query:
            found = found.filter(archived_at__isnull=not query["archived"])
        return answer_page(found, query, show_projects)

    @extend_schema(request=ProjectIn, responses={201: ProjectOut})
    def post(self, request: Request, organization: str) -> Response:
        self.enter(organization, Right.MANAGE_PROJECTS)
        fields = self.read(ProjectIn)
        with self.writing():
            project = make_project(self.organization, **fields)
        return self.answer(show_projects([project])[0], status=201)


class OneProject(View):
    @extend_schema(responses=ProjectOut)
    def get(self, request: Request, organization: str, project: str) -> Response:
        self.enter(organization, Right.SEE_ORGANIZATION)
        return self.answer(show_projects([self.find(project)])[0])

    @extend_schema(request=ProjectChange, responses=ProjectOut)
    def patch(self, request: Request, organization: str, project: str) -> Response:
        """Rename it; the slug stays."""
        self.enter(organization, Right.MANAGE_PROJECTS)
        changes = self.read(ProjectChange)
        with self.writing():
            found = self.find(project)
            self.require_match(show_projects([found])[0])
            rename_project(found, changes.get("name", found.name))
        return self.answer(show_projects([found])[0])

    def find(self, project: str) -> Project:
        return find(Project.objects.filter(organization=self.organization), slug=project)


class Archive(OneProject):
    http_method_names = ["post", "options"]
    changes_one = True

    @extend_schema(request=Nothing, responses=ProjectOut)
    def post(self, request: Request, organization: str, project: str) -> Response:
        """Refuse all calls of its keys from now on; its history stays."""
        self.enter(organization, Right.MANAGE_PROJECTS)
        self.read()
        with self.writing():
            found = self.find(project)
            self.require_match(show_projects([found])[0])
            self.change(found)
        return self.answer(show_projects([found])[0])

    def change(self, project: Project) -> None:
        archive_project(project)


class Unarchive(Archive):
    @extend_schema(request=Nothing, responses=ProjectOut)
    def post(self, request: Request, organization: str, project: str) -> Response:
        """Let its keys call again, but for those that were disabled or revoked."""
        return super().post(request, organization, project)

    def change(self, project: Project) -> None:
        unarchive_project(project)


def show_projects(projects: Sequence[Project]) -> list[Any]:
    return list(ProjectOut(projects, many=True).data)
