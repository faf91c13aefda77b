"""The keys that programs call with, and those that they manage with."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from accounts.fields import CidrField
from accounts.models.organizations import Membership, Organization, Project
from accounts.models.people import User


class ApiKey(models.Model):
    """One public id for life; quotas and history belong to it, whatever its secrets are.

    An empty `allowed_*` list means "no restriction". The database itself refuses a project or an
    owner of another organization, and any change of a revoked key's status (migration 0002).
    """

    class Status(models.TextChoices):
        ACTIVE = "active"
        DISABLED = "disabled"
        REVOKED = "revoked"  # Final: a revoked key never comes back.

    public_id = models.CharField(max_length=12, unique=True)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="keys")
    project = models.ForeignKey(Project, models.PROTECT, related_name="keys")
    owner = models.ForeignKey(
        Membership,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="keys",
        help_text="Empty for a service key.",
    )
    name = models.CharField(max_length=100)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.ACTIVE)
    expires_at = models.DateTimeField(null=True, blank=True)
    allowed_models = ArrayField(
        models.CharField(max_length=200), default=list, blank=True, db_column="models"
    )
    allowed_endpoints = ArrayField(
        models.CharField(max_length=100), default=list, blank=True, db_column="endpoints"
    )
    allowed_networks = ArrayField(CidrField(), default=list, blank=True, db_column="networks")
    tags = models.JSONField(default=dict, blank=True)
    made_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    revoke_reason = models.CharField(max_length=200, blank=True)

    class Meta:
        db_table = "api_key"
        verbose_name = "API key"
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status="revoked", revoked_at__isnull=False)
                | (~models.Q(status="revoked") & models.Q(revoked_at=None)),
                name="api_key_revoked_at_some_time",
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.public_id})"


class ApiKeySecret(models.Model):
    """A keyed digest of one secret of a key; at most two are alive at a time."""

    key = models.ForeignKey(ApiKey, models.CASCADE, related_name="secrets")
    mac = models.BinaryField(max_length=32, unique=True)
    pepper_version = models.PositiveSmallIntegerField()
    made_at = models.DateTimeField(auto_now_add=True)
    ends_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "api_key_secret"

    def __str__(self) -> str:
        return f"secret {self.pk} of {self.key_id}"


class ManagementKey(models.Model):
    """A program's way into the management API, never into /v1; its text is digested like a key's.

    Without an organization it is an operator's. It can do at most what its maker can do at that
    moment, and dies with the maker's membership (access.find_key_standing). One that was made with
    another ends with that one at the latest.
    """

    class Scope(models.TextChoices):
        READ = "read"
        WRITE = "write"

    public_id = models.CharField(max_length=12, unique=True)
    organization = models.ForeignKey(
        Organization, models.PROTECT, null=True, blank=True, related_name="management_keys"
    )
    name = models.CharField(max_length=100)
    scope = models.CharField(max_length=5, choices=Scope.choices)
    mac = models.BinaryField(max_length=32, unique=True)
    pepper_version = models.PositiveSmallIntegerField()
    made_by = models.ForeignKey(User, models.PROTECT, related_name="management_keys")
    made_with = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="made", editable=False
    )
    made_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "management_key"

    def __str__(self) -> str:
        return f"{self.name} ({self.public_id})"


class KeyRequest(models.Model):
    """Which key a request to make one led to, so that its repeat makes no second one."""

    organization = models.ForeignKey(Organization, models.PROTECT, related_name="+")
    actor = models.CharField(max_length=254)
    idempotency_key = models.CharField(max_length=255)
    digest = models.BinaryField(max_length=32)
    key = models.ForeignKey(ApiKey, models.CASCADE, related_name="+")
    made_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "key_request"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "actor", "idempotency_key"], name="key_request_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.idempotency_key} of {self.actor}"
