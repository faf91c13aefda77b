"""Sessions that can be ended at once, deleted organizations, and users who are switched off."""

from django.db import migrations, models

# A login writes `last_login` and must not wait for the turn of the change log: only statements that
# name `is_active` take it, and only a change of it is logged. The audit is watch()'s, as before.
FOLLOW_USERS = """
CREATE FUNCTION tollgate_follow_accounts_user() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tollgate_log_change('accounts_user', NEW.id, NULL);
    RETURN NULL;
END $$;
CREATE TRIGGER tollgate_turn BEFORE UPDATE OF is_active ON accounts_user
    FOR EACH STATEMENT EXECUTE FUNCTION tollgate_take_turn();
CREATE TRIGGER tollgate_follow AFTER UPDATE OF is_active ON accounts_user
    FOR EACH ROW WHEN (OLD.is_active IS DISTINCT FROM NEW.is_active)
    EXECUTE FUNCTION tollgate_follow_accounts_user();
"""
UNFOLLOW_USERS = """
DROP TRIGGER tollgate_follow ON accounts_user;
DROP TRIGGER tollgate_turn ON accounts_user;
DROP FUNCTION tollgate_follow_accounts_user();
"""


class Migration(migrations.Migration):

    dependencies = [("accounts", "0003_known_time_zones")]

    operations = [
        migrations.AddField(
            model_name="user",
            name="session_epoch",
            field=models.PositiveIntegerField(
                default=0,
                # A release older inserts users without naming this column.
                db_default=0,
                editable=False,
                help_text="Sessions of another epoch have ended.",
            ),
        ),
        migrations.AlterField(
            model_name="organization",
            name="status",
            field=models.CharField(
                choices=[
                    ("active", "Active"),
                    ("suspended", "Suspended"),
                    ("deleted", "Deleted"),
                ],
                default="active",
                max_length=10,
            ),
        ),
        migrations.RunSQL(FOLLOW_USERS, UNFOLLOW_USERS),
    ]
