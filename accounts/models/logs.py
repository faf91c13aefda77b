"""What triggers write of every change (changes.py and audit.py)."""

from __future__ import annotations

from django.db import models


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
