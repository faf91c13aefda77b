"""No way around the logs: no TRUNCATE of what is watched, no change of the audit, groups watched."""

from django.db import migrations

from accounts import triggers

# Tables that are watched from a later migration on bring this trigger themselves.
KEEP_WHOLE = """
DO $$
DECLARE
    watched text;
BEGIN
    FOR watched IN
        SELECT c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
        WHERE t.tgname = 'tollgate_watch' AND c.relnamespace = current_schema()::regnamespace
    LOOP
        EXECUTE format('CREATE OR REPLACE TRIGGER tollgate_whole BEFORE TRUNCATE ON %I'
            ' FOR EACH STATEMENT EXECUTE FUNCTION tollgate_refuse_truncate()', watched);
    END LOOP;
END $$;
"""
# Rows may go when they are old, so that an installation can keep to a retention of its own.
KEEP_AUDIT = """
CREATE FUNCTION tollgate_keep_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'an audit event is never changed, and stays for 31 days at least'
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER tollgate_keep_audit BEFORE UPDATE ON audit_event
    FOR EACH ROW EXECUTE FUNCTION tollgate_keep_audit();
CREATE TRIGGER tollgate_keep_recent_audit BEFORE DELETE ON audit_event
    FOR EACH ROW WHEN (OLD.at > now() - interval '31 days')
    EXECUTE FUNCTION tollgate_keep_audit();
CREATE TRIGGER tollgate_whole BEFORE TRUNCATE ON audit_event
    FOR EACH STATEMENT EXECUTE FUNCTION tollgate_refuse_truncate();
"""
LET_AUDIT_GO = """
DROP TRIGGER tollgate_whole ON audit_event;
DROP TRIGGER tollgate_keep_recent_audit ON audit_event;
DROP TRIGGER tollgate_keep_audit ON audit_event;
DROP FUNCTION tollgate_keep_audit();
"""


class Migration(migrations.Migration):

    dependencies = [
        ("accounts", "0005_management_keys_and_invitations"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [
        migrations.RunSQL(triggers.REFUSE_TRUNCATE, migrations.RunSQL.noop),
        migrations.RunSQL(KEEP_WHOLE, migrations.RunSQL.noop),
        migrations.RunSQL(KEEP_AUDIT, LET_AUDIT_GO),
        # What an operator who is no superuser may do follows from these.
        *triggers.watch("auth_group", organization=None, logged=False),
        *triggers.watch("auth_group_permissions", organization=None, logged=False),
    ]
