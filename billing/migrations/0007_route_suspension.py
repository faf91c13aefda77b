"""Routes that strict quotas leave out, in the change log as every process has to know."""

import django.db.models.functions.datetime
from django.db import migrations, models

from accounts import triggers


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0006_what_operators_see'),
    ]

    operations = [
        migrations.CreateModel(
            name='RouteSuspension',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('model', models.CharField(max_length=200)),
                ('provider', models.CharField(max_length=50)),
                ('upstream_model', models.CharField(max_length=200)),
                ('event_id', models.UUIDField(unique=True)),
                ('held_ticks', models.BigIntegerField()),
                ('cost_ticks', models.BigIntegerField()),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('acknowledged_at', models.DateTimeField(null=True)),
                ('note', models.CharField(blank=True, db_default='', max_length=200)),
            ],
            options={
                'db_table': 'route_suspension',
                'constraints': [models.UniqueConstraint(condition=models.Q(('acknowledged_at', None)), fields=('model', 'provider', 'upstream_model'), name='route_suspension_open_once')],
            },
        ),
        *triggers.watch("route_suspension", organization=None),
    ]
