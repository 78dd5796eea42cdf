from django.db import migrations, models

KINDS = {
    "error": "wrong among the accepted",
    "wait": "oldest deferred case",
    "deferral": "share deferred",
    "drift": "drift",
    "override": "overridden by people",
    "reader": "somebody's answers",
    "consent": "a household's consent",
    "team": "care teams",
    "unanswered": "critical and unanswered",
}


class Migration(migrations.Migration):
    dependencies = [("triage", "0020_gold_cases")]

    operations = [
        migrations.RemoveConstraint(model_name="alert", name="alert_kind_known"),
        migrations.AlterField(
            model_name="alert",
            name="kind",
            field=models.CharField(choices=list(KINDS.items()), max_length=10),
        ),
        migrations.AddConstraint(
            model_name="alert",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", list(KINDS))), name="alert_kind_known"
            ),
        ),
    ]
