"""The change log and the audit log of quotas and prices."""

from django.db import migrations

from accounts import triggers


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_integrity_and_triggers"),
        ("billing", "0004_facts_stay"),
    ]

    operations = [
        *triggers.watch("quota", organization="organization"),
        *triggers.watch("price", organization=None),
    ]
