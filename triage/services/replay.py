"""What a policy would have done with past cases, before it counts."""

from dataclasses import replace
from typing import Any

import numpy as np

from inference.uq.audit import AcceptedError, accepted_error
from inference.uq.types import Bools
from triage.models import Policy
from triage.selectors.evidence import Evidence
from triage.selectors.rules import Applied, Rule, rule_of

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
    proposed = _outside_learning(rule.apply(evidence), evidence)
    before = _nothing(proposed)
    if in_force := rule_of(current, evidence):
        before = _outside_learning(in_force.apply(evidence), evidence)
    changed = np.flatnonzero(proposed.accepted != before.accepted)
    return {
        "n": len(evidence),
        "labelled": int(evidence.labelled.sum()),
        "learning": int(evidence.learning.sum()),
        "acceptable": int((evidence.trusted & ~evidence.learning).sum()),
        "accepted": int(proposed.accepted.sum()),
        "against": current.version if current else None,
        "current": _summary(before, evidence),
        "proposed": _summary(proposed, evidence),
        "flips": [_flip(i, proposed, evidence) for i in changed[:FLIPS_AT_MOST]],
        "flip_count": len(changed),
        "curve": _curve(proposed, evidence),
    }


def _outside_learning(applied: Applied, evidence: Evidence) -> Applied:
    return replace(applied, accepted=applied.accepted & ~evidence.learning)


def _nothing(applied: Applied) -> Applied:
    return replace(applied, accepted=np.zeros_like(applied.accepted))


def _error_among(applied: Applied, accepted: Bools, evidence: Evidence) -> AcceptedError:
    wrong = np.nan_to_num(evidence.wrong_of(applied.labels))
    return accepted_error(wrong, accepted, evidence.labelled, evidence.probability)


def _summary(applied: Applied, evidence: Evidence) -> dict[str, Any]:
    error = _error_among(applied, applied.accepted, evidence)
    known = error.audited > 0
    return {
        "deferral": float(1 - applied.accepted.mean()),
        "kept_accuracy": 1 - error.estimate if known else None,
        "low": 1 - error.high if known else None,
        "high": 1 - error.low if known else None,
        "labelled": error.audited,
    }


def _flip(index: int, proposed: Applied, evidence: Evidence) -> dict[str, Any]:
    """One case that would be decided otherwise; selectors.replays hides what is still a secret."""
    decision = evidence.decisions[index]
    score, accepted = float(proposed.scores[index]), proposed.accepted[index]
    return {
        "case": str(decision.case_id),
        "from": "defer" if accepted else "accept",
        "to": "accept" if accepted else "defer",
        "score": score if np.isfinite(score) else None,
        "label": str(proposed.labels[index]),
        "truth": decision.case.label if evidence.labelled[index] else "",
    }


def _curve(applied: Applied, evidence: Evidence) -> list[tuple[float, float]]:
    """(share deferred, kept accuracy) for thresholds from accepting all to deferring most."""
    scores = applied.scores
    acceptable = np.isfinite(scores) & evidence.trusted & ~evidence.learning
    known = np.where(acceptable, scores, np.inf)
    if not np.isfinite(known).any():
        return []
    points = []
    for percent in DEFERRALS:
        threshold = np.quantile(known, 1 - percent / 100, method="lower")
        accepted = np.isfinite(known) & (known <= threshold)
        error = _error_among(applied, accepted, evidence)
        if error.audited:
            points.append((float(1 - accepted.mean()), float(1 - error.estimate)))
    return points
