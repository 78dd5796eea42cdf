"""The Celery application: JSON messages that only say "look at row X"."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "alarm_site.settings")

app = Celery("alarm_site")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
