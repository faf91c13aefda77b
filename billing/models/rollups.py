"""Sums of facts: derived, so they can be made again (see billing/rollups.py)."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models


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
        indexes = [models.Index(fields=["quarter"], name="rollup_by_quarter")]


class RollupDelta(RollupColumns):
    """What a settlement adds to rollups, appended with it and folded in later."""

    at = models.DateTimeField(db_default=models.functions.Now())

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
