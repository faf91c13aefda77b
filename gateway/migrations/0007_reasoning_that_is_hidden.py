"""Models that reason unasked and show nothing of it."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('gateway', '0006_models_of_responses_alone'),
    ]

    operations = [
        migrations.AddField(
            model_name='route',
            name='hides_reasoning',
            field=models.BooleanField(db_default=False, default=False, help_text='The model may reason without being asked and show nothing of it: a caller that hangs up is charged what was held.'),
        ),
    ]
