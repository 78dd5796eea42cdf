"""What a policy would have done with past cases, before it counts."""

from typing import Any

import numpy as np

from inference.uq.audit import AcceptedError, accepted_error
from inference.uq.types import Bools, Floats
from triage.models import Policy
from triage.selectors.evidence import Evidence
from triage.selectors.fitted import fitted_of

DEFERRALS = range(0, 65, 5)
FLIPS_AT_MOST = 200


def replay(*, policy: Policy, current: Policy | None, evidence: Evidence | None) -> dict[str, Any]:
    """Both policies over the same past cases, as JSON for the policy's row.

    Kept accuracy is weighted by 1 / the probability with which each case was labelled (Hajek), so
    that labels from deferred cases do not pass for labels from all.
    """
    if evidence is None:
        return {"n": 0, "labelled": 0, "flips": [], "flip_count": 0, "curve": []}
    proposed, scores = accepts(policy, evidence)
    before, _ = accepts(current, evidence) if current else (np.zeros(len(evidence), bool), scores)
    changed = np.flatnonzero(proposed != before)
    return {
        "n": len(evidence),
        "labelled": int(evidence.labelled.sum()),
        "current": _summary(before, evidence),
        "proposed": _summary(proposed, evidence),
        "flips": [_flip(i, proposed, scores, evidence) for i in changed[:FLIPS_AT_MOST]],
        "flip_count": len(changed),
        "curve": _curve(scores, evidence),
    }


def accepts(policy: Policy, evidence: Evidence) -> tuple[Bools, Floats]:
    """Which of the n cases the policy accepts, and its scores (n,), NaN where it has none."""
    nothing = np.full(len(evidence), np.nan)
    if policy.calibration is None:
        return np.zeros(len(evidence), bool), nothing
    fitted = fitted_of(policy.calibration)
    if set(fitted.members_) != set(evidence.answers.members):
        return np.zeros(len(evidence), bool), nothing
    scores = np.asarray(fitted.scores(evidence.answers)[policy.method], dtype=np.float64)
    threshold = -np.inf if policy.threshold is None else policy.threshold
    return np.isfinite(scores) & (scores <= threshold) & evidence.trusted, scores


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
    decision = evidence.decisions[index]
    score = float(scores[index])
    return {
        "case": str(decision.case_id),
        "from": "defer" if proposed[index] else "accept",
        "to": "accept" if proposed[index] else "defer",
        "score": score if np.isfinite(score) else None,
        "label": decision.label,
        "truth": decision.case.label if evidence.labelled[index] else "",
    }


def _curve(scores: Floats, evidence: Evidence) -> list[tuple[float, float]]:
    """(share deferred, kept accuracy) for thresholds from accepting all to deferring most."""
    known = np.where(np.isfinite(scores) & evidence.trusted, scores, np.inf)
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
