"""The Celery application: JSON messages that only say "look at row X"."""

import os
from logging.config import dictConfig
from typing import Any

from celery import Celery, Task
from celery.signals import (
    before_task_publish,
    setup_logging,
    task_postrun,
    task_prerun,
    worker_process_init,
    worker_process_shutdown,
    worker_shutdown,
)
from django.conf import settings
from structlog.contextvars import bind_contextvars, unbind_contextvars

from inference import tracing

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "alarm_site.settings")

app = Celery("alarm_site")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def log_as_the_web_does(**_: Any) -> None:
    """Else Celery would put lines of its own shape in the place of ours."""
    dictConfig(settings.LOGGING)


@worker_process_init.connect
def tell_pages_beside_the_work(**_: Any) -> None:
    from triage import events  # needs settings, which Celery reads after this module

    events.tell_beside()


@worker_process_shutdown.connect
@worker_shutdown.connect
def tell_the_last(**_: Any) -> None:
    from triage import events

    events.tell_now()


@before_task_publish.connect
def send_trace(headers: dict[str, Any], **_: Any) -> None:
    headers[tracing.KEY] = tracing.current()


@task_prerun.connect
def take_trace(task: Task, **_: Any) -> None:
    """What a worker does belongs to the request that asked for it."""
    brought = (task.request.headers or {}).get(tracing.KEY)
    bind_contextvars(**{tracing.KEY: brought or tracing.new()})


@task_postrun.connect
def leave_trace(**_: Any) -> None:
    unbind_contextvars(tracing.KEY)
