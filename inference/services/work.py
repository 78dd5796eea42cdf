"""What a worker does with a job: the only place where a web project meets a model."""

import logging
from collections.abc import Sequence

import numpy as np
from django.conf import settings
from PIL import Image

from inference import ensemble
from inference.backends.embedder import embed
from inference.backends.errors import BackendError
from inference.backends.registry import load_backend
from inference.models import MemberJob
from inference.pipeline.domains import load_domain
from inference.pipeline.run import Trace, run_member
from inference.pipeline.stages import Stage
from inference.services.jobs import claim_job, complete_job, fail_job, note_stage

log = logging.getLogger(__name__)
SPOKEN = {Stage.COMPREHENSION: "description", Stage.ANALYSIS: "reasoning"}


def execute_job(*, job_id: int) -> None:
    """Run one member over one observation and store what it said; a failure is stored too."""
    job = claim_job(job_id=job_id)
    if job is None:
        return
    try:
        traces = _ask(job)
        vectors = _vectors(traces)
    except (BackendError, LookupError) as error:
        log.warning("%s: %s", job, error)
        fail_job(job, error=str(error), permanent=getattr(error, "permanent", True))
    except Exception as error:
        log.exception("%s broke", job)
        fail_job(job, error=f"{type(error).__name__}: {error}", permanent=False)
    else:
        complete_job(job, traces, vectors)


def _ask(job: MemberJob) -> tuple[Trace, ...]:
    observation = job.run.observation
    with observation.media.shown.open("rb") as file:
        picture = Image.open(file).convert("RGB")
    return run_member(
        load_backend(ensemble.member(job.member)),
        load_domain(observation.domain),
        (picture,),
        seed=job.run.seed,
        deadline_s=settings.ALARM_CALL_DEADLINE_S,
        on_stage=lambda stage, state: note_stage(job, stage) if state == "running" else None,
    )


def _vectors(traces: Sequence[Trace]) -> list[bytes | None]:
    """Embeddings of description and reasoning as float32 bytes; None for the other texts."""
    texts = [trace.fields.get(SPOKEN.get(trace.stage, ""), "") for trace in traces]
    rows = embed(texts)
    return [None if np.isnan(row).any() else row.astype("<f4").tobytes() for row in rows]
