"""What decides, as a thing that can be tried on past cases."""

from dataclasses import dataclass

import numpy as np

from inference.uq.aggregator import LearnedAggregator
from inference.uq.answers import vote
from inference.uq.ensemble import Calibration as FittedCalibration
from inference.uq.promotion import LEARNED
from inference.uq.types import Bools, Floats, Objects
from triage.models import Calibration, Policy
from triage.selectors.evidence import Evidence
from triage.selectors.fitted import fitted_of, learned_of


@dataclass(frozen=True)
class Applied:
    """What a rule makes of n cases: which it accepts, scores (NaN: none) and labels, each (n,)."""

    accepted: Bools
    scores: Floats
    labels: Objects


@dataclass(frozen=True)
class Rule:
    """What decides: accept up to `threshold` on the score `method`; None accepts nothing.

    With the method LEARNED the score is the P(error) of `learned`, and the label is its own. Cases
    that it learned from, given by the primary keys of their decisions in the order of its rows, are
    judged as they were while held out.
    """

    fitted: FittedCalibration
    method: str
    threshold: float | None
    learned: LearnedAggregator | None = None
    learned_from: tuple[int, ...] = ()

    def apply(self, evidence: Evidence) -> Applied:
        """The rule on past cases. Learning mode is left out of account: it ends, the rule stays."""
        labels, scores = self._judge(evidence)
        threshold = -np.inf if self.threshold is None else self.threshold
        accepted = np.isfinite(scores) & (scores <= threshold) & evidence.trusted
        return Applied(accepted, scores, labels)

    def _judge(self, evidence: Evidence) -> tuple[Objects, Floats]:
        if self.method == LEARNED and self.learned:
            opinion, held_out = self.learned.predict(evidence.answers), self.learned.held_out_
            place = {pk: row for row, pk in enumerate(self.learned_from)}
            for at, decision in enumerate(evidence.decisions):
                if (row := place.get(decision.pk)) is not None:
                    opinion.labels[at] = held_out.labels[row]
                    opinion.error[at] = held_out.error[row]
            return opinion.labels, opinion.error
        scores = np.asarray(self.fitted.scores(evidence.answers)[self.method], dtype=np.float64)
        return vote(evidence.answers)[0], scores


def rule_of(policy: Policy | None, evidence: Evidence) -> Rule | None:
    """The rule of a policy, if it was made for the ensemble that the evidence is of."""
    calibration = policy.calibration if policy else None
    if policy is None or calibration is None:
        return None
    if calibration.ensemble != evidence.decisions[0].run.ensemble:
        return None
    in_force = in_force_of(policy)
    return rule_with(calibration, in_force.method, in_force.threshold)


def rule_with(calibration: Calibration, method: str, threshold: float | None) -> Rule:
    """A rule on a stored calibration."""
    learned = learned_of(calibration) if method == LEARNED else None
    learned_from = tuple(calibration.window.get("learned_from", ()))
    return Rule(fitted_of(calibration), method, threshold, learned, learned_from)


@dataclass(frozen=True)
class InForce:
    """By which score and threshold a policy decides at present."""

    method: str
    threshold: float | None


def in_force_of(policy: Policy) -> InForce:
    """The policy's own, or its fallback once its learned aggregator was withdrawn."""
    if policy.method == LEARNED and getattr(policy, "withdrawal", None):
        fallback = policy.fallback
        return InForce(fallback.get("method", ""), fallback.get("threshold"))
    return InForce(policy.method, policy.threshold)
