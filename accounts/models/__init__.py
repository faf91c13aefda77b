"""Who may call: people, the organizations they belong to, and the keys that programs use.

Every row below an Organization carries its organization, so that one `filter()` is the wall
between tenants. Rows that gateways keep in memory are watched by triggers (see changes.py):
saving them here, in the admin, in a shell or in SQL reaches every process alike.
"""

from __future__ import annotations

from accounts.models.keys import ApiKey, ApiKeySecret, KeyRequest, ManagementKey
from accounts.models.logs import AuditEvent, ChangeLog
from accounts.models.organizations import Invitation, Membership, Organization, Project
from accounts.models.people import User, UserManager

__all__ = [
    "ApiKey",
    "ApiKeySecret",
    "AuditEvent",
    "ChangeLog",
    "Invitation",
    "KeyRequest",
    "ManagementKey",
    "Membership",
    "Organization",
    "Project",
    "User",
    "UserManager",
]
