"""What is decided beforehand: prices, quotas and their raises. Prices are appended, quotas change
and end, raises end by themselves."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class Price(models.Model):
    """Ticks per token of each bucket, from a date on. Never updated: a change is a new row.

    `provider` empty means any provider. A bucket without a price of its own costs as `input` or
    `output` do. `tiers` is a list of {"input_tokens": N, "input": ticks, ...}: from N input
    tokens on, those buckets cost that instead.
    """

    model = models.CharField(max_length=200)
    provider = models.CharField(max_length=50, blank=True)
    effective_from = models.DateTimeField()
    input = models.BigIntegerField()
    output = models.BigIntegerField()
    cache_read = models.BigIntegerField(null=True, blank=True)
    cache_write_5m = models.BigIntegerField(null=True, blank=True)
    cache_write_1h = models.BigIntegerField(null=True, blank=True)
    reasoning = models.BigIntegerField(null=True, blank=True)
    audio_input = models.BigIntegerField(null=True, blank=True)
    audio_output = models.BigIntegerField(null=True, blank=True)
    image_input = models.BigIntegerField(null=True, blank=True)
    tiers = models.JSONField(default=list, blank=True)
    made_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "price"
        constraints = [
            models.UniqueConstraint(
                fields=["model", "provider", "effective_from"], name="price_unique"
            ),
            models.CheckConstraint(
                condition=Q(input__gte=0, output__gte=0), name="price_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model} from {self.effective_from:%Y-%m-%d}"


class Quota(models.Model):
    """A rule: so much of a unit in a window, for one scope. `limit` empty counts without refusing,
    0 refuses all; for cost it is in ticks."""

    class Scope(models.TextChoices):
        ORGANIZATION = "organization"
        PROJECT = "project"
        MEMBER = "member"
        KEY = "key"

    class Unit(models.TextChoices):
        REQUESTS = "requests"
        INPUT_TOKENS = "input_tokens"
        OUTPUT_TOKENS = "output_tokens"
        TOTAL_TOKENS = "total_tokens"
        COST = "cost"
        CONCURRENCY = "concurrency"

    class Window(models.TextChoices):
        MINUTE = "minute"
        HOUR = "hour"
        DAY = "day"
        WEEK = "week"
        MONTH = "month"
        LIFETIME = "lifetime"
        NONE = "none"

    class Mode(models.TextChoices):
        ENFORCE = "enforce"
        OBSERVE = "observe"

    class Hold(models.TextChoices):
        STRICT = "strict"
        BOUNDED = "bounded"

    organization = models.BigIntegerField()
    scope = models.CharField(max_length=12, choices=Scope.choices)
    scope_id = models.BigIntegerField()
    model = models.CharField(max_length=200, blank=True)
    unit = models.CharField(max_length=13, choices=Unit.choices)
    limit = models.BigIntegerField(null=True, blank=True)
    window = models.CharField(max_length=8, choices=Window.choices)
    mode = models.CharField(max_length=7, choices=Mode.choices, default=Mode.ENFORCE)
    hold = models.CharField(max_length=7, choices=Hold.choices, default=Hold.STRICT)
    clamp = models.BooleanField(default=False)
    ends_at = models.DateTimeField(null=True, blank=True)
    made_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "quota"
        indexes = [models.Index(fields=["organization", "scope", "scope_id"], name="quota_scope")]
        constraints = [
            models.CheckConstraint(
                condition=Q(limit=None) | Q(limit__gte=0), name="quota_limit_not_negative"
            ),
            models.UniqueConstraint(
                fields=["scope", "scope_id", "unit", "window", "model"],
                condition=Q(ends_at=None),
                name="quota_unique",
            ),
            models.CheckConstraint(
                condition=Q(unit="concurrency", window="none")
                | (~Q(unit="concurrency") & ~Q(window="none")),
                name="quota_window_of_unit",
                violation_error_message="Concurrency has the window none, and nothing else has.",
            ),
            models.CheckConstraint(
                condition=Q(clamp=False) | Q(unit__in=["cost", "output_tokens", "total_tokens"]),
                name="quota_clamp_of_unit",
                violation_error_message="A shorter answer saves nothing of this unit.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.unit} per {self.window} of {self.scope} {self.scope_id}"


class QuotaRaise(models.Model):
    """So much more than a quota's limit, until it ends. A temporary one is gone with its end; of a
    prepaid one what had been used by then stays (KeptRaise), and the rest expires."""

    organization = models.BigIntegerField()
    quota = models.ForeignKey(Quota, models.PROTECT, related_name="raises")
    amount = models.BigIntegerField()
    is_prepaid = models.BooleanField(default=False)
    ends_at = models.DateTimeField()
    reason = models.CharField(max_length=500, blank=True)
    made_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "quota_raise"
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="quota_raise_is_more"),
        ]

    def __str__(self) -> str:
        return f"{self.amount} more of quota {self.quota_id} until {self.ends_at:%Y-%m-%d %H:%M}"


class KeptRaise(models.Model):
    """What had been used of a prepaid raise when it ended. Written once, by the ledger."""

    quota_raise = models.OneToOneField(
        QuotaRaise, models.PROTECT, primary_key=True, db_column="raise_id", related_name="kept"
    )
    amount = models.BigIntegerField()

    class Meta:
        db_table = "quota_raise_kept"

    def __str__(self) -> str:
        return f"{self.amount} kept of raise {self.pk}"


class RaiseRequest(models.Model):
    """Somebody asks for more than a quota's limit. Decided once: by a raise, or by a refusal."""

    organization = models.BigIntegerField()
    quota = models.ForeignKey(Quota, models.PROTECT, related_name="raise_requests")
    member = models.BigIntegerField(help_text="The membership of whoever asks.")
    amount = models.BigIntegerField()
    reason = models.CharField(max_length=500)
    made_at = models.DateTimeField(auto_now_add=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.CharField(max_length=254, blank=True)
    quota_raise = models.OneToOneField(
        QuotaRaise, models.PROTECT, null=True, blank=True, related_name="request"
    )
    answer = models.CharField(max_length=500, blank=True)

    class Meta:
        db_table = "raise_request"
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="raise_request_is_more"),
            models.CheckConstraint(
                condition=Q(decided_at__isnull=False) | Q(quota_raise=None),
                name="raise_request_decided",
            ),
            models.UniqueConstraint(
                fields=["quota", "member"],
                condition=Q(decided_at=None),
                name="raise_request_open_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount} more of quota {self.quota_id}"
