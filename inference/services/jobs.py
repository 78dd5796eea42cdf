"""One member's work on one run. The row is the queue: whoever changes it first has the job."""

import logging
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self, TypeVar
from uuid import UUID, uuid4

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from inference import tracing
from inference.models import MemberJob, Run, StageTrace
from inference.pipeline.run import Trace
from inference.pipeline.stages import Stage
from inference.services.runs import (
    bring_forward,
    finish_run,
    finish_runs,
    left_to_the_sweep,
    may_be_kept,
    no_longer_awaited,
)
from inference.signals import run_progressed

log = logging.getLogger(__name__)
Row = TypeVar("Row", MemberJob, Run)


def claim_job(*, job_id: int) -> MemberJob | None:
    """Take a job that is queued, or whose worker has gone silent; None if there is nothing to do.

    Every task may run twice: only one of two claims changes the row.
    """
    silent = Q(status=MemberJob.Status.RUNNING, lease_until__lt=timezone.now())
    free = Q(status=MemberJob.Status.QUEUED) | silent
    # Most messages are of a job that went along with another: a look costs less than a try.
    if not MemberJob.objects.filter(free, pk=job_id).exists():
        return None
    claimed = _claim([job_id], free, token=uuid4())
    if not claimed:
        return None
    _begin(claimed)
    return claimed[0]


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
    with transaction.atomic():
        ids = list(_unlocked(waiting.order_by("pk")).values_list("pk", flat=True)[:at_most])
        claimed = _claim(ids, untried, token=first.token)
    _begin(claimed)
    return claimed


def _unlocked(rows: QuerySet[Row]) -> QuerySet[Row]:
    """Locks them, but for those that another worker is about to change: neither waits."""
    if connection.features.has_select_for_update_skip_locked:
        return rows.select_for_update(of=("self",), skip_locked=True, no_key=True)
    return rows


def _claim(ids: Sequence[int], free: Q, *, token: UUID | None) -> list[MemberJob]:
    """Those of the jobs that were free until now, in order."""
    changed = (
        MemberJob.objects.filter(free, pk__in=ids, attempt__lt=settings.ALARM_JOB_ATTEMPTS)
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
        return []
    mine = MemberJob.objects.filter(pk__in=ids, token=token, status=MemberJob.Status.RUNNING)
    return list(
        mine.select_related("run__observation__media")
        .prefetch_related("run__observation__media__frames")
        .order_by("pk")
    )


def _begin(jobs: Sequence[MemberJob]) -> None:
    """Their runs run. In a transaction of its own: who closes a run has locked it, and asks for its
    jobs."""
    with transaction.atomic():
        queued = Run.objects.filter(pk__in=[job.run_id for job in jobs], status=Run.Status.QUEUED)
        ids = list(_unlocked(queued.order_by("pk")).values_list("pk", flat=True))
        Run.objects.filter(pk__in=ids).update(status=Run.Status.RUNNING)
    tell_progress(jobs)


def note_stage(jobs: Sequence[MemberJob], stage: Stage) -> None:
    """A sign of life of jobs that were claimed together: whoever watches them is told."""
    _ours(jobs).update(stage=stage, lease_until=_lease_end())
    tell_progress(jobs)


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


@dataclass(frozen=True)
class Answer:
    """What a job's member said: its traces, and one vector (float32 bytes) for each."""

    job: MemberJob
    traces: Sequence[Trace]
    vectors: Sequence[bytes | None]


def complete_job(job: MemberJob, traces: Sequence[Trace], vectors: Sequence[bytes | None]) -> bool:
    """Store what one job's member said, as `complete_jobs` does.

    Returns:
        False when the job was lost meanwhile, or its run closed.
    """
    return job in complete_jobs([Answer(job, traces, vectors)])


def complete_jobs(answers: Sequence[Answer]) -> list[MemberJob]:
    """Store what was answered by jobs with one token, all or nothing, and finish the runs of which
    that was the last.

    Whoever watches is told by `tell_progress`. Of an observation that was erased meanwhile no word
    is stored.

    Returns:
        The jobs that were still held. What another says is kept as late, and changes nothing.
    """
    if not answers:
        return []
    jobs = [answer.job for answer in answers]
    with transaction.atomic():
        kept = may_be_kept([job.run_id for job in jobs])
        held = _ours(jobs).select_for_update(no_key=True).order_by("pk")
        mine = set(held.values_list("pk", flat=True))
        _ours(jobs).filter(pk__in=mine).update(status=MemberJob.Status.DONE, stage="")
        _store([one for one in answers if one.job.run_id in kept], mine)
    for job in jobs:
        if job.pk not in mine:
            log.warning("%s: its answer came too late", job)
    done = [job for job in jobs if job.pk in mine]
    try:
        _finish([job.run for job in done])
    except Exception:
        log.exception("the answers are stored, their runs are left to the sweep")
    return done


def _finish(runs: Sequence[Run]) -> None:
    """Those that wait for nobody; one that cannot be finished now keeps no other back."""
    if settings.ALARM_GRACE_S:
        for run in runs:
            bring_forward(run_id=run.pk)
    ready = no_longer_awaited([run.pk for run in runs])
    if len(ready) > 1:
        try:
            ready -= {run.pk for run in finish_runs(ready)}
        except Exception:
            log.warning("%d runs cannot be finished together", len(ready), exc_info=True)
    for run in [run for run in runs if run.pk in ready]:
        with tracing.carried(run.trace_id), left_to_the_sweep(run):
            finish_run(run_id=run.pk)


def _store(answers: Sequence[Answer], in_time: Collection[int]) -> None:
    StageTrace.objects.bulk_create(
        StageTrace(
            run_id=one.job.run_id,
            member=one.job.member,
            attempt=one.job.attempt,
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
            late=one.job.pk not in in_time,
        )
        for one in answers
        for trace, vector in zip(one.traces, one.vectors, strict=True)
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
    tell_progress([job])
    finish_run(run_id=job.run_id)


def tell_progress(jobs: Sequence[MemberJob]) -> None:
    """Whoever watches these jobs' runs has something new to see."""
    if jobs:
        run_progressed.send(sender=Run, run_ids=[job.run_id for job in jobs])


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
