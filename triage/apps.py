from django.apps import AppConfig


class TriageConfig(AppConfig):
    name = "triage"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from triage import receivers  # noqa: F401  (connects the signals)
        from triage.api import schema  # noqa: F401  (describes tokens in the OpenAPI schema)
