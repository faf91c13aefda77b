"""Who may call: people, the organizations they belong to, and the keys that programs use.

Every row below an Organization carries its organization, so that one `filter()` is the wall
between tenants. Rows that gateways keep in memory are watched by triggers (see changes.py):
saving them here, in the admin, in a shell or in SQL reaches every process alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Lower

from accounts.fields import CidrField, validate_time_zone


class UserManager(BaseUserManager["User"]):
    """Makes users by e-mail address; addresses are kept in lower case."""

    def create_user(self, email: str, password: str | None = None, **fields: object) -> User:
        if not email:
            raise ValueError("email: a user needs an e-mail address")
        user = self.model(email=email.strip().lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: object) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email=(username or "").strip().lower())


class User(AbstractBaseUser, PermissionsMixin):
    """A person who can log in; what they may do follows from memberships and `is_staff`."""

    email = models.EmailField(max_length=254, unique=True)
    name = models.CharField(max_length=100, blank=True)
    is_staff = models.BooleanField("operator", default=False)
    is_active = models.BooleanField(default=True)
    session_epoch = models.PositiveIntegerField(
        default=0,
        db_default=0,
        editable=False,
        help_text="Sessions of another epoch have ended.",
    )
    date_joined = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[UserManager] = UserManager()
    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"

    class Meta:
        db_table = "accounts_user"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(email=Lower("email")), name="user_email_in_lower_case"
            )
        ]

    def __str__(self) -> str:
        return self.email

    def clean(self) -> None:
        super().clean()
        self.email = self.email.strip().lower()

    def get_session_auth_hash(self) -> str:
        """Bind sessions to the password and to the epoch: a new one ends them wherever they lie."""
        return f"{super().get_session_auth_hash()}.{self.session_epoch}"

    def get_session_auth_fallback_hash(self) -> Iterator[str]:
        for each in super().get_session_auth_fallback_hash():
            yield f"{each}.{self.session_epoch}"


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


class ChangeLog(models.Model):
    """What changed, in the order of commits. Written by triggers only; see changes.py."""

    seq = models.BigAutoField(primary_key=True)
    kind = models.CharField(max_length=30)
    object_id = models.BigIntegerField()
    organization = models.BigIntegerField(null=True)
    at = models.DateTimeField()

    class Meta:
        db_table = "change_log"
        verbose_name = "change"
        verbose_name_plural = "change log"

    def __str__(self) -> str:
        return f"{self.seq} {self.kind} {self.object_id}"


class AuditEvent(models.Model):
    """Who changed what, from where, before and after. Written by triggers; never holds a secret."""

    at = models.DateTimeField()
    organization = models.BigIntegerField(null=True)
    actor = models.CharField(max_length=254, help_text="An e-mail address, or the program.")
    via = models.CharField(max_length=20, help_text="console, api, admin, command, sql")
    address = models.GenericIPAddressField(null=True)
    action = models.CharField(max_length=10)  # insert | update | delete
    object_kind = models.CharField(max_length=30)
    object_id = models.BigIntegerField()
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)

    class Meta:
        db_table = "audit_event"
        indexes = [
            models.Index(fields=["organization", "-id"], name="audit_by_organization"),
            models.Index(fields=["object_kind", "object_id", "-id"], name="audit_by_object"),
            models.Index(fields=["actor", "-id"], name="audit_by_actor"),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.action} of {self.object_kind} {self.object_id}"
