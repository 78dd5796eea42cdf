"""What a policy would have done with past cases, before it counts."""

from typing import Any

import numpy as np

from inference.uq.audit import AcceptedError, accepted_error
from inference.uq.types import Bools, Floats
from triage.choices import CaseStatus
from triage.models import Policy
from triage.selectors.evidence import Evidence
from triage.selectors.rules import Rule, rule_of

DEFERRALS = range(0, 65, 5)
FLIPS_AT_MOST = 200


def replay(*, rule: Rule, current: Policy | None, evidence: Evidence | None) -> dict[str, Any]:
    """A rule and the policy in force over the same past cases, as JSON for a policy's row.

    Kept accuracy is weighted by 1 / the probability with which each case was labelled (Hajek), so
    that labels from deferred cases do not pass for labels from all. A case whose camera was
    learning is deferred by either: no threshold would have accepted it.
    """
    if evidence is None:
        return {"n": 0, "labelled": 0, "learning": 0, "flips": [], "flip_count": 0, "curve": []}
    proposed, scores = rule.apply(evidence)
    proposed &= ~evidence.learning
    before = np.zeros(len(evidence), bool)
    if in_force := rule_of(current, evidence):
        before = in_force.apply(evidence)[0] & ~evidence.learning
    changed = np.flatnonzero(proposed != before)
    return {
        "n": len(evidence),
        "labelled": int(evidence.labelled.sum()),
        "learning": int(evidence.learning.sum()),
        "current": _summary(before, evidence),
        "proposed": _summary(proposed, evidence),
        "flips": [_flip(i, proposed, scores, evidence) for i in changed[:FLIPS_AT_MOST]],
        "flip_count": len(changed),
        "curve": _curve(scores, evidence),
    }


def _error_among(accepted: Bools, evidence: Evidence) -> AcceptedError:
    return accepted_error(
        np.nan_to_num(evidence.wrong), accepted, evidence.labelled, evidence.probability
    )


def _summary(accepted: Bools, evidence: Evidence) -> dict[str, Any]:
    error = _error_among(accepted, evidence)
    known = error.audited > 0
    return {
        "deferral": float(1 - accepted.mean()),
        "kept_accuracy": 1 - error.estimate if known else None,
        "low": 1 - error.high if known else None,
        "high": 1 - error.low if known else None,
        "labelled": error.audited,
    }


def _flip(index: int, proposed: Bools, scores: Floats, evidence: Evidence) -> dict[str, Any]:
    """One case that would be decided otherwise; an audit that is still open keeps its secret."""
    decision = evidence.decisions[index]
    score = float(scores[index])
    secret = decision.audited and decision.case.status != CaseStatus.RESOLVED
    return {
        "case": str(decision.case_id),
        "from": "defer" if proposed[index] else "accept",
        "to": "accept" if proposed[index] else "defer",
        "score": score if np.isfinite(score) else None,
        "label": "" if secret else decision.label,
        "truth": decision.case.label if evidence.labelled[index] else "",
    }


def _curve(scores: Floats, evidence: Evidence) -> list[tuple[float, float]]:
    """(share deferred, kept accuracy) for thresholds from accepting all to deferring most."""
    acceptable = np.isfinite(scores) & evidence.trusted & ~evidence.learning
    known = np.where(acceptable, scores, np.inf)
    if not np.isfinite(known).any():
        return []
    points = []
    for percent in DEFERRALS:
        threshold = np.quantile(known, 1 - percent / 100, method="lower")
        accepted = np.isfinite(known) & (known <= threshold)
        error = _error_among(accepted, evidence)
        if error.audited:
            points.append((float(1 - accepted.mean()), float(1 - error.estimate)))
    return points
