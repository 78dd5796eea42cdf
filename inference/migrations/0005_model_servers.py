from django.db import migrations, models


class Migration(migrations.Migration):
    """What tokens go in and what they cost; answers that came too late."""

    dependencies = [
        ('inference', '0004_members'),
    ]

    operations = [
        migrations.AddField(
            model_name='member',
            name='price_in',
            field=models.FloatField(default=0, help_text='Of a million tokens that go in.'),
        ),
        migrations.AddField(
            model_name='stagetrace',
            name='late',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='stagetrace',
            name='prompt_tokens',
            field=models.PositiveIntegerField(default=0, help_text='That went in.'),
        ),
        migrations.AlterField(
            model_name='stagetrace',
            name='tokens',
            field=models.PositiveIntegerField(default=0, help_text='Generated.'),
        ),
    ]
