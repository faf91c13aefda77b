"""What was used, what is allowed and what it costs.

Facts (`UsageEvent`, `Adjustment`, `Price`) are appended and never changed; claims (`Allowance`)
end once; everything else (`Rollup`) can be rebuilt. Models and prices are named by string and
scopes by number, so nothing here points up to the gateway. Amounts of money are ticks,
10^-10 USD in an int64. Only ledger/ writes QuotaWindow, Allowance and UsageEvent.
"""

from __future__ import annotations

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q


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
        ]

    def __str__(self) -> str:
        return f"{self.unit} per {self.window} of {self.scope} {self.scope_id}"


class QuotaWindow(models.Model):
    """One counted period of a quota. `posted` is settled within its holds, `overrun` beyond them,
    `drawn` lies in allowances; `ceiling` is the limit that the last draw saw."""

    quota = models.ForeignKey(Quota, models.PROTECT, related_name="windows")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    limit = models.BigIntegerField(null=True)
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

    class Meta:
        db_table = "gateway_process"

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


class Figures(models.Model):
    """What is added up. A call is counted once, where its first attempt is; a call of three
    attempts is one call and three attempts, whatever rows these fall into."""

    calls = models.BigIntegerField()
    attempts = models.BigIntegerField()
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

    class Meta:
        abstract = True


class RollupColumns(Figures):
    """A quarter of an hour (UTC) of one key's use of one model; bins are those of rollups.py."""

    organization = models.BigIntegerField()
    quarter = models.DateTimeField()
    project = models.BigIntegerField()
    key = models.BigIntegerField()
    member = models.BigIntegerField(null=True)
    model = models.TextField()
    provider = models.TextField()
    outcome = models.TextField()
    first_byte_hist = ArrayField(models.BigIntegerField())
    total_hist = ArrayField(models.BigIntegerField())

    class Meta:
        abstract = True


class Rollup(RollupColumns):
    """Derived from events and corrections; rollups.rebuild makes it again from them."""

    class Meta:
        db_table = "rollup"
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "organization",
                    "quarter",
                    "project",
                    "key",
                    "member",
                    "model",
                    "provider",
                    "outcome",
                ],
                nulls_distinct=False,
                name="rollup_unique",
            )
        ]


class RollupDelta(RollupColumns):
    """What a settlement adds to rollups, appended with it and folded in later."""

    class Meta:
        db_table = "rollup_delta"


class RollupTagColumns(Figures):
    """A quarter of an hour (UTC) of one project's use under one tag."""

    organization = models.BigIntegerField()
    quarter = models.DateTimeField()
    project = models.BigIntegerField()
    tag = models.TextField()
    value = models.TextField()

    class Meta:
        abstract = True


class RollupTag(RollupTagColumns):
    """Rollup by tag. An event with two tags counts under both, so these never add up."""

    class Meta:
        db_table = "rollup_tag"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "quarter", "project", "tag", "value"],
                name="rollup_tag_unique",
            )
        ]


class RollupTagDelta(RollupTagColumns):
    class Meta:
        db_table = "rollup_tag_delta"
