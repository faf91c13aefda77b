"""Raises of quotas, and windows that never overlap though the time zone changes."""

from pathlib import Path

import django.db.models.deletion
from django.db import migrations, models

from accounts import triggers

SQL = Path(__file__).parents[1] / "ledger" / "sql"


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0008_dropped_days'),
    ]

    operations = [
        migrations.CreateModel(
            name='QuotaRaise',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('organization', models.BigIntegerField()),
                ('amount', models.BigIntegerField()),
                ('is_prepaid', models.BooleanField(default=False)),
                ('ends_at', models.DateTimeField()),
                ('reason', models.CharField(blank=True, max_length=500)),
                ('made_at', models.DateTimeField(auto_now_add=True)),
                ('quota', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='raises', to='billing.quota')),
            ],
            options={
                'db_table': 'quota_raise',
                'ordering': ['id'],
            },
        ),
        migrations.AddField(
            model_name='quotawindow',
            name='raised_until',
            field=models.DateTimeField(null=True),
        ),
        migrations.CreateModel(
            name='KeptRaise',
            fields=[
                ('quota_raise', models.OneToOneField(db_column='raise_id', on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='kept', serialize=False, to='billing.quotaraise')),
                ('amount', models.BigIntegerField()),
            ],
            options={
                'db_table': 'quota_raise_kept',
            },
        ),
        migrations.AddConstraint(
            model_name='quotaraise',
            constraint=models.CheckConstraint(condition=models.Q(('amount__gt', 0)), name='quota_raise_is_more'),
        ),
        migrations.RunSQL(
            "DROP FUNCTION IF EXISTS ledger_open_windows(bigint[], timestamptz[], timestamptz[])",
            migrations.RunSQL.noop,
        ),
        *(
            migrations.RunSQL((SQL / name).read_text(encoding="utf-8"), migrations.RunSQL.noop)
            for name in ("limits.sql", "open_windows.sql", "draw.sql")
        ),
        *triggers.watch("quota_raise", organization="organization", parent="quota_id"),
    ]
