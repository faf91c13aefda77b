"""The tenants, who belongs to them, and what they own."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Lower

from accounts.fields import validate_time_zone
from accounts.models.people import User


class Organization(models.Model):
    """The tenant. Windows are counted in its time zone (an IANA name)."""

    class Status(models.TextChoices):
        ACTIVE = "active"
        SUSPENDED = "suspended"
        DELETED = "deleted"  # Final; the row stays because facts and the audit name it.

    class HangUp(models.TextChoices):
        """What happens upstream when the caller of a stream goes away."""

        CLOSE = "close"
        DRAIN = "drain"

    slug = models.SlugField(max_length=50, unique=True)
    name = models.CharField(max_length=100)
    time_zone = models.CharField(max_length=64, default="UTC", validators=[validate_time_zone])
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.ACTIVE)
    status_reason = models.CharField(max_length=200, blank=True)
    hang_up = models.CharField(max_length=5, choices=HangUp.choices, default=HangUp.CLOSE)
    made_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "organization"
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.slug


class Membership(models.Model):
    """A person in an organization, with one role. `left_at` ends it; the row stays for history."""

    class Role(models.TextChoices):
        OWNER = "owner"
        ADMIN = "admin"
        MEMBER = "member"
        BILLING = "billing"
        VIEWER = "viewer"

    organization = models.ForeignKey(Organization, models.PROTECT, related_name="memberships")
    user = models.ForeignKey(User, models.PROTECT, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.MEMBER)
    made_at = models.DateTimeField(auto_now_add=True)
    left_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "membership"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "user"],
                condition=models.Q(left_at=None),
                name="membership_once",
            ),
            # What api_key's reference to (owner, organization) stands on.
            models.UniqueConstraint(fields=["id", "organization"], name="membership_in_one"),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.organization}"


class Project(models.Model):
    """Owns keys and can carry quotas of its own."""

    organization = models.ForeignKey(Organization, models.PROTECT, related_name="projects")
    slug = models.SlugField(max_length=50)
    name = models.CharField(max_length=100)
    made_at = models.DateTimeField(auto_now_add=True)
    archived_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "project"
        ordering = ["organization", "slug"]
        constraints = [
            models.UniqueConstraint(fields=["organization", "slug"], name="project_slug_unique"),
            # What api_key's reference to (project, organization) stands on.
            models.UniqueConstraint(fields=["id", "organization"], name="project_in_one"),
        ]

    def __str__(self) -> str:
        return f"{self.organization}/{self.slug}"


class Invitation(models.Model):
    """An offer of a membership to whoever reads a mailbox; its token is kept as a digest only."""

    organization = models.ForeignKey(Organization, models.PROTECT, related_name="invitations")
    email = models.EmailField(max_length=254)
    role = models.CharField(max_length=10, choices=Membership.Role.choices)
    digest = models.BinaryField(max_length=32, unique=True)
    invited_by = models.ForeignKey(User, models.PROTECT, related_name="+")
    made_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "invitation"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "email"],
                condition=models.Q(accepted_at=None, revoked_at=None),
                name="invitation_open_once",
            ),
            models.CheckConstraint(
                condition=models.Q(email=Lower("email")), name="invitation_email_in_lower_case"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.email} to {self.organization}"
