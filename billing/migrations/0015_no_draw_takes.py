"""A draw that fills up a window over its limit takes nothing from its process."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parents[1] / "ledger" / "sql"


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0014_raise_requests'),
    ]

    operations = [
        migrations.RunSQL((SQL / "draw.sql").read_text(encoding="utf-8"), migrations.RunSQL.noop),
    ]
