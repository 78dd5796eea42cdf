"""What experts said becomes the next threshold: a refitted calibration and a draft policy."""

from dataclasses import dataclass

import numpy as np
from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser

from inference import ensemble
from inference.uq.calibration import ErrorCalibrator
from inference.uq.ensemble import Calibration as FittedCalibration
from inference.uq.metrics import aurc
from inference.uq.thresholds import ThresholdChoice, by_cost, by_percentile, guaranteed_risk
from inference.uq.types import Floats
from triage.choices import PolicyMode, PolicyStatus
from triage.errors import Refused
from triage.models import Calibration, Policy, Site
from triage.selectors.evidence import Evidence, gather
from triage.selectors.fitted import fitted_of, rebuilt
from triage.selectors.policy_state import active_policy, new_labels
from triage.services.policies import drop_policy, propose_policy

FEWEST_LABELS = 5
# From here on the stages are fitted on the site's own cases alone.
OWN_LABELS = 100
# How many labelled cases the calibration that ships counts for beside the site's own.
PRIOR_CASES = 50.0
DEFAULT_RISK, DEFAULT_DELTA = 0.10, 0.10
DEFAULT_REVIEW_COST = 0.25


@dataclass(frozen=True)
class Labelled:
    """Scores (n,), wrong (n,) 0 or 1 and weights (n,) of one method's labelled cases.

    `own`: (n,) of the site itself; the others come with the ensemble.
    """

    scores: Floats
    wrong: Floats
    weights: Floats
    own: np.ndarray


def refit(*, site: Site, domain: str, actor: AbstractBaseUser | None = None) -> Policy:
    """Fit a calibration on all expert labels so far and propose the policy that follows from it.

    A guaranteed risk is chosen where the site's own labels allow it, else the least expected cost.
    Earlier drafts of the system are dropped: they are answers to an old question.

    Raises:
        Refused: there are too few labels yet.
    """
    members = tuple(spec.name for spec in ensemble.members_of(domain))
    evidence = gather(site=site, domain=domain, members=members)
    labels = int(evidence.labelled.sum()) if evidence else 0
    if evidence is None or labels < FEWEST_LABELS:
        raise Refused(
            f"There are {labels} expert labels; {FEWEST_LABELS} are needed to refit.", "few_labels"
        )
    fitted, own = _fit(site, domain, evidence)
    calibration = Calibration.objects.create(
        site=site, domain=domain, parameters=fitted.to_dict(), window=_window(evidence, own)
    )
    method = _best_method(fitted, active_policy(site, domain), labels)
    rows = labelled_rows(fitted, method, evidence, own)
    mode, choice, details = choose(rows)
    _drop_own_drafts(site, domain)
    return propose_policy(
        site=site,
        domain=domain,
        calibration=calibration,
        method=method,
        mode=mode,
        choice=choice,
        actor=actor,
        details=details | {"labels": labels},
    )


def refit_when_due(*, site: Site, domain: str) -> Policy | None:
    """Refit after every ALARM_REFIT_EVERY resolutions since the last calibration."""
    if new_labels(site=site, domain=domain) < settings.ALARM_REFIT_EVERY:
        return None
    try:
        return refit(site=site, domain=domain)
    except Refused:
        return None


def propose_by_hand(
    *, site: Site, domain: str, mode: PolicyMode, value: float, method: str, actor: AbstractBaseUser
) -> Policy:
    """A draft that an administrator asks for, on the newest calibration.

    Args:
        value: guaranteed risk: the error rate, 0 to 1; cost: a review in units of an error, 0 to 1;
            workload: the share to defer, 0 to 1.

    Raises:
        Refused: there is no calibration, or no threshold qualifies; it says what is missing.
    """
    calibration = Calibration.objects.filter(site=site, domain=domain).order_by("-pk").first()
    if calibration is None:
        raise Refused("There is no calibration here yet: every case is deferred.", "no_calibration")
    fitted = fitted_of(calibration)
    evidence = gather(site=site, domain=domain, members=fitted.members_)
    rows = labelled_rows(fitted, method, evidence, bool(calibration.window.get("own")))
    choice = _by_mode(rows, mode, value)
    if not choice.qualifies:
        raise Refused(no_threshold(choice), "no_threshold")
    return propose_policy(
        site=site,
        domain=domain,
        calibration=calibration,
        method=method,
        mode=mode,
        choice=choice,
        actor=actor,
        details={"value": value},
    )


def no_threshold(choice: ThresholdChoice) -> str:
    """Why no threshold can be had, and what would help."""
    if choice.labels_needed:
        return (
            f"No threshold qualifies: about {choice.labels_needed} more of this site's own labels "
            "are needed before this can be promised."
        )
    return "No threshold qualifies: too many of even the surest cases are wrong."


def choose(rows: Labelled) -> tuple[PolicyMode, ThresholdChoice, dict[str, object]]:
    """The default of a refit: a guarantee if it can be had, else the least expected cost."""
    promised = _by_mode(rows, PolicyMode.GUARANTEED, DEFAULT_RISK)
    if promised.qualifies:
        return PolicyMode.GUARANTEED, promised, {"value": DEFAULT_RISK}
    cheapest = _by_mode(rows, PolicyMode.COST, DEFAULT_REVIEW_COST)
    details: dict[str, object] = {
        "value": DEFAULT_REVIEW_COST,
        "guarantee_needs": promised.labels_needed,
    }
    return PolicyMode.COST, cheapest, details


def labelled_rows(
    fitted: FittedCalibration, method: str, evidence: Evidence | None, own: bool
) -> Labelled:
    """The labelled cases to choose a threshold on, each scored by models that had not seen it.

    Args:
        own: whether `fitted` learned from this site's cases: then its window holds their
            cross-fitted scores. Otherwise the window is the shipped one, counted as PRIOR_CASES.
    """
    window = fitted.window_
    if window is None:
        raise ValueError("a calibration without its window cannot choose a threshold")
    wrong = 1 - window.correct
    known = np.isfinite(window.scores[method]) & np.isfinite(wrong)
    scores, wrong, weights = window.scores[method][known], wrong[known], window.weights[known]
    if own:
        return Labelled(scores, wrong, weights, np.ones(len(scores), bool))
    weights = weights * PRIOR_CASES / max(weights.sum(), 1.0)
    if evidence is None:
        return Labelled(scores, wrong, weights, np.zeros(len(scores), bool))
    fresh = np.asarray(fitted.scores(evidence.answers)[method])
    new = evidence.labelled & np.isfinite(fresh)
    return Labelled(
        np.concatenate([scores, fresh[new]]),
        np.concatenate([wrong, evidence.wrong[new]]),
        np.concatenate([weights, evidence.weights[new]]),
        np.concatenate([np.zeros(len(scores), bool), np.ones(int(new.sum()), bool)]),
    )


def _by_mode(rows: Labelled, mode: PolicyMode, value: float) -> ThresholdChoice:
    if mode == PolicyMode.GUARANTEED:
        own = rows.own
        return guaranteed_risk(
            rows.scores[own], rows.wrong[own], value, DEFAULT_DELTA, weights=rows.weights[own]
        )
    if mode == PolicyMode.COST:
        return by_cost(rows.scores, rows.wrong, review_cost=value, weights=rows.weights)
    return by_percentile(_repeated(rows), 100 * value)


def _repeated(rows: Labelled) -> Floats:
    """About a thousand scores in which each case stands as often as its weight says."""
    share = rows.weights / rows.weights.sum()
    return np.repeat(rows.scores, np.maximum(1, np.round(share * 1000)).astype(int))


def _fit(site: Site, domain: str, evidence: Evidence) -> tuple[FittedCalibration, bool]:
    """The fitted calibration, and whether it rests on this site's own cases."""
    first = Calibration.objects.filter(site=site, domain=domain).order_by("pk").first()
    if first is not None and evidence.labelled.sum() < OWN_LABELS:
        shipped = rebuilt(first)
        if set(shipped.members_) == set(evidence.answers.members):
            return _with_own_errors(shipped, evidence), False
    fitted = FittedCalibration().fit(evidence.answers, 1 - evidence.wrong, evidence.weights)
    return fitted, True


def _with_own_errors(shipped: FittedCalibration, evidence: Evidence) -> FittedCalibration:
    """The shipped stages, with P(error) fitted on the shipped window and the site's own labels."""
    for method in shipped.cuts_:
        rows = labelled_rows(shipped, method, evidence, own=False)
        shipped.errors_[method] = ErrorCalibrator().fit(rows.scores, rows.wrong, rows.weights)
    return shipped


def _best_method(fitted: FittedCalibration, active: Policy | None, labels: int) -> str:
    """Few labels: the score in force. With enough of them: the one with the smaller AURC."""
    current = active.method if active else "cold_start"
    if labels < OWN_LABELS:
        return current
    return min((current, "cold_start", "alarm"), key=lambda name: _window_aurc(fitted, name))


def _window_aurc(fitted: FittedCalibration, method: str) -> float:
    rows = labelled_rows(fitted, method, None, own=True)
    return aurc(rows.scores, rows.wrong)


def _window(evidence: Evidence, own: bool) -> dict[str, object]:
    newest, oldest = evidence.decisions[0], evidence.decisions[-1]
    return {
        "own": own,
        "cases": len(evidence),
        "labels": int(evidence.labelled.sum()),
        "from": oldest.decided_at.isoformat(),
        "to": newest.decided_at.isoformat(),
    }


def _drop_own_drafts(site: Site, domain: str) -> None:
    drafts = Policy.objects.filter(
        site=site, domain=domain, status=PolicyStatus.DRAFT, proposed_by=None
    )
    for draft in drafts:
        drop_policy(policy=draft, actor=None)
