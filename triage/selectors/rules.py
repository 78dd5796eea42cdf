"""What decides, as a thing that can be tried on past cases."""

from dataclasses import dataclass

import numpy as np

from inference.uq.ensemble import Calibration as FittedCalibration
from inference.uq.types import Bools, Floats
from triage.models import Policy
from triage.selectors.evidence import Evidence
from triage.selectors.fitted import fitted_of


@dataclass(frozen=True)
class Rule:
    """What decides: accept up to `threshold` on the score `method`; None accepts nothing."""

    fitted: FittedCalibration
    method: str
    threshold: float | None

    def apply(self, evidence: Evidence) -> tuple[Bools, Floats]:
        """Which of the n cases it accepts, and its scores (n,), NaN where it has none.

        Learning mode is left out of account: it ends, the rule stays.
        """
        scores = np.asarray(self.fitted.scores(evidence.answers)[self.method], dtype=np.float64)
        threshold = -np.inf if self.threshold is None else self.threshold
        return np.isfinite(scores) & (scores <= threshold) & evidence.trusted, scores


def rule_of(policy: Policy | None, evidence: Evidence) -> Rule | None:
    """The rule of a policy, if it was made for the ensemble that the evidence is of."""
    calibration = policy.calibration if policy else None
    if policy is None or calibration is None:
        return None
    if calibration.ensemble != evidence.decisions[0].run.ensemble:
        return None
    return Rule(fitted_of(calibration), policy.method, policy.threshold)
