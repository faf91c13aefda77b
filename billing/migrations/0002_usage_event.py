"""The table of facts: one row an attempt, a partition a day, by the time inside its UUIDv7.

Text has no length limit here and a default partition takes what no day takes, so that a fact is
not lost to a formality. The checks keep out what would let a window shrink, or sums of many
events reach the end of an int64: 10^12 tokens or 900,000 USD in one attempt are no fact.
"""

from django.db import migrations, models

CREATE = """
CREATE TABLE usage_event (
    id              uuid     PRIMARY KEY,
    call_id         uuid     NOT NULL,
    attempt_no      smallint NOT NULL,
    organization    bigint   NOT NULL,
    project         bigint   NOT NULL,
    key             bigint   NOT NULL,
    member          bigint,
    model           text     NOT NULL,
    provider        text     NOT NULL,
    upstream_model  text     NOT NULL,
    upstream_id     text     NOT NULL,
    protocol        text     NOT NULL,
    endpoint        text     NOT NULL,
    outcome         text     NOT NULL,
    http_status     smallint,
    uncached_input  bigint   NOT NULL,
    cache_read      bigint   NOT NULL,
    cache_write_5m  bigint   NOT NULL,
    cache_write_1h  bigint   NOT NULL,
    audio_input     bigint   NOT NULL,
    image_input     bigint   NOT NULL,
    output          bigint   NOT NULL,
    reasoning       bigint   NOT NULL,
    audio_output    bigint   NOT NULL,
    cost_ticks      bigint   NOT NULL,
    price_version   bigint,
    usage_source    text     NOT NULL,
    held_ticks      bigint   NOT NULL,
    first_byte_ms   integer,
    total_ms        integer  NOT NULL,
    tags            jsonb    NOT NULL,
    process         uuid     NOT NULL,
    process_seq     bigint   NOT NULL,
    windows         bigint[] NOT NULL,
    window_amounts  bigint[] NOT NULL,
    window_holds    bigint[] NOT NULL,
    CONSTRAINT usage_event_not_negative CHECK (
        least(uncached_input, cache_read, cache_write_5m, cache_write_1h, audio_input, image_input,
              output, reasoning, audio_output, cost_ticks, held_ticks) >= 0
    ),
    CONSTRAINT usage_event_plausible CHECK (
        greatest(uncached_input, cache_read, cache_write_5m, cache_write_1h, audio_input,
                 image_input, output, reasoning, audio_output) <= 1000000000000
        AND greatest(cost_ticks, held_ticks) <= 9007199254740992
    ),
    CONSTRAINT usage_event_windows_parallel CHECK (
        cardinality(window_amounts) = cardinality(windows)
        AND cardinality(window_holds) = cardinality(windows)
    ),
    CONSTRAINT usage_event_tags_object CHECK (jsonb_typeof(tags) = 'object')
) PARTITION BY RANGE (id);
CREATE TABLE usage_event_default PARTITION OF usage_event DEFAULT;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial")]

    operations = [
        migrations.RunSQL(CREATE, "DROP TABLE usage_event"),
        migrations.AlterModelOptions("usageevent", {}),
        migrations.AddIndex(
            "usageevent",
            models.Index(fields=["organization", "-id"], name="usage_event_by_organization"),
        ),
        migrations.AddIndex(
            "usageevent", models.Index(fields=["key", "-id"], name="usage_event_by_key")
        ),
    ]
