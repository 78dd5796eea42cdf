"""Deciding finished runs, and writing down what was decided."""

import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from django.db import DatabaseError, transaction
from django.db.models import prefetch_related_objects

from inference import tracing
from inference.models import Run
from inference.services.runs import left_to_the_sweep, store_scores
from inference.services.sweep import each
from triage.choices import CaseStatus, Outcome, SiteKind
from triage.models import Case, Decision, Policy, ShadowDecision
from triage.selectors.due import due
from triage.selectors.policy_state import AtWork
from triage.selectors.readings import READERS, readers_of
from triage.services import asking
from triage.services.history import record_each
from triage.services.states import move
from triage.services.verdicts import Circumstances, Verdict, judge

log = logging.getLogger(__name__)


# Run -> the policy that decides it, and with which probability that was drawn.
Draws = dict[UUID, tuple[Policy | None, float | None]]
Judge = Callable[[Run, Policy | None, Circumstances], Verdict]


@dataclass(frozen=True)
class Judged:
    """A case with what is to be written down of it; `share` is with which probability `policy` was
    drawn, None where it was not."""

    case: Case
    run: Run
    policy: Policy | None
    share: float | None
    verdict: Verdict
    shadow: Policy | None = None
    said: Verdict | None = None


def decide(*, run: Run) -> Decision | None:
    """Apply the policy in force to a finished run; None if it was done before or is too early."""
    return next(iter(_decide([run], _safe_verdict, {})), None)


def decide_together(*, runs: Sequence[Run]) -> None:
    """The same for several, in one transaction; where one of them spoils it each in its own.

    What cannot be decided now is logged, and left to the sweep.
    """
    draws: Draws = {}
    if len(runs) > 1:
        try:
            _decide(runs, _verdict, draws)
            return
        except Exception:
            log.warning("%d cases cannot be decided together", len(runs), exc_info=True)
    for run in runs:
        with tracing.carried(run.trace_id), left_to_the_sweep(run):
            _decide([run], _safe_verdict, draws)


def _decide(runs: Sequence[Run], judged_by: Judge, draws: Draws) -> list[Decision]:
    """`draws` keeps who decides what, for a second try: else a canary that breaks would be given
    fewer cases than its share."""
    of_observation = {run.observation_id: run for run in runs if run.finished and not run.trial}
    around, opened = Circumstances(), []
    with transaction.atomic():
        locked = Case.objects.select_for_update(of=("self",)).select_related("site", "camera")
        found = locked.filter(observation__in=of_observation, status=CaseStatus.OPEN)
        for case in found.order_by("pk"):
            opened.append(of_observation[case.observation_id])
            opened[-1].observation.case = case
        prefetch_related_objects(opened, "scores", "traces")
        return _write_down([_judged(run, judged_by, around, draws) for run in opened])


def _judged(run: Run, judged_by: Judge, around: Circumstances, draws: Draws) -> Judged:
    case: Case = run.observation.case
    versions = around.versions(case.site, case.domain)
    if run.pk not in draws:
        draws[run.pk] = _draw(versions)
    policy, share = draws[run.pk]
    verdict = judged_by(run, policy, around)
    # Before anything is stored: it must not find scores of the policy that decides.
    said = judged_by(run, versions.shadow, around) if versions.shadow else None
    return Judged(case, run, policy, share, verdict, versions.shadow, said)


def _draw(policies: AtWork) -> tuple[Policy | None, float | None]:
    """Who decides this case, and with which probability that was drawn; None without a canary."""
    canary = policies.canary
    if canary is None or canary.canary_share is None:
        return policies.active, None
    if _drawn(canary.canary_share):
        return canary, canary.canary_share
    return policies.active, 1 - canary.canary_share


def _write_shadow(decision: Decision, policy: Policy | None, said: Verdict | None) -> None:
    """Write down what the version in shadow would have said; if that fails the decision stands."""
    if policy is None or said is None:
        return
    try:
        with transaction.atomic():
            ShadowDecision.objects.create(
                decision=decision,
                policy=policy,
                outcome=said.outcome,
                label=said.label,
                score=said.score,
                reasons=said.reasons,
            )
    except Exception:
        log.exception("what the version in shadow said is lost: %s", decision)


def decide_overdue() -> int:
    """Decide what a dying process left undecided; returns how many cases that was."""
    finished = (Run.Status.SCORED, Run.Status.FAILED)
    left = Run.objects.filter(
        status__in=finished, trial=False, observation__case__status=CaseStatus.OPEN
    )
    return each(list(left.select_related("observation")), lambda run: decide(run=run))


def _verdict(run: Run, policy: Policy | None, around: Circumstances) -> Verdict:
    """Whatever a verdict breaks by is a deferral, and spoils no other case's.

    Raises:
        DatabaseError: the transaction is spoilt.
    """
    try:
        return judge(run, policy, around)
    except DatabaseError:
        raise
    except Exception:
        return _no_verdict(run)


def _safe_verdict(run: Run, policy: Policy | None, around: Circumstances) -> Verdict:
    try:
        # A query that fails must not spoil the transaction that the deferral is written in.
        with transaction.atomic():
            return _verdict(run, policy, around)
    except DatabaseError:
        return _no_verdict(run)


def _no_verdict(run: Run) -> Verdict:
    with tracing.carried(run.trace_id):
        log.exception("no verdict on %s: it is deferred", run)
    return Verdict(Outcome.DEFER, ["decision_failed"], label=run.prediction)


def _write_down(judged: Sequence[Judged]) -> list[Decision]:
    store_scores((one.run, _new_scores(one)) for one in judged)
    decisions = Decision.objects.bulk_create(map(_decision, judged))
    for one, decision in zip(judged, decisions, strict=True):
        _move_on(one.case, decision)
        _write_shadow(decision, one.shadow, one.said)
    record_each(
        "decided",
        {
            one.case: {
                "outcome": decision.outcome,
                "policy": one.policy.version if one.policy else None,
                "reasons": decision.reasons,
            }
            for one, decision in zip(judged, decisions, strict=True)
        },
    )
    return decisions


def _new_scores(one: Judged) -> dict[str, float]:
    known = {row.method for row in one.run.scores.all()}
    return {name: value for name, value in one.verdict.scores.items() if name not in known}


def _decision(one: Judged) -> Decision:
    verdict, policy = one.verdict, one.policy
    accepted = verdict.outcome == Outcome.ACCEPT
    share = policy.audit_share if policy and accepted else 1.0
    return Decision(
        case=one.case,
        run=one.run,
        policy=policy,
        outcome=verdict.outcome,
        label=verdict.label,
        learned_label=verdict.learned.label,
        learned_error=verdict.learned.error,
        method=verdict.method,
        score=verdict.score,
        threshold=verdict.threshold,
        reasons=verdict.reasons,
        explanation=verdict.explanation,
        label_probability=share,
        audited=accepted and _drawn(share),
        drawn_share=one.share,
    )


def _move_on(case: Case, decision: Decision) -> None:
    if decision.outcome == Outcome.ACCEPT and not decision.audited:
        move(case, CaseStatus.ACCEPTED, label=decision.label)
        return
    case.blind, case.readings = _readings(case)
    drawn = {"blind": case.blind, "readings": case.readings, "due_at": due(case, decision)}
    if decision.outcome == Outcome.DEFER:
        move(case, CaseStatus.DEFERRED, **drawn)
    else:
        move(case, CaseStatus.AUDIT, label=decision.label, **drawn)
    if case.site.kind == SiteKind.HOUSEHOLD:
        transaction.on_commit(partial(_ask_next, decision), robust=True)


def _ask_next(decision: Decision) -> None:
    with tracing.carried(decision.run.trace_id):
        asking.ask_next(case=decision.case)


def _readings(case: Case) -> tuple[bool, int]:
    """Whether a case is read blind, and by how many; at home the first answer settles it."""
    site = case.site
    if site.kind == SiteKind.HOUSEHOLD:
        return False, 1
    twice = _drawn(site.double_share) and len(readers_of(case)) >= READERS
    return _drawn(site.blind_share), READERS if twice else 1


def _drawn(share: float) -> bool:
    return random.SystemRandom().random() < share
