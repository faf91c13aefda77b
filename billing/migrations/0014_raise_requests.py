"""Requests for more than a quota's limit, and what became of them."""

import django.db.models.deletion
from django.db import migrations, models

from accounts import triggers


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0013_filled_draws'),
    ]

    operations = [
        migrations.CreateModel(
            name='RaiseRequest',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('organization', models.BigIntegerField()),
                ('member', models.BigIntegerField(help_text='The membership of whoever asks.')),
                ('amount', models.BigIntegerField()),
                ('reason', models.CharField(max_length=500)),
                ('made_at', models.DateTimeField(auto_now_add=True)),
                ('decided_at', models.DateTimeField(blank=True, null=True)),
                ('decided_by', models.CharField(blank=True, max_length=254)),
                ('answer', models.CharField(blank=True, max_length=500)),
                ('quota', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='raise_requests', to='billing.quota')),
                ('quota_raise', models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='request', to='billing.quotaraise')),
            ],
            options={
                'db_table': 'raise_request',
                'ordering': ['-id'],
                'constraints': [models.CheckConstraint(condition=models.Q(('amount__gt', 0)), name='raise_request_is_more'), models.CheckConstraint(condition=models.Q(('decided_at__isnull', False), ('quota_raise', None), _connector='OR'), name='raise_request_decided'), models.UniqueConstraint(condition=models.Q(('decided_at', None)), fields=('quota', 'member'), name='raise_request_open_once')],
            },
        ),
        *triggers.watch("raise_request", organization="organization", logged=False),
    ]
