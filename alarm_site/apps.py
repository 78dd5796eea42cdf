from django.apps import AppConfig


class AlarmSiteConfig(AppConfig):
    name = "alarm_site"

    def ready(self) -> None:
        from alarm_site import checks  # noqa: F401  (registers the deploy checks)
