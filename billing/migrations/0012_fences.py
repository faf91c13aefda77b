"""Fences: a draw or return that its process gave up on is refused when it arrives after all."""

from pathlib import Path

from django.db import migrations, models

SQL = Path(__file__).parents[1] / "ledger" / "sql"
BEFORE = """
DROP FUNCTION IF EXISTS ledger_draw(
    uuid, bigint[], bigint[], int[], int[], bigint[], bigint[], int);
DROP FUNCTION IF EXISTS ledger_give_back(uuid, bigint[], bigint[]);
"""


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0011_names'),
    ]

    operations = [
        migrations.AddField(
            model_name='gatewayprocess',
            name='fence',
            field=models.BigIntegerField(db_default=0, help_text='Draws and returns that were said before this are refused.'),
        ),
        # Processes of the release before go on: they say no fence, and put none up.
        migrations.RunSQL(BEFORE, migrations.RunSQL.noop),
        *(
            migrations.RunSQL((SQL / name).read_text(encoding="utf-8"), migrations.RunSQL.noop)
            for name in ("draw.sql", "give_back.sql")
        ),
    ]
