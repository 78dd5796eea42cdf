"""One member's work on one run. The row is the queue: whoever changes it first has the job."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from inference.models import MemberJob, Run, StageTrace
from inference.pipeline.run import Trace
from inference.pipeline.stages import Stage
from inference.services.runs import finish_run
from inference.signals import run_progressed

log = logging.getLogger(__name__)


def claim_job(*, job_id: int) -> MemberJob | None:
    """Take a job that is queued, or whose worker has gone silent; None if there is nothing to do.

    Every task may run twice: only one of two claims changes the row.
    """
    now = timezone.now()
    free = Q(status=MemberJob.Status.QUEUED) | Q(
        status=MemberJob.Status.RUNNING, lease_until__lt=now
    )
    changed = (
        MemberJob.objects.filter(free, pk=job_id, attempt__lt=settings.ALARM_JOB_ATTEMPTS)
        # A join here would move all conditions into a subquery, which PostgreSQL does not check
        # again after waiting for the row: two claims would both succeed.
        .filter(run_id__in=Run.objects.filter(status__in=Run.UNFINISHED))
        .update(
            status=MemberJob.Status.RUNNING,
            token=uuid4(),
            lease_until=_lease_end(),
            attempt=F("attempt") + 1,
            stage=Stage.COMPREHENSION,
            error="",
        )
    )
    if not changed:
        return None
    job = MemberJob.objects.select_related("run__observation__media").get(pk=job_id)
    Run.objects.filter(pk=job.run_id, status=Run.Status.QUEUED).update(status=Run.Status.RUNNING)
    run_progressed.send(sender=Run, run_id=job.run_id)
    return job


def note_stage(job: MemberJob, stage: Stage) -> None:
    """A sign of life: the lease is extended and whoever watches is told."""
    _mine(job).update(stage=stage, lease_until=_lease_end())
    run_progressed.send(sender=Run, run_id=job.run_id)


def complete_job(job: MemberJob, traces: Sequence[Trace], vectors: Sequence[bytes | None]) -> bool:
    """Store the traces, one vector (float32 bytes) each, and finish the run if it was the last.

    Returns:
        False when the lease had been lost meanwhile: then nothing is stored.
    """
    with transaction.atomic():
        if not _mine(job).update(status=MemberJob.Status.DONE, stage=""):
            return False
        StageTrace.objects.bulk_create(
            StageTrace(
                run_id=job.run_id,
                member=job.member,
                attempt=job.attempt,
                stage=trace.stage,
                prompt_hash=trace.prompt_hash,
                raw_text=trace.raw_text.replace("\x00", "\ufffd"),
                fields=trace.fields,
                valid=trace.valid,
                repaired=trace.repaired,
                error=trace.error[:300],
                tokens=trace.tokens,
                seconds=trace.seconds,
                logprob=trace.logprob,
                embedding=vector,
            )
            for trace, vector in zip(traces, vectors, strict=True)
        )
    _announce(job)
    return True


def fail_job(job: MemberJob, *, error: str, permanent: bool) -> None:
    """Give the job up, or back to the queue while attempts are left."""
    last = permanent or job.attempt >= settings.ALARM_JOB_ATTEMPTS
    status = MemberJob.Status.FAILED if last else MemberJob.Status.QUEUED
    _mine(job).update(status=status, stage="", error=error[:300], sent_at=None)
    _announce(job)


def give_up_lost_jobs() -> int:
    """Fail the jobs whose worker vanished on their last attempt; returns how many."""
    lost = MemberJob.objects.filter(
        status=MemberJob.Status.RUNNING,
        lease_until__lt=timezone.now(),
        attempt__gte=settings.ALARM_JOB_ATTEMPTS,
    )
    jobs = list(lost)
    for job in jobs:
        fail_job(job, error="its worker stopped before it had answered", permanent=True)
    return len(jobs)


def _announce(job: MemberJob) -> None:
    run_progressed.send(sender=Run, run_id=job.run_id)
    finish_run(run_id=job.run_id)


def _mine(job: MemberJob) -> QuerySet[MemberJob]:
    return MemberJob.objects.filter(pk=job.pk, token=job.token, status=MemberJob.Status.RUNNING)


def _lease_end() -> datetime:
    return timezone.now() + timedelta(seconds=settings.ALARM_JOB_LEASE_S)
