"""The addresses of this app's resources, below /api/v1."""

from __future__ import annotations

from django.urls import path

from accounts.api import (
    audit,
    invitations,
    keychanges,
    keys,
    management_keys,
    members,
    organizations,
    projects,
    users,
)

ONE = "organizations/<slug:organization>"

urlpatterns = [
    path("organizations", organizations.Organizations.as_view()),
    path(ONE, organizations.OneOrganization.as_view()),
    path(f"{ONE}/suspend", organizations.Suspend.as_view()),
    path(f"{ONE}/resume", organizations.Resume.as_view()),
    path(f"{ONE}/leave", members.Leave.as_view()),
    path(f"{ONE}/members", members.Members.as_view()),
    path(f"{ONE}/members/<int:member>", members.OneMember.as_view()),
    path(f"{ONE}/invitations", invitations.Invitations.as_view()),
    path(f"{ONE}/invitations/<int:invitation>", invitations.OneInvitation.as_view()),
    path("invitations/accept", invitations.Accept.as_view()),
    path(f"{ONE}/projects", projects.Projects.as_view()),
    path(f"{ONE}/projects/<slug:project>", projects.OneProject.as_view()),
    path(f"{ONE}/projects/<slug:project>/archive", projects.Archive.as_view()),
    path(f"{ONE}/projects/<slug:project>/unarchive", projects.Unarchive.as_view()),
    path(f"{ONE}/keys", keys.Keys.as_view()),
    path(f"{ONE}/keys/bulk", keychanges.BulkChange.as_view()),
    path(f"{ONE}/keys/hand-over", keychanges.HandOver.as_view()),
    path(f"{ONE}/keys/<slug:key>", keys.OneKey.as_view()),
    path(f"{ONE}/keys/<slug:key>/rotate", keychanges.Rotate.as_view()),
    path(f"{ONE}/keys/<slug:key>/disable", keychanges.Disable.as_view()),
    path(f"{ONE}/keys/<slug:key>/enable", keychanges.Enable.as_view()),
    path(f"{ONE}/keys/<slug:key>/revoke", keychanges.Revoke.as_view()),
    path(f"{ONE}/management-keys", management_keys.ManagementKeys.as_view()),
    path(
        f"{ONE}/management-keys/<slug:management_key>", management_keys.OneManagementKey.as_view()
    ),
    path(
        f"{ONE}/management-keys/<slug:management_key>/revoke",
        management_keys.RevokeManagementKey.as_view(),
    ),
    path("management-keys", management_keys.ManagementKeys.as_view()),
    path("management-keys/<slug:management_key>", management_keys.OneManagementKey.as_view()),
    path(
        "management-keys/<slug:management_key>/revoke",
        management_keys.RevokeManagementKey.as_view(),
    ),
    path("users", users.Users.as_view()),
    path("users/<int:user>", users.OneUser.as_view()),
    path("users/<int:user>/deactivate", users.Deactivate.as_view()),
    path("users/<int:user>/reactivate", users.Reactivate.as_view()),
    path("users/<int:user>/log-out", users.LogOut.as_view()),
    path("users/<int:user>/remove-second-factors", users.RemoveSecondFactors.as_view()),
    path(f"{ONE}/audit", audit.OrganizationAudit.as_view()),
    path("audit", audit.PlatformAudit.as_view()),
]
