"""A deleted organization stays deleted, and nothing in it lives: whoever writes, and whenever."""

from django.db import migrations

# save() writes every column: an instance that was read before would bring it back to life.
STAYS_DELETED = """
CREATE FUNCTION tollgate_keep_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'organization % is deleted, which is final', OLD.id
        USING ERRCODE = 'check_violation', CONSTRAINT = 'organization_deleted_is_final';
END $$;
CREATE TRIGGER tollgate_keep_deleted BEFORE UPDATE ON organization FOR EACH ROW
    WHEN (OLD.status = 'deleted' AND NEW.status <> 'deleted')
    EXECUTE FUNCTION tollgate_keep_deleted();
"""
# Writers of these tables take their turn before the statement, so the organization cannot be
# deleted between this look and their commit.
NOTHING_LIVES = """
CREATE FUNCTION tollgate_refuse_in_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM organization WHERE id = NEW.organization_id AND status = 'deleted') THEN
        RAISE EXCEPTION 'organization % is deleted: nothing in it can live', NEW.organization_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'deleted_organization_is_empty';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER tollgate_living BEFORE INSERT OR UPDATE ON membership FOR EACH ROW
    WHEN (NEW.left_at IS NULL) EXECUTE FUNCTION tollgate_refuse_in_deleted();
CREATE TRIGGER tollgate_living BEFORE INSERT OR UPDATE ON project FOR EACH ROW
    WHEN (NEW.archived_at IS NULL) EXECUTE FUNCTION tollgate_refuse_in_deleted();
CREATE TRIGGER tollgate_living BEFORE INSERT OR UPDATE ON api_key FOR EACH ROW
    WHEN (NEW.status <> 'revoked') EXECUTE FUNCTION tollgate_refuse_in_deleted();
"""
DROP = """
DROP TRIGGER tollgate_living ON api_key;
DROP TRIGGER tollgate_living ON project;
DROP TRIGGER tollgate_living ON membership;
DROP FUNCTION tollgate_refuse_in_deleted();
DROP TRIGGER tollgate_keep_deleted ON organization;
DROP FUNCTION tollgate_keep_deleted();
"""


class Migration(migrations.Migration):

    dependencies = [("accounts", "0007_names")]

    operations = [migrations.RunSQL(STAYS_DELETED + NOTHING_LIVES, DROP)]
