"""What a trial has shown: what the members say by the new version beside what they said before."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from django.utils.translation import gettext as _

from inference.models import Run
from inference.services.answers import answers_of
from inference.services.definitions import kept
from inference.uq.promotion import LEARNED
from inference.uq.thresholds import clopper_pearson_lower, clopper_pearson_upper
from triage.models import Case, DomainVersion, Policy, Site, Trial, TrialRun
from triage.selectors.fitted import fitted_of
from triage.selectors.policy_state import active_policy
from triage.selectors.rows import latest_decision
from triage.selectors.rules import in_force_of
from triage.selectors.words import domain_of, titles_of

SHOWN = 5
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rate:
    """`n` of `of` cases; `low` and `high` bound the share with 95 % confidence, exactly."""

    n: int
    of: int

    @property
    def share(self) -> float | None:
        return self.n / self.of if self.of else None

    @property
    def low(self) -> float:
        return clopper_pearson_lower(self.n, self.of, 0.025) if self.of else 0.0

    @property
    def high(self) -> float:
        return clopper_pearson_upper(self.n, self.of, 0.025) if self.of else 1.0


@dataclass(frozen=True)
class Changed:
    """A past case that would be labelled differently; words in the labels of each version."""

    case: Case
    before: str
    after: str
    truth: str
    right: bool
    was_right: bool


@dataclass(frozen=True)
class TrialPage:
    """How far a trial is and what it has shown so far.

    right, was_right       of the compared cases: those that the experts' answers agree with
    objected               cases that would be deferred whatever the threshold: no sound answer
    deferred, was_deferred what the policy in force would defer, were it carried over; None without
    unknown                cases whose answer has no label in the new version: not compared
    """

    trial: Trial
    total: int
    done: int
    failed: int
    right: Rate
    was_right: Rate
    objected: int
    deferred: Rate | None
    was_deferred: Rate | None
    unknown: int
    changed: list[Changed]

    @property
    def over(self) -> bool:
        return self.trial.ended_at is not None


def trials_of(site: Site, version: DomainVersion) -> list[Trial]:
    """The newest trials of a version at this site, the newest first."""
    trials = Trial.objects.filter(site=site, version=version)
    return list(trials.select_related("asked_by", "version", "site").order_by("-pk")[:SHOWN])


def newest_trial(site: Site, version: DomainVersion) -> Trial | None:
    """The trial of a version that was started last at this site."""
    return next(iter(trials_of(site, version)), None)


def trial_page(trial: Trial) -> TrialPage:
    """The trial so far, in a handful of queries however many cases it has."""
    rows = [row for row in _rows(trial) if row.run.finished]
    labels = set(kept(trial.version.definition_id).label_ids)
    compared = [row for row in rows if row.case.label in labels]
    policy = active_policy(trial.site, trial.version.domain)
    then = _deferred(policy, [row.run for row in rows])
    now = _deferred(policy, [run for row in rows if (run := _run_before(row.case))])
    return TrialPage(
        trial=trial,
        total=len(trial.cases),
        done=len(rows),
        failed=sum(not row.run.prediction for row in rows),
        right=Rate(sum(row.run.prediction == row.case.label for row in compared), len(compared)),
        was_right=Rate(sum(_before(row.case) == row.case.label for row in compared), len(compared)),
        objected=sum(bool(row.run.problems) for row in rows),
        deferred=then if now else None,
        was_deferred=now if then else None,
        unknown=len(rows) - len(compared),
        changed=[_changed(row) for row in rows if _before(row.case) != row.run.prediction],
    )


def _rows(trial: Trial) -> list[TrialRun]:
    rows = trial.runs.select_related("case__site", "run").prefetch_related(
        "run__traces",
        "run__scores",
        "case__decisions__run__traces",
        "case__decisions__run__scores",
    )
    return list(rows.order_by("pk"))


def _before(case: Case) -> str:
    decision = latest_decision(case)
    return decision.label if decision else ""


def _run_before(case: Case) -> Run | None:
    decision = latest_decision(case)
    return decision.run if decision else None


def _changed(row: TrialRun) -> Changed:
    old = titles_of(domain_of(row.case))
    new = titles_of(kept(row.trial.version.definition_id))
    before, after, truth = _before(row.case), row.run.prediction, row.case.label
    return Changed(
        case=row.case,
        before=old.get(before, before) or _("no answer"),
        after=new.get(after, after) or _("no answer"),
        truth=old.get(truth, truth),
        right=after == truth,
        was_right=before == truth,
    )


def _deferred(policy: Policy | None, runs: Sequence[Run]) -> Rate | None:
    """What the policy in force would defer of these runs by its own score and threshold.

    Learning, novelty and the change of the ensemble itself are left out of account: they are the
    same for both sides. None where the policy cannot be carried over.
    """
    in_force = in_force_of(policy) if policy else None
    if not runs or in_force is None or in_force.threshold is None or in_force.method == LEARNED:
        return None
    try:
        scores = _scores(policy, in_force.method, runs)
    except Exception:
        log.exception("policy %s cannot be carried over", policy)
        return None
    sound = np.array([not run.problems and bool(run.prediction) for run in runs])
    accepted = sound & np.isfinite(scores) & (scores <= in_force.threshold)
    return Rate(int((~accepted).sum()), len(runs))


def _scores(policy: Policy | None, method: str, runs: Sequence[Run]) -> "np.ndarray":
    if policy is None or policy.calibration is None:
        stored = [{row.method: row.value for row in run.scores.all()} for run in runs]
        return np.array([one.get(method, np.nan) for one in stored], dtype=np.float64)
    fitted = fitted_of(policy.calibration)
    fresh = fitted.scores(answers_of(runs, fitted.members_))
    return np.asarray(fresh[method], dtype=np.float64)
