"""The table in which allauth counts tries and remembers codes that were used: Django's own cache of
the database, as `createcachetable` makes it."""

from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [('console', '0001_ways_in_are_audited')]

    operations = [
        migrations.RunSQL(
            """
            CREATE TABLE try_count (
                cache_key varchar(255) NOT NULL PRIMARY KEY,
                value text NOT NULL,
                expires timestamp with time zone NOT NULL
            );
            CREATE INDEX try_count_expires ON try_count (expires);
            """,
            "DROP TABLE try_count",
        )
    ]
