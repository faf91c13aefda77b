"""What the ledger counts: windows of quotas, and what each process has drawn from them.

Only ledger/ writes these, in its own SQL.
"""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from billing.models.rules import Quota


class QuotaWindow(models.Model):
    """One counted period of a quota. `posted` is settled within its holds, `overrun` beyond them,
    `drawn` lies in allowances; `ceiling` is the limit that the last draw saw. `limit` is that of
    the quota with its raises, as of the last draw, and true until `raised_until`."""

    quota = models.ForeignKey(Quota, models.PROTECT, related_name="windows")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    limit = models.BigIntegerField(null=True)
    raised_until = models.DateTimeField(null=True)
    ceiling = models.BigIntegerField(null=True)
    posted = models.BigIntegerField(db_default=0)
    overrun = models.BigIntegerField(db_default=0)
    drawn = models.BigIntegerField(db_default=0)

    class Meta:
        db_table = "quota_window"
        constraints = [
            models.UniqueConstraint(fields=["quota", "starts_at"], name="quota_window_unique"),
            models.CheckConstraint(
                condition=Q(posted__gte=0, overrun__gte=0, drawn__gte=0),
                name="quota_window_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(ceiling=None) | Q(posted__lte=F("ceiling") - F("drawn")),
                name="quota_window_never_overdrawn",
            ),
        ]

    def __str__(self) -> str:
        return f"window {self.pk} of quota {self.quota_id}"


class GatewayProcess(models.Model):
    """One gateway process, alive while it renews its lease by the database's clock."""

    id = models.UUIDField(primary_key=True)
    host = models.CharField(max_length=255)
    started_at = models.DateTimeField()
    lease_until = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    finished = models.BigIntegerField(
        db_default=0, help_text="Attempts that ended here; as many events carry a process_seq."
    )
    fence = models.BigIntegerField(
        db_default=0, help_text="Draws and returns that were said before this are refused."
    )
    report = models.JSONField(null=True, help_text="How it said that it is, at reported_at.")
    reported_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "gateway_process"
        verbose_name_plural = "gateway processes"

    def __str__(self) -> str:
        return f"{self.id} on {self.host}"


class Allowance(models.Model):
    """What one process has drawn from a window and not yet posted or given back."""

    pk = models.CompositePrimaryKey("window_id", "process_id")
    window = models.ForeignKey(QuotaWindow, models.PROTECT, related_name="allowances")
    process = models.ForeignKey(GatewayProcess, models.PROTECT, related_name="allowances")
    amount = models.BigIntegerField()
    held = models.BigIntegerField(db_default=0)
    granted = models.BigIntegerField(
        db_default=0, help_text="All that was ever drawn less all that was ever given back."
    )

    class Meta:
        db_table = "allowance"
        constraints = [
            models.CheckConstraint(condition=Q(amount__gte=0), name="allowance_not_negative")
        ]

    def __str__(self) -> str:
        return f"{self.amount} of window {self.window_id}"


class RouteSuspension(models.Model):
    """A route whose bound was found wrong: an attempt cost more than the most that it could. Calls
    under strict quotas leave the route out until somebody has acknowledged it (suspensions.py)."""

    model = models.CharField(max_length=200)
    provider = models.CharField(max_length=50)
    upstream_model = models.CharField(max_length=200)
    event_id = models.UUIDField(unique=True)
    held_ticks = models.BigIntegerField()
    cost_ticks = models.BigIntegerField()
    at = models.DateTimeField(db_default=models.functions.Now())
    acknowledged_at = models.DateTimeField(null=True)
    note = models.CharField(max_length=200, blank=True, db_default="")

    class Meta:
        db_table = "route_suspension"
        constraints = [
            models.UniqueConstraint(
                fields=["model", "provider", "upstream_model"],
                condition=Q(acknowledged_at=None),
                name="route_suspension_open_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.model} at {self.provider} since {self.at:%Y-%m-%d %H:%M} UTC"


class LedgerCheck(models.Model):
    """What a check of the whole ledger found; the fields are those of check.Findings."""

    at = models.DateTimeField(db_default=models.functions.Now())
    seconds = models.FloatField()
    differences = ArrayField(models.TextField())
    windows = models.BigIntegerField()
    events = models.BigIntegerField()
    adjustments = models.BigIntegerField()
    conflicts = models.BigIntegerField()
    rejected = models.BigIntegerField()

    class Meta:
        db_table = "ledger_check"
        indexes = [models.Index(fields=["at"], name="ledger_check_by_time")]

    def __str__(self) -> str:
        return f"{len(self.differences)} differences at {self.at}"
