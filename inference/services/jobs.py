"""One member's work on one run. The row is the queue: whoever changes it first has the job."""

import logging
import threading
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Self
from uuid import UUID, uuid4

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from inference.models import MemberJob, Run, StageTrace
from inference.pipeline.run import Trace
from inference.pipeline.stages import Stage
from inference.services.runs import bring_forward, finish_run, may_be_kept
from inference.signals import run_progressed

log = logging.getLogger(__name__)


def claim_job(*, job_id: int) -> MemberJob | None:
    """Take a job that is queued, or whose worker has gone silent; None if there is nothing to do.

    Every task may run twice: only one of two claims changes the row.
    """
    silent = Q(status=MemberJob.Status.RUNNING, lease_until__lt=timezone.now())
    return _claim(job_id, Q(status=MemberJob.Status.QUEUED) | silent, token=uuid4())


def claim_alike(first: MemberJob, *, at_most: int) -> list[MemberJob]:
    """Take queued jobs of the same member and question as well, oldest first, under the same token.

    Only what was never tried, beside a job that was never tried: one that kills its worker must not
    do so beside the same others again. So whatever is tried once more is tried alone.
    """
    if first.attempt > 1:
        return []
    untried = Q(status=MemberJob.Status.QUEUED, attempt=0)
    waiting = MemberJob.objects.filter(
        untried,
        member=first.member,
        run__status__in=Run.UNFINISHED,
        run__ensemble=first.run.ensemble,
        run__observation__domain=first.run.observation.domain,
    )
    ids = list(waiting.order_by("pk").values_list("pk", flat=True)[:at_most])
    return [job for pk in ids if (job := _claim(pk, untried, token=first.token))]


def _claim(job_id: int, free: Q, *, token: UUID | None) -> MemberJob | None:
    changed = (
        MemberJob.objects.filter(free, pk=job_id, attempt__lt=settings.ALARM_JOB_ATTEMPTS)
        # A join here would move all conditions into a subquery, which PostgreSQL does not check
        # again after waiting for the row: two claims would both succeed.
        .filter(run_id__in=Run.objects.filter(status__in=Run.UNFINISHED))
        .update(
            status=MemberJob.Status.RUNNING,
            token=token,
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


def note_stage(jobs: Sequence[MemberJob], stage: Stage) -> None:
    """A sign of life of jobs that were claimed together: whoever watches them is told."""
    _ours(jobs).update(stage=stage, lease_until=_lease_end())
    for job in jobs:
        run_progressed.send(sender=Run, run_id=job.run_id)


def extend_leases(jobs: Sequence[MemberJob]) -> None:
    """A sign of life of jobs that were claimed together; those that ended are left alone."""
    _ours(jobs).update(lease_until=_lease_end())


class Heartbeat:
    """Extends the leases of jobs claimed together while a generation takes longer than a lease.

    A thread beats three times a lease, for `patience_s` after the last `note`: a worker that died,
    or hangs longer than its calls may take, loses its jobs when the lease is over.
    """

    def __init__(self, jobs: Sequence[MemberJob], *, patience_s: float) -> None:
        self.jobs, self.patience_s = jobs, patience_s
        self._until = time.monotonic() + patience_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def note(self, stage: Stage) -> None:
        """A stage has begun."""
        self._until = time.monotonic() + self.patience_s
        note_stage(self.jobs, stage)

    def _beat(self) -> None:
        try:
            while not self._over.wait(settings.ALARM_JOB_LEASE_S / 3):
                if time.monotonic() < self._until:
                    self._extend()
        finally:
            connection.close()

    def _extend(self) -> None:
        try:
            extend_leases(self.jobs)
        except (DatabaseError, InterfaceError):
            log.warning("leases cannot be extended", exc_info=True)
            # What is broken stays broken: the next beat connects anew.
            connection.close()


def complete_job(job: MemberJob, traces: Sequence[Trace], vectors: Sequence[bytes | None]) -> bool:
    """Store the traces, one vector (float32 bytes) each, and finish the run if it was the last.

    Of an observation that was erased meanwhile no word is stored.

    Returns:
        False when the job was lost meanwhile, or its run closed: what it says is kept as late, and
        changes nothing.
    """
    with transaction.atomic():
        kept = may_be_kept(job.run_id)
        mine = bool(_mine(job).update(status=MemberJob.Status.DONE, stage=""))
        if kept:
            _store(job, traces, vectors, late=not mine)
    if mine:
        if settings.ALARM_GRACE_S:
            bring_forward(run_id=job.run_id)
        _announce(job)
    else:
        log.warning("%s: its answer came too late", job)
    return mine


def _store(
    job: MemberJob, traces: Sequence[Trace], vectors: Sequence[bytes | None], *, late: bool
) -> None:
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
            prompt_tokens=trace.prompt_tokens,
            seconds=trace.seconds,
            logprob=trace.logprob,
            embedding=vector,
            late=late,
        )
        for trace, vector in zip(traces, vectors, strict=True)
    )


def fail_job(job: MemberJob, *, error: str, permanent: bool) -> None:
    """Give the job up, or back to the queue while attempts are left."""
    last = permanent or job.attempt >= settings.ALARM_JOB_ATTEMPTS
    status = MemberJob.Status.FAILED if last else MemberJob.Status.QUEUED
    _mine(job).update(status=status, stage="", error=error[:300], sent_at=None)
    _announce(job)


def put_back(job: MemberJob, *, error: str, after_s: float) -> None:
    """Queue the job as if nobody had taken it: nothing was asked, and that is no attempt.

    The sweep sends it when `after_s` seconds are over.
    """
    sent_at = timezone.now() + timedelta(seconds=after_s - settings.ALARM_JOB_LEASE_S)
    _mine(job).update(
        status=MemberJob.Status.QUEUED,
        stage="",
        error=error[:300],
        attempt=F("attempt") - 1,
        sent_at=sent_at,
    )
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
    return _ours([job])


def _ours(jobs: Sequence[MemberJob]) -> QuerySet[MemberJob]:
    """Of jobs with one token those that are still held under it."""
    ids = [job.pk for job in jobs]
    return MemberJob.objects.filter(
        pk__in=ids, token=jobs[0].token, status=MemberJob.Status.RUNNING
    )


def _lease_end() -> datetime:
    return timezone.now() + timedelta(seconds=settings.ALARM_JOB_LEASE_S)
