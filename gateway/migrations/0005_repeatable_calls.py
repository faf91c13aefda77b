"""Calls that came with an Idempotency-Key."""

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('gateway', '0004_aliases_and_last_days'),
    ]

    operations = [
        migrations.CreateModel(
            name='RepeatableCall',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('organization', models.BigIntegerField()),
                ('key', models.BigIntegerField()),
                ('name', models.BinaryField(max_length=32)),
                ('request', models.BinaryField(max_length=32)),
                ('call_id', models.UUIDField()),
                ('process', models.UUIDField()),
                ('state', models.CharField(choices=[('running', 'Running'), ('answered', 'Answered'), ('over', 'Over')], db_default='running', max_length=8)),
                ('answer', models.BinaryField(null=True)),
                ('made_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'db_table': 'repeatable_call',
                'indexes': [models.Index(fields=['made_at'], name='repeatable_call_by_time')],
                'constraints': [models.UniqueConstraint(fields=('key', 'name'), name='repeatable_call_once')],
            },
        ),
    ]
