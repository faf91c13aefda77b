"""Days whose events are dropped."""

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0007_route_suspension'),
    ]

    operations = [
        migrations.CreateModel(
            name='DroppedDay',
            fields=[
                ('day', models.DateField(primary_key=True, serialize=False)),
                ('events', models.BigIntegerField()),
                ('cost_ticks', models.BigIntegerField()),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'db_table': 'dropped_day',
            },
        ),
    ]
