"""What a policy says of a finished run. Acceptance is positive: everything that is not plainly sure
goes to a person."""

import math
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from inference.models import Run
from inference.services.answers import answers_of
from inference.services.runs import finite
from inference.uq.ensemble import STAGE_METHODS
from inference.uq.promotion import LEARNED
from triage.choices import Outcome, PolicyMode
from triage.models import Case, Policy
from triage.selectors.consents import consent_objections
from triage.selectors.familiarity import familiarity, resolved_visuals
from triage.selectors.fitted import fitted_of, learned_of
from triage.selectors.learning import Source, source_of
from triage.selectors.policy_state import at_work
from triage.selectors.rules import InForce, in_force_of
from triage.services import learning


@dataclass(frozen=True)
class Learned:
    """What a learned aggregator says of a run, deciding or in the shadow; nothing without one."""

    label: str = ""
    error: float | None = None


@dataclass(frozen=True)
class Verdict:
    """What a policy says of a run, before it is written down.

    `score` and `threshold` are None where there is none; `reasons` are codes of triage.reasons;
    `label` is that of whoever decides, the vote or the learned aggregator.
    """

    outcome: Outcome
    reasons: list[str]
    score: float | None = None
    threshold: float | None = None
    method: str = ""
    label: str = ""
    learned: Learned = Learned()
    scores: dict[str, float] = field(default_factory=dict)
    explanation: dict[str, Any] = field(default_factory=dict)


class Circumstances:
    """What holds for all cases that are decided together, asked about once.

    What changes while they are judged counts from the next batch on.
    """

    def __init__(self) -> None:
        self.versions = cache(at_work)
        self.resolved = cache(resolved_visuals)
        self.objections = cache(source_objections)


def judge(run: Run, policy: Policy | None, around: Circumstances | None = None) -> Verdict:
    """What the policy says of a finished run. Reads, writes nothing.

    A picture that is unfamiliar, or a camera that is still learning, objects beside the policy.
    """
    case: Case = run.observation.case
    around = around or Circumstances()
    found = familiarity(case, run, around.resolved)
    learned = _learned(run, policy)
    scores = scores_of(run, policy)
    if learned.error is not None:
        scores[LEARNED] = learned.error
    in_force = in_force_of(policy) if policy else InForce("", None)
    method, threshold = in_force.method, in_force.threshold
    score = scores.get(method)
    score = float(score) if score is not None and math.isfinite(score) else None
    reasons = [
        *run.problems,
        *_objections(run, policy, score, threshold),
        *(found.objections if found else []),
        *around.objections(source_of(case)),
    ]
    explanation = explain(policy, method, scores, score)
    return Verdict(
        outcome=Outcome.DEFER if reasons else Outcome.ACCEPT,
        reasons=reasons or ["certain"],
        score=score,
        threshold=threshold,
        method=method,
        label=learned.label if method == LEARNED and learned.label else run.prediction,
        learned=learned,
        scores=scores,
        explanation=explanation | (found.to_dict() if found else {}),
    )


def source_objections(source: Source) -> list[str]:
    """Why nothing that comes from there is accepted now, whatever the policy says."""
    return [*learning.objections(source), *consent_objections(source.site)]


def _learned(run: Run, policy: Policy | None) -> Learned:
    """The opinion of the policy's learned aggregator, if it has one for this ensemble."""
    calibration = policy.calibration if policy else None
    if calibration is None or calibration.ensemble != run.ensemble:
        return Learned()
    model = learned_of(calibration)
    if model is None or run.status != Run.Status.SCORED:
        return Learned()
    opinion = model.predict(answers_of([run], model.members_))
    return Learned(str(opinion.labels[0]), finite(float(opinion.error[0])))


def _objections(
    run: Run, policy: Policy | None, score: float | None, threshold: float | None
) -> list[str]:
    """Why the policy does not accept; empty only if everything that acceptance needs is there."""
    if run.status != Run.Status.SCORED or not run.prediction:
        return ["no_prediction"]
    if policy is None:
        return ["no_policy"]
    if policy.mode == PolicyMode.DEFER_ALL:
        return ["defer_all"]
    if policy.calibration is None or policy.calibration.ensemble != run.ensemble:
        return ["other_ensemble"]
    if threshold is None or not math.isfinite(threshold):
        return ["policy_accepts_nothing"]
    if score is None:
        return ["no_score"]
    return [] if score <= threshold else ["above_threshold"]


def scores_of(run: Run, policy: Policy | None) -> dict[str, float]:
    """All scores of a run: those that need no labels, and those of the policy's calibration."""
    scores = {row.method: row.value for row in run.scores.all() if row.value is not None}
    if policy and policy.calibration and run.status == Run.Status.SCORED:
        fitted = fitted_of(policy.calibration)
        if policy.calibration.ensemble == run.ensemble:
            fresh = fitted.scores(answers_of([run], fitted.members_))
            scores |= {name: float(values[0]) for name, values in fresh.items()}
    return scores


def explain(
    policy: Policy | None, method: str, scores: dict[str, float], score: float | None
) -> dict[str, Any]:
    """Levels (low, medium, high, unknown) a stage and overall, and P(error), for people."""
    if not (policy and policy.calibration):
        return {"levels": {}, "error_probability": None}
    fitted = fitted_of(policy.calibration)
    known = {name: np.array([value]) for name, value in scores.items() if name in fitted.cuts_}
    levels = {name: str(values[0]) for name, values in fitted.levels(known).items()}
    levels |= {stage: levels.get(one, "unknown") for stage, one in STAGE_METHODS.items()}
    if method == LEARNED:
        levels["overall"] = "unknown" if score is None else _level_of(score)
        return {"levels": levels, "error_probability": score}
    levels["overall"] = levels.get(method, "unknown")
    if method not in fitted.cuts_:
        return {"levels": levels, "error_probability": None}
    chance = fitted.error_probability(method, np.array([np.nan if score is None else score]))
    return {"levels": levels, "error_probability": finite(float(chance[0]))}


def _level_of(error: float) -> str:
    """low up to 10 % chance of an error, medium up to 30 %, else high."""
    return "low" if error <= 0.1 else "medium" if error <= 0.3 else "high"
