"""The addresses of the console. tests/console/test_roles.py has who may ask each of them."""

from __future__ import annotations

from django.urls import include, path

from console import (
    asking,
    documents,
    entrance,
    home,
    invitations,
    keychanges,
    keys,
    limits,
    organizations,
    people,
    projects,
    reference,
    style,
    usage,
)

ONE = "o/<slug:organization>"

urlpatterns = [
    path("", home.show_home, name="home"),
    path("style", style.show_style, name="style"),
    # Before allauth's own of the same name and address.
    path(
        "accounts/oidc/<str:provider_id>/login/",
        entrance.leave_for_provider,
        name="openid_connect_login",
    ),
    path("accounts/", include("allauth.urls")),
    path("docs/", documents.show_start, name="docs"),
    path("docs/openapi.json", reference.show_document, name="openapi"),
    path("docs/reference/", reference.show_all, name="reference"),
    path("docs/reference/<slug:operation>", reference.show_one, name="operation"),
    path("docs/<slug:name>", documents.show_one, name="document"),
    path("operations/", home.show_operations, name="operations"),
    path("organizations/new", organizations.make, name="new_organization"),
    path("invitations/<str:token>", invitations.answer, name="invitation"),
    path(f"{ONE}/", organizations.show_overview, name="organization"),
    path(f"{ONE}/keys/", keys.show_all, name="keys"),
    path(f"{ONE}/keys/new", keys.make, name="new_key"),
    path(f"{ONE}/keys/<slug:key>/", keychanges.show_one, name="key"),
    path(f"{ONE}/keys/<slug:key>/change", keychanges.change, name="change_key"),
    path(f"{ONE}/keys/<slug:key>/rotate", keychanges.rotate, name="rotate_key"),
    path(f"{ONE}/keys/<slug:key>/disable", keychanges.disable, name="disable_key"),
    path(f"{ONE}/keys/<slug:key>/enable", keychanges.enable, name="enable_key"),
    path(f"{ONE}/keys/<slug:key>/revoke", keychanges.revoke, name="revoke_key"),
    path("limits/<int:quota>", limits.lead, name="limit_link"),
    path(f"{ONE}/limits/", limits.show_all, name="limits"),
    path(f"{ONE}/limits/new", limits.make, name="new_limit"),
    path(f"{ONE}/limits/<int:quota>/", asking.show_one, name="limit"),
    path(f"{ONE}/limits/<int:quota>/change", limits.change, name="change_limit"),
    path(f"{ONE}/limits/<int:quota>/end", limits.end, name="end_limit"),
    path(f"{ONE}/requests/<int:number>/approve", asking.grant_request, name="approve"),
    path(f"{ONE}/requests/<int:number>/decline", asking.refuse_request, name="decline"),
    path(f"{ONE}/usage/", usage.show_usage, name="usage"),
    path(f"{ONE}/usage/export", usage.export, name="usage_csv"),
    path(f"{ONE}/settings", organizations.change, name="settings"),
    path(f"{ONE}/leave", people.leave, name="leave"),
    path(f"{ONE}/people/", people.show_all, name="people"),
    path(f"{ONE}/people/invite", people.send_invitation, name="invite"),
    path(f"{ONE}/people/<int:member>/role", people.set_role, name="role"),
    path(f"{ONE}/people/<int:member>/remove", people.remove, name="remove"),
    path(f"{ONE}/invitations/<int:invitation>/revoke", people.take_back, name="take_back"),
    path(f"{ONE}/projects/", projects.show_all, name="projects"),
    path(f"{ONE}/projects/<slug:project>/", projects.change, name="project"),
    path(f"{ONE}/projects/<slug:project>/archive", projects.archive, name="archive"),
    path(f"{ONE}/projects/<slug:project>/unarchive", projects.unarchive, name="unarchive"),
]
