"""A run from its opening to its sum: who was asked, what they said, whether it can be trusted."""

import contextlib
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import prefetch_related_objects
from django.utils import timezone

from inference import dispatch, ensemble, tracing
from inference.models import (
    Hypothesis,
    Media,
    MemberJob,
    Observation,
    Run,
    StageTrace,
    UncertaintyScore,
)
from inference.pipeline.domains import Domain, load_domain
from inference.pipeline.frames import spoken_texts
from inference.pipeline.parsing import reads_like_instruction
from inference.pipeline.stages import Stage
from inference.services import definitions
from inference.services.answers import answers_of, final_traces
from inference.services.looking import shipped_novelty
from inference.signals import runs_finished
from inference.uq.answers import vote
from inference.uq.ensemble import label_free_scores

log = logging.getLogger(__name__)
LATE = "did not answer in time"


def open_run(*, observation: Observation, domain: Domain | None = None, trial: bool = False) -> Run:
    """Queue one job a member. Call it inside a transaction; messages leave when it commits.

    A domain without members gives a run that has already failed: nobody invents an answer.

    Args:
        domain: the version that is asked about; by default the shipped one.
        trial: nothing will be decided by it.
    """
    domain = domain or load_domain(observation.domain)
    definitions.keep(domain)
    members = ensemble.members_of(domain.id)
    pins = ensemble.pins(domain, members)
    run = Run.objects.create(
        observation=observation,
        pins=pins,
        ensemble=ensemble.signature(pins),
        trial=trial,
        seed=observation.id.int % 2**31,
        quorum=ensemble.quorum_of(members),
        trace_id=tracing.current() or tracing.new(),
        deadline_at=timezone.now() + timedelta(seconds=settings.ALARM_RUN_DEADLINE_S),
    )
    jobs = MemberJob.objects.bulk_create(
        [MemberJob(run=run, member=spec.name, sent_at=timezone.now()) for spec in members]
    )
    if jobs:
        transaction.on_commit(partial(dispatch.send, jobs), robust=True)
    else:
        transaction.on_commit(partial(finish_run, run_id=run.id), robust=True)
    return run


def finish_run(*, run_id: UUID) -> bool:
    """Sum a run up once all its members have ended or its deadline has passed.

    Returns:
        Whether this call finished it; False when it is too early or somebody else was first.
    """
    return bool(_finish([run_id], close=_close_late))


def finish_runs(run_ids: Collection[UUID]) -> list[Run]:
    """Sum up those whose members have all ended, all or nothing; one that cannot be summed up
    fails, and no other.

    One that is past its deadline is left to `finish_run`: who is late may hold a job of several,
    and would wait for this while this waits for the next job.

    Returns:
        Those that this call finished.
    """
    return _finish(run_ids, close=_complete)


def _finish(run_ids: Collection[UUID], *, close: Callable[[list[Run]], list[Run]]) -> list[Run]:
    """`close` says which of the locked runs wait no longer."""
    with transaction.atomic():
        kept = may_be_kept(run_ids)
        # No key: a worker that stores a trace of these runs needs the key, and holds its job.
        locked = Run.objects.select_for_update(of=("self",), no_key=True)
        unfinished = locked.filter(pk__in=run_ids, status__in=Run.UNFINISHED)
        found = list(unfinished.select_related("observation").order_by("pk"))
        runs = close(found)
        prefetch_related_objects(runs, "jobs", "traces")
        _store([_sum_up_safely(run, words=run.pk in kept) for run in runs])
    if runs:
        runs_finished.send(sender=Run, runs=runs)
    return runs


def no_longer_awaited(run_ids: Sequence[UUID]) -> set[UUID]:
    """The runs that may be finished. A look without locks, for after a commit: whoever ends a run's
    last job finds it so."""
    waiting = MemberJob.objects.filter(run__in=run_ids, status__in=MemberJob.UNFINISHED)
    awaited = waiting.filter(run__deadline_at__gt=timezone.now())
    return set(run_ids) - set(awaited.values_list("run_id", flat=True))


def may_be_kept(run_ids: Collection[UUID]) -> set[UUID]:
    """The runs whose observation can still be shown; an erasure in progress is waited for.

    Ask before anything else is locked, as an erasure does. Call it inside a transaction.
    """
    media = Media.objects.select_for_update(of=("self",)).filter(observation__runs__in=run_ids)
    shown = media.order_by("pk").values_list("observation__runs", "shown")
    return {run_id for run_id, file in shown if file and run_id in run_ids}


def bring_forward(*, run_id: UUID) -> None:
    """Once the quorum has answered in full, wait for the others ALARM_GRACE_S longer at most."""
    run = Run.objects.filter(pk=run_id, status__in=Run.UNFINISHED).first()
    if run is None:
        return
    answered = run.jobs.filter(status=MemberJob.Status.DONE)
    traces = final_traces(run)
    if sum(not _problems_of(job, traces) for job in answered) < run.quorum:
        return
    soon = timezone.now() + timedelta(seconds=settings.ALARM_GRACE_S)
    Run.objects.filter(pk=run_id, deadline_at__gt=soon).update(deadline_at=soon)


def _complete(runs: list[Run]) -> list[Run]:
    """Those of the locked runs whose members have all ended."""
    awaited = MemberJob.objects.filter(run__in=runs, status__in=MemberJob.UNFINISHED)
    waiting = set(awaited.values_list("run_id", flat=True))
    return [run for run in runs if run.pk not in waiting]


def _close_late(runs: list[Run]) -> list[Run]:
    """Those that wait no longer once whoever has not answered one past its deadline is late; the
    fence keeps a later answer out of the vote."""
    now = timezone.now()
    awaited = MemberJob.objects.filter(
        run__in=[run for run in runs if run.deadline_at <= now], status__in=MemberJob.UNFINISHED
    )
    for job in awaited:
        words = f"{LATE} ({job.error})" if job.error else LATE
        awaited.filter(pk=job.pk).update(
            status=MemberJob.Status.FAILED, stage="", token=None, error=words[:300]
        )
    return _complete(runs)


@contextlib.contextmanager
def left_to_the_sweep(row: object) -> Iterator[None]:
    """What breaks here is logged; the row says that there is something to do, and is found."""
    try:
        yield
    except Exception:
        log.exception("%s is left to the sweep", row)


@dataclass(frozen=True)
class Sum:
    """What a run comes to, before it is stored. Without a `prediction` it has no `share`."""

    run: Run
    problems: list[str]
    prediction: str = ""
    share: float | None = None
    hypotheses: Sequence[Hypothesis] = ()
    scores: Mapping[str, float] = field(default_factory=dict)


def _sum_up_safely(run: Run, *, words: bool) -> Sum:
    """Answers that cannot be summed up must not hold the case: it fails, and is deferred."""
    with tracing.carried(run.trace_id):
        try:
            return _sum_up(run, words=words)
        except Exception:
            log.exception("%s cannot be summed up", run)
            return _failed(run)


def _failed(run: Run) -> Sum:
    return Sum(run, ["summing_failed"])


def _sum_up(run: Run, *, words: bool) -> Sum:
    """Reads what is loaded, and asks the database nothing."""
    problems = find_problems(run)
    novelty = shipped_novelty(run.observation)
    # A score that needs no answer: it is there even where no member gave one.
    scores = {} if novelty is None else {"novelty": novelty}
    if len(run.pins["members"]) < 2:
        return Sum(run, problems, scores=scores)
    answers = answers_of([run])
    labels, shares = vote(answers)
    if not labels[0]:
        return Sum(run, problems, scores=scores)
    scores |= {name: values[0] for name, values in label_free_scores(answers).items()}
    hypotheses = _hypotheses(run, words=words)
    return Sum(run, problems, str(labels[0]), float(shares[0]), hypotheses, scores)


def _store(sums: Sequence[Sum]) -> None:
    """Together; where that fails each alone, and a run whose sum cannot be stored fails."""
    try:
        with transaction.atomic():
            Hypothesis.objects.bulk_create(one for sum_ in sums for one in sum_.hypotheses)
            store_scores([(one.run, one.scores) for one in sums])
            for one in sums:
                _close(one)
    except Exception:
        if len(sums) > 1:
            log.warning("%d sums cannot be stored together", len(sums), exc_info=True)
            for one in sums:
                _store([one])
            return
        run = sums[0].run
        with tracing.carried(run.trace_id):
            log.exception("the sum of %s cannot be stored", run)
        _close(_failed(run))


def _close(one: Sum) -> None:
    run, run.finished_at = one.run, timezone.now()
    run.problems, run.prediction, run.share = one.problems, one.prediction, one.share
    run.status = Run.Status.SCORED if run.prediction else Run.Status.FAILED
    run.save(update_fields=["problems", "prediction", "share", "status", "finished_at"])


def find_problems(run: Run) -> list[str]:
    """Why the run's answers cannot be trusted, as codes `what:member:stage`; empty is good.

    Members that are missing object only where the quorum fails; an answer that is there and cannot
    be trusted always does.
    """
    jobs = sorted(run.jobs.all(), key=lambda job: job.member)
    if len(jobs) < 2:
        return ["too_few_members"] if jobs else ["no_members"]
    traces = final_traces(run)
    answered = [job for job in jobs if job.status == MemberJob.Status.DONE]
    found = [_problems_of(job, traces) for job in answered]
    problems = [problem for of_one in found for problem in of_one]
    whole = sum(not of_one for of_one in found)
    if whole < run.quorum:
        problems += [_absence(job) for job in jobs if job not in answered]
        problems += [f"quorum:{whole}:{run.quorum}"]
    return problems


def _absence(job: MemberJob) -> str:
    return f"{'late' if job.error.startswith(LATE) else 'failed'}:{job.member}"


def _problems_of(job: MemberJob, traces: dict[tuple[str, str], StageTrace]) -> list[str]:
    """Why what this member answered cannot be trusted; empty where all stages can."""
    problems = []
    for stage in Stage:
        trace = traces.get((job.member, stage))
        if trace is None or not trace.valid:
            problems.append(f"unparsable:{job.member}:{stage}")
        elif trace.repaired:
            problems.append(f"repaired:{job.member}:{stage}")
        if trace and any(map(reads_like_instruction, spoken_texts(trace.fields))):
            problems.append(f"instruction:{job.member}:{stage}")
    return problems


def _hypotheses(run: Run, *, words: bool) -> list[Hypothesis]:
    """One hypothesis a label; the strongest reasoning is that of the surest of its members.

    Without `words`, once the observation is erased, it has none.
    """
    voices = [
        trace
        for (_, stage), trace in sorted(final_traces(run).items())
        if stage == Stage.ANALYSIS and trace.valid
    ]
    holders: dict[str, list[StageTrace]] = {}
    for trace in voices:
        holders.setdefault(trace.fields["label"], []).append(trace)
    return [
        Hypothesis(
            run=run,
            label=label,
            share=len(traces) / len(voices),
            members=[trace.member for trace in traces],
            reasoning=max(traces, key=_sureness).fields["reasoning"] if words else "",
        )
        for label, traces in holders.items()
    ]


def _sureness(trace: StageTrace) -> float:
    return trace.logprob if trace.logprob is not None else -1e9


def store_scores(scores: Iterable[tuple[Run, Mapping[str, float]]]) -> None:
    """Keep scores of runs; what is there stays, what is not finite is kept as None."""
    UncertaintyScore.objects.bulk_create(
        (
            UncertaintyScore(run=run, method=method, value=finite(value))
            for run, values in scores
            for method, value in values.items()
        ),
        ignore_conflicts=True,
    )


def finite(value: float) -> float | None:
    """The number, or None for NaN and infinity, which no database column should hold."""
    return float(value) if abs(value) < float("inf") else None
