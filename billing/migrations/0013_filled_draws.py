"""A draw fills up the other windows of a call that are half empty."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parents[1] / "ledger" / "sql"


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0012_fences'),
    ]

    operations = [
        migrations.RunSQL((SQL / "draw.sql").read_text(encoding="utf-8"), migrations.RunSQL.noop),
    ]
