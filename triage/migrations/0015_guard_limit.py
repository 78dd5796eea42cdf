import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('triage', '0014_consent_and_glass'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='alert',
            name='policy',
            field=models.ForeignKey(help_text='The version that it is about, where it is about one: it ends with it.', null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='triage.policy'),
        ),
        migrations.AddField(
            model_name='alert',
            name='with_policy',
            field=models.BooleanField(default=False, help_text='It ended because another version came in force.'),
        ),
        migrations.AddField(
            model_name='policy',
            name='canary_at',
            field=models.DateTimeField(help_text='When it began as a canary.', null=True),
        ),
        migrations.AddField(
            model_name='policy',
            name='canary_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='policy',
            name='guard_limit',
            field=models.JSONField(default=dict, help_text='What the guard rail holds it to and where that is from, as known when it was published; empty for what was published before this was kept.'),
        ),
        migrations.AlterField(
            model_name='guardrail',
            name='reason',
            field=models.TextField(blank=True, help_text='In words, of old rows: now evidence says why.'),
        ),
        migrations.AlterField(
            model_name='withdrawal',
            name='reason',
            field=models.TextField(blank=True, help_text='In words, of old rows: now evidence says why.'),
        ),
    ]
