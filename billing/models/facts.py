"""What happened: events and their corrections, appended by ledger/ and never changed; and what was
set aside or refused."""

from __future__ import annotations

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from billing.models.ledger import QuotaWindow


class UsageEvent(models.Model):
    """The fact of one attempt; usage.UsageEvent documents every column. Partitioned by day on the
    UUIDv7 `id` and written by ledger/settlement.py alone."""

    id = models.UUIDField(primary_key=True)
    call_id = models.UUIDField()
    attempt_no = models.SmallIntegerField()
    organization = models.BigIntegerField()
    project = models.BigIntegerField()
    key = models.BigIntegerField()
    member = models.BigIntegerField(null=True)
    model = models.CharField(max_length=200)
    provider = models.CharField(max_length=50)
    upstream_model = models.CharField(max_length=200)
    upstream_id = models.CharField(max_length=200)
    protocol = models.CharField(max_length=10)
    endpoint = models.CharField(max_length=50)
    outcome = models.CharField(max_length=20)
    http_status = models.SmallIntegerField(null=True)
    uncached_input = models.BigIntegerField()
    cache_read = models.BigIntegerField()
    cache_write_5m = models.BigIntegerField()
    cache_write_1h = models.BigIntegerField()
    audio_input = models.BigIntegerField()
    image_input = models.BigIntegerField()
    output = models.BigIntegerField()
    reasoning = models.BigIntegerField()
    audio_output = models.BigIntegerField()
    cost_ticks = models.BigIntegerField()
    price_version = models.BigIntegerField(null=True)
    usage_source = models.CharField(max_length=10)
    held_ticks = models.BigIntegerField()
    first_byte_ms = models.IntegerField(null=True)
    total_ms = models.IntegerField()
    tags = models.JSONField()
    process = models.UUIDField()
    process_seq = models.BigIntegerField()
    windows = ArrayField(models.BigIntegerField())
    window_amounts = ArrayField(models.BigIntegerField())
    window_holds = ArrayField(models.BigIntegerField())

    class Meta:
        db_table = "usage_event"  # Made by hand in migration 0002, as Django knows no partitions.
        indexes = [
            models.Index(fields=["organization", "-id"], name="usage_event_by_organization"),
            models.Index(fields=["key", "-id"], name="usage_event_by_key"),
            models.Index(fields=["process", "process_seq"], name="usage_event_by_process"),
        ]

    def __str__(self) -> str:
        return str(self.id)


class Adjustment(models.Model):
    """A later, appended correction of a window (`window` set) or of an event's own figures
    (`window` empty: `amount` is ticks and `usage` the difference in tokens by bucket)."""

    class Reason(models.TextChoices):
        LATE = "late"  # The truth about an event that was captured at its hold.
        SPOOL_LOST = "spool_lost"  # A process ended and its spool cannot be read: all captured.
        SPOOL_FOUND = "spool_found"  # ... and it turned up after all: credited.
        CARRIED = "carried"  # The sum of facts that retention dropped.
        GRANT = "grant"

    id = models.BigAutoField(primary_key=True)
    window = models.ForeignKey(QuotaWindow, models.PROTECT, null=True, related_name="adjustments")
    event_id = models.UUIDField(null=True)
    process = models.UUIDField(null=True)
    amount = models.BigIntegerField()
    usage = models.JSONField(default=dict)
    reason = models.CharField(max_length=12, choices=Reason.choices)
    at = models.DateTimeField(db_default=models.functions.Now())

    class Meta:
        db_table = "adjustment"
        constraints = [
            models.UniqueConstraint(
                fields=["event_id", "window", "reason"],
                nulls_distinct=False,
                condition=Q(event_id__isnull=False),
                name="adjustment_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.amount} ({self.reason})"


class SettlementConflict(models.Model):
    """A second settlement of an attempt that says something else. Kept, alerted, never applied."""

    event_id = models.UUIDField()
    digest = models.CharField(max_length=64)
    payload = models.JSONField()
    at = models.DateTimeField(db_default=models.functions.Now())

    class Meta:
        db_table = "settlement_conflict"
        constraints = [models.UniqueConstraint(fields=["event_id", "digest"], name="conflict_once")]

    def __str__(self) -> str:
        return str(self.event_id)


class RejectedEvent(models.Model):
    """A fact that the database would not take, set aside whole so that its batch could go on."""

    event_id = models.UUIDField(default=uuid.uuid4, unique=True)
    payload = models.TextField()
    error = models.TextField()
    at = models.DateTimeField(db_default=models.functions.Now())

    class Meta:
        db_table = "rejected_event"

    def __str__(self) -> str:
        return str(self.event_id)


class DroppedDay(models.Model):
    """A day (UTC) whose events retention has dropped, and what they came to, corrections
    included. Its rollups stay as they are: nothing can make them again."""

    day = models.DateField(primary_key=True)
    events = models.BigIntegerField()
    cost_ticks = models.BigIntegerField()
    at = models.DateTimeField(db_default=models.functions.Now())

    class Meta:
        db_table = "dropped_day"

    def __str__(self) -> str:
        return f"{self.day}"


class Refusal(models.Model):
    """A sample of the calls that were not forwarded, kept for seven days."""

    call_id = models.UUIDField()
    at = models.DateTimeField()
    organization = models.BigIntegerField(null=True)
    project = models.BigIntegerField(null=True)
    key = models.BigIntegerField(null=True)
    model = models.CharField(max_length=200, blank=True)
    endpoint = models.CharField(max_length=50, blank=True)
    code = models.CharField(max_length=50)
    http_status = models.SmallIntegerField()
    quota = models.BigIntegerField(null=True)
    message = models.TextField()
    sampled = models.IntegerField(default=1, help_text="How many refusals this row stands for.")

    class Meta:
        db_table = "refusal"
        indexes = [
            models.Index(fields=["organization", "-at"], name="refusal_by_organization"),
            models.Index(fields=["at"], name="refusal_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.code} at {self.at}"
