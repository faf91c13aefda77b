"""Models that OpenAI has at Responses alone."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('gateway', '0005_repeatable_calls'),
    ]

    operations = [
        migrations.AddField(
            model_name='route',
            name='only_responses',
            field=models.BooleanField(db_default=False, default=False, help_text="The model has OpenAI's Responses alone: all else is translated to them."),
        ),
    ]
