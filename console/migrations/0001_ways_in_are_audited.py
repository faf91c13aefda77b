"""How people get in is audited: addresses, second factors and accounts at identity providers.

What proves them is secret; when they were last used is no change.
"""

from django.db import migrations

from accounts import triggers


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0007_names'),
        ('account', '0009_emailaddress_unique_primary_email'),
        ('mfa', '0003_authenticator_type_uniq'),
        ('socialaccount', '0006_alter_socialaccount_extra_data'),
    ]

    operations = [
        *triggers.watch("account_emailaddress", organization=None, logged=False),
        *triggers.watch(
            "mfa_authenticator",
            organization=None,
            secret_columns=["data"],
            ignored_columns=["last_used_at"],
            logged=False,
        ),
        *triggers.watch(
            "socialaccount_socialaccount",
            organization=None,
            secret_columns=["extra_data"],
            ignored_columns=["last_login"],
            logged=False,
        ),
    ]
