"""What a worker does with jobs: the only place where a web project meets a model."""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
from django.conf import settings
from django.utils import timezone
from PIL import Image

from inference import ensemble, tracing
from inference.backends.embedder import embed
from inference.backends.errors import BackendError, NotAsked, device_is_lost
from inference.backends.registry import load_backend
from inference.models import MemberJob
from inference.pipeline.run import RUNNING, Trace, Traces, run_cases
from inference.pipeline.stages import Stage
from inference.services.definitions import asked
from inference.services.ending import DEVICE_LOST, Watched, end_process
from inference.services.jobs import (
    Answer,
    Heartbeat,
    claim_alike,
    claim_job,
    complete_jobs,
    fail_job,
    put_back,
    tell_progress,
)
from inference.services.looking import ensure_visual
from inference.services.observations import frames_of
from inference.services.runs import left_to_the_sweep

log = logging.getLogger(__name__)
Pictures = Sequence[Image.Image]
Shown = Mapping[MemberJob, Pictures]
Outcome = Traces | Exception
SPOKEN = {Stage.COMPREHENSION: "description", Stage.ANALYSIS: "reasoning"}
GENERATIONS = 2


def execute_job(*, job_id: int) -> None:
    """Run one member over one observation and store what it said; a failure is stored too.

    Up to ALARM_BATCH - 1 jobs that wait for the same member are taken along. What was claimed
    together is asked together and stored together, or one by one where that fails. A lone job tells
    of its stages while its text grows, several jobs only as all of them go on. Where the model's
    device is lost, or its call hangs, the process ends, and a fresh one takes the jobs on.
    """
    first = claim_job(job_id=job_id)
    if first is None:
        return
    jobs = [first, *claim_alike(first, at_most=settings.ALARM_BATCH - 1)]
    shown = {job: pictures for job in jobs if (pictures := _pictures(job))}
    if not shown:
        return
    limit_s = _limit_s(shown)
    with Heartbeat(list(shown), patience_s=limit_s) as heartbeat:
        outcomes = _ask(shown, heartbeat, limit_s)
        _settle(dict(zip(shown, outcomes, strict=True)))
        tell_progress(list(shown))
    lost = next((one for one in outcomes if _is_lost(one)), None)
    if lost is not None:
        end_process(DEVICE_LOST, f"{first.member}: {lost}")


def _is_lost(outcome: Outcome) -> bool:
    return isinstance(outcome, Exception) and device_is_lost(outcome)


def _pictures(job: MemberJob) -> Pictures:
    """What its observation shows; none where that cannot be read, and the job has failed."""
    try:
        return frames_of(job.run.observation)
    except Exception as error:
        with tracing.carried(job.run.trace_id):
            _fail(job, error)
        return ()


def _limit_s(shown: Shown) -> float:
    """Seconds that one generation for all these jobs may take.

    ALARM_CALL_DEADLINE_S a picture, but for both generations no more than half of what is left
    until the first run is closed. The other half is for asking about each case alone if need be.
    """
    alone = settings.ALARM_CALL_DEADLINE_S
    left = min(job.run.deadline_at for job in shown) - timezone.now()
    every = alone * sum(len(pictures) for pictures in shown.values())
    return float(max(alone, min(every, left.total_seconds() / 2 / GENERATIONS)))


def _ask(shown: Shown, heartbeat: Heartbeat, limit_s: float) -> Sequence[Outcome]:
    """One outcome a job; where all fail for one reason, that is the outcome of each."""

    def tell(stage: Stage, state: str) -> None:
        if state == RUNNING:
            heartbeat.note(stage)

    first = next(iter(shown))
    try:
        for job, pictures in shown.items():
            ensure_visual(job.run.observation, pictures)
        spec = ensemble.checked(ensemble.member(first.member))
        outcomes = run_cases(
            Watched(spec.name, load_backend(spec)),
            asked(first.run),
            list(shown.values()),
            seeds=[job.run.seed for job in shown],
            trace_ids=[job.run.trace_id for job in shown],
            frames=spec.frames,
            deadline_s=settings.ALARM_CALL_DEADLINE_S,
            limit_s=limit_s,
            on_stage=tell,
        )
        # All at once: `_vectors` finds them in the cache.
        embed([text for traces in outcomes if isinstance(traces, tuple) for text in _texts(traces)])
    except Exception as error:
        return [error] * len(shown)
    return outcomes


def _settle(outcomes: Mapping[MemberJob, Outcome]) -> None:
    """Store each job's outcome: all answers together, or one by one where one of them spoils it."""
    answers = []
    for job, outcome in outcomes.items():
        with tracing.carried(job.run.trace_id), left_to_the_sweep(job):
            if isinstance(outcome, Exception):
                _fail(job, outcome)
            else:
                answers.append(Answer(job, outcome, _vectors(outcome)))
    try:
        complete_jobs(answers)
    except Exception:
        log.warning("%d answers cannot be stored together", len(answers), exc_info=True)
        for answer in answers:
            with tracing.carried(answer.job.run.trace_id), left_to_the_sweep(answer.job):
                complete_jobs([answer])


def _fail(job: MemberJob, error: Exception) -> None:
    # A member that is not configured; a KeyError or IndexError is a bug that one case may have met.
    gone = type(error) is LookupError
    if isinstance(error, NotAsked):
        put_back(job, error=str(error), after_s=error.after_s)
    elif gone or isinstance(error, BackendError):
        log.warning("%s: %s", job, error)
        fail_job(job, error=str(error), permanent=getattr(error, "permanent", gone))
    else:
        log.error("%s broke", job, exc_info=error)
        fail_job(job, error=f"{type(error).__name__}: {error}", permanent=False)


def _vectors(traces: Sequence[Trace]) -> list[bytes | None]:
    """Embeddings of description and reasoning as float32 bytes; None for the other texts."""
    rows = embed(_texts(traces))
    return [None if np.isnan(row).any() else row.astype("<f4").tobytes() for row in rows]


def _texts(traces: Sequence[Trace]) -> list[str]:
    return [trace.fields.get(SPOKEN.get(trace.stage, ""), "") for trace in traces]
