"""Nothing is lost: what a dead worker or a lost broker left behind is found in the rows."""

import logging
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TypeVar

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from inference import dispatch
from inference.models import MemberJob, Run
from inference.services.jobs import give_up_lost_jobs
from inference.services.runs import finish_run

T = TypeVar("T")
log = logging.getLogger(__name__)


def sweep_runs() -> dict[str, int]:
    """Send again what nobody works on, give up what is lost, finish what is over.

    Returns:
        How many of each: {"resent", "given_up", "finished"}.
    """
    given_up = give_up_lost_jobs()
    return {"given_up": given_up, "resent": _resend(), "finished": _finish_overdue()}


def _resend() -> int:
    now = timezone.now()
    patience = now - timedelta(seconds=settings.ALARM_JOB_LEASE_S)
    unsent = Q(status=MemberJob.Status.QUEUED) & (Q(sent_at=None) | Q(sent_at__lt=patience))
    lost = Q(status=MemberJob.Status.RUNNING, lease_until__lt=now) & Q(sent_at__lt=patience)
    found = MemberJob.objects.filter(unsent | lost, run__status__in=Run.UNFINISHED)
    jobs = list(found.select_related("run").order_by("pk"))
    MemberJob.objects.filter(pk__in=[job.pk for job in jobs]).update(sent_at=now)
    dispatch.send(jobs)
    return len(jobs)


def _finish_overdue() -> int:
    """Runs past their deadline, and runs whose last worker died between its answer and the sum."""
    unfinished = Run.objects.filter(status__in=Run.UNFINISHED)
    overdue = unfinished.filter(deadline_at__lte=timezone.now())
    silent = unfinished.exclude(jobs__status__in=MemberJob.UNFINISHED)
    ids = {*overdue.values_list("pk", flat=True), *silent.values_list("pk", flat=True)}
    return each(ids, lambda run_id: finish_run(run_id=run_id))


def each(items: Iterable[T], act: Callable[[T], object]) -> int:
    """How many acts came to something; one that breaks is logged and holds up no other."""
    done = 0
    for item in items:
        try:
            done += bool(act(item))
        except Exception:
            log.exception("the sweep cannot deal with %s", item)
    return done
