from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('triage', '0018_review_newest'),
    ]

    operations = [
        migrations.AddField(
            model_name='pushsubscription',
            name='language',
            field=models.CharField(default='en', help_text='Of the page it subscribed on: it is told in it.', max_length=10),
        ),
    ]
