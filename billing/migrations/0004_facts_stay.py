"""Facts, corrections and prices are never changed: the database itself refuses it."""

from django.db import migrations

TABLES = ("usage_event", "adjustment", "price")

FUNCTION = """
CREATE FUNCTION tollgate_refuse_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is never changed: append a correction or a new row', TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation';
END $$
"""


def refuse_updates(table: str) -> migrations.RunSQL:
    return migrations.RunSQL(
        f"CREATE TRIGGER tollgate_facts_stay BEFORE UPDATE ON {table}"
        " FOR EACH ROW EXECUTE FUNCTION tollgate_refuse_update()",
        f"DROP TRIGGER tollgate_facts_stay ON {table}",
    )


class Migration(migrations.Migration):
    dependencies = [("billing", "0003_rollups")]

    operations = [
        migrations.RunSQL(FUNCTION, "DROP FUNCTION tollgate_refuse_update()"),
        *(refuse_updates(table) for table in TABLES),
    ]
