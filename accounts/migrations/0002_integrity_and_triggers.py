"""Walls between organizations, the end of a revoked key, the change log and the audit log."""

from django.db import migrations, models

from accounts import triggers

# A plain foreign key would take a project, or an owner, of a stranger's organization.
COMPOSITE_KEYS = """
ALTER TABLE api_key
    ADD CONSTRAINT api_key_project_of_its_organization
        FOREIGN KEY (project_id, organization_id) REFERENCES project (id, organization_id),
    ADD CONSTRAINT api_key_owner_of_its_organization
        FOREIGN KEY (owner_id, organization_id) REFERENCES membership (id, organization_id);
"""
DROP_COMPOSITE_KEYS = """
ALTER TABLE api_key
    DROP CONSTRAINT api_key_owner_of_its_organization,
    DROP CONSTRAINT api_key_project_of_its_organization;
"""
# save() writes every column: an instance that was read before the key was revoked would bring it
# back to life.
REVOKED_IS_FINAL = """
CREATE FUNCTION tollgate_keep_revoked() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'key % is revoked, which is final', OLD.public_id
        USING ERRCODE = 'check_violation', CONSTRAINT = 'api_key_revoked_is_final';
END $$;
CREATE TRIGGER tollgate_keep_revoked BEFORE UPDATE ON api_key FOR EACH ROW
    WHEN (OLD.status = 'revoked' AND NEW.status <> 'revoked')
    EXECUTE FUNCTION tollgate_keep_revoked();
"""
DROP_REVOKED_IS_FINAL = """
DROP TRIGGER tollgate_keep_revoked ON api_key;
DROP FUNCTION tollgate_keep_revoked();
"""


class Migration(migrations.Migration):

    dependencies = [("accounts", "0001_initial")]

    operations = [
        migrations.AddConstraint(
            model_name="membership",
            constraint=models.UniqueConstraint(
                fields=("id", "organization"), name="membership_in_one"
            ),
        ),
        migrations.AddConstraint(
            model_name="project",
            constraint=models.UniqueConstraint(
                fields=("id", "organization"), name="project_in_one"
            ),
        ),
        migrations.AddConstraint(
            model_name="apikey",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("revoked_at__isnull", False), ("status", "revoked")),
                    models.Q(
                        models.Q(("status", "revoked"), _negated=True), ("revoked_at", None)
                    ),
                    _connector="OR",
                ),
                name="api_key_revoked_at_some_time",
            ),
        ),
        migrations.RunSQL(COMPOSITE_KEYS, DROP_COMPOSITE_KEYS),
        migrations.RunSQL(REVOKED_IS_FINAL, DROP_REVOKED_IS_FINAL),
        migrations.RunSQL(triggers.FUNCTIONS, triggers.DROP_FUNCTIONS),
        *triggers.watch("organization", organization="id"),
        *triggers.watch("membership"),
        *triggers.watch("project"),
        *triggers.watch("api_key"),
        *triggers.watch(
            "api_key_secret",
            organization="SELECT organization_id FROM api_key WHERE id = changed.key_id",
            parent="key_id",
            secret_columns=["mac"],
        ),
        *triggers.watch(
            "accounts_user",
            organization=None,
            secret_columns=["password"],
            ignored_columns=["last_login"],
            logged=False,
        ),
        # What an operator may do follows from these two as well.
        *triggers.watch("accounts_user_groups", organization=None, logged=False),
        *triggers.watch("accounts_user_user_permissions", organization=None, logged=False),
    ]
