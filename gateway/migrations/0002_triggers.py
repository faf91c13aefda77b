"""The change log and the audit log of where calls go, and base URLs by the names of containers."""

from django.db import migrations, models

from accounts import triggers


class Migration(migrations.Migration):

    dependencies = [
        ("accounts", "0002_integrity_and_triggers"),
        ("gateway", "0001_initial"),
    ]

    operations = [
        migrations.AlterField(
            model_name="provider",
            name="base_url",
            field=models.CharField(max_length=200),
        ),
        *triggers.watch("provider", organization=None),
        *triggers.watch(
            "credential", organization=None, parent="provider_id", secret_columns=["sealed"]
        ),
        *triggers.watch("model", organization=None),
        *triggers.watch("route", organization=None, parent="model_id"),
    ]
