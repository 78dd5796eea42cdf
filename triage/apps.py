from django.apps import AppConfig
from django.db.models.signals import post_migrate, pre_migrate


class TriageConfig(AppConfig):
    name = "triage"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from triage import (
            guards,
            receivers,  # noqa: F401  (connects the signals)
        )
        from triage.api import schema  # noqa: F401  (describes tokens in the OpenAPI schema)

        pre_migrate.connect(guards.before_migration, sender=self)
        post_migrate.connect(guards.after_migration, sender=self)
