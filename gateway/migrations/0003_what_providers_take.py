"""Which endpoints a provider has beside those of its protocol, and the name of its output cap."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("gateway", "0002_triggers")]

    operations = [
        migrations.AddField(
            model_name="provider",
            name="responses",
            field=models.BooleanField(
                db_default=False, default=False, help_text="It has OpenAI's Responses too."
            ),
        ),
        migrations.AddField(
            model_name="provider",
            name="cap_field",
            field=models.CharField(
                blank=True,
                choices=[
                    ("max_tokens", "Max Tokens"),
                    ("max_completion_tokens", "Max Completion Tokens"),
                ],
                db_default="",
                default="",
                help_text="The only name that it takes the output cap of chat completions under, if any.",
                max_length=24,
            ),
        ),
    ]
