"""What experts said becomes the next threshold: a refitted calibration and a draft policy."""

from dataclasses import dataclass

import numpy as np
from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from inference.ensemble import current_signature
from inference.pipeline.domains import load_domain
from inference.uq.calibration import ErrorCalibrator
from inference.uq.ensemble import MIN_CASES
from inference.uq.ensemble import Calibration as FittedCalibration
from inference.uq.thresholds import ThresholdChoice, by_cost, by_percentile, guaranteed_risk
from inference.uq.types import Bools, Floats
from triage.choices import PolicyMode, PolicyStatus
from triage.errors import Refused
from triage.models import Calibration, Policy, Site
from triage.selectors.evidence import Evidence, gather
from triage.selectors.fitted import fitted_of, rebuilt
from triage.selectors.policy_state import active_policy, new_labels
from triage.selectors.rules import Rule
from triage.services.policies import drop_policy, propose_policy

FEWEST_LABELS = 5
# From here on the stages are fitted on the site's own cases alone.
OWN_LABELS = 100
# How many labelled cases the calibration that ships counts for beside the site's own.
PRIOR_CASES = 50.0
DEFAULT_RISK, DEFAULT_DELTA = 0.10, 0.10
DEFAULT_REVIEW_COST = 0.25
STARTING_METHOD = "cold_start"
# Scores that no label has shaped: only on these can labels of the same cases prove something.
UNFITTED = frozenset({"cold_start", "vote_entropy"})


@dataclass(frozen=True)
class Labelled:
    """The labelled cases of one score, to choose a threshold on.

    Attributes:
        scores, wrong, weights: (n,); wrong is 0 or 1, a weight 1 / probability of being labelled.
        own: (n,) of the site itself; the others come with the ensemble.
        provable: whether the score learned nothing from the site's labels, so that they can
            promise an error rate.
        look: how many guarantees were tried on these labels before this one, plus one.
        all_scores: of every trusted case of the site, labelled or not, for a workload.
    """

    scores: Floats
    wrong: Floats
    weights: Floats
    own: Bools
    provable: bool
    look: int
    all_scores: Floats


def refit(*, site: Site, domain: str, actor: AbstractBaseUser | None = None) -> Policy:
    """Fit a calibration on all expert labels so far and propose the policy that follows from it.

    A guaranteed risk is chosen where the site's own labels allow it, else the least expected cost.
    Earlier drafts of a refit are dropped: they are answers to an old question.

    Raises:
        Refused: there are too few labels yet.
    """
    evidence = gather(site=site, domain=domain, ensemble=current_signature(load_domain(domain)))
    labels = int(evidence.labelled.sum()) if evidence else 0
    if evidence is None or labels < FEWEST_LABELS:
        raise Refused(
            f"There are {labels} expert labels; {FEWEST_LABELS} are needed to refit.", "few_labels"
        )
    fitted, own = _fit(site, domain, evidence)
    active = active_policy(site, domain)
    method = active.method if active else STARTING_METHOD
    mode, choice, details = choose(
        labelled_rows(fitted, method, evidence, own, _look(site, domain))
    )
    rule = Rule(fitted, method, choice.threshold if choice.qualifies else None)
    with transaction.atomic():
        calibration = Calibration.objects.create(
            site=site,
            domain=domain,
            parameters=fitted.to_dict(),
            ensemble=evidence.decisions[0].run.ensemble,
            window=_window(evidence, own),
        )
        _drop_older_refits(site, domain, actor)
        return propose_policy(
            site=site,
            domain=domain,
            calibration=calibration,
            rule=rule,
            evidence=evidence,
            mode=mode,
            choice=choice,
            actor=actor,
            details=details | {"labels": labels, "refit": True},
        )


def refit_when_due(*, site: Site, domain: str) -> Policy | None:
    """Refit after every ALARM_REFIT_EVERY resolutions since the last calibration."""
    if not _is_due(site, domain):
        return None
    with transaction.atomic():
        Site.objects.select_for_update(no_key=True).get(pk=site.pk)
        if not _is_due(site, domain):
            return None
        try:
            return refit(site=site, domain=domain)
        except Refused:
            return None


def _is_due(site: Site, domain: str) -> bool:
    return new_labels(site=site, domain=domain) >= settings.ALARM_REFIT_EVERY


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
    evidence = gather(site=site, domain=domain, ensemble=calibration.ensemble)
    own = bool(calibration.window.get("own"))
    rows = labelled_rows(fitted, method, evidence, own, _look(site, domain))
    if mode == PolicyMode.GUARANTEED and not rows.provable:
        raise Refused(
            "These labels have shaped this score, so they cannot prove an error rate on it. "
            "Choose votes and reasonings.",
            "not_provable",
        )
    choice = _by_mode(rows, mode, value)
    if not choice.qualifies:
        raise Refused(no_threshold(choice), "no_threshold")
    return propose_policy(
        site=site,
        domain=domain,
        calibration=calibration,
        rule=Rule(fitted, method, choice.threshold),
        evidence=evidence,
        mode=mode,
        choice=choice,
        actor=actor,
        details={"value": value, "confidence": 1 - DEFAULT_DELTA},
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
    promised = _by_mode(rows, PolicyMode.GUARANTEED, DEFAULT_RISK) if rows.provable else None
    if promised and promised.qualifies:
        confidence = 1 - DEFAULT_DELTA
        return PolicyMode.GUARANTEED, promised, {"value": DEFAULT_RISK, "confidence": confidence}
    details: dict[str, object] = {"value": DEFAULT_REVIEW_COST}
    if promised:
        details["guarantee_needs"] = promised.labels_needed
    return PolicyMode.COST, _by_mode(rows, PolicyMode.COST, DEFAULT_REVIEW_COST), details


def labelled_rows(
    fitted: FittedCalibration,
    method: str,
    evidence: Evidence | None,
    own: bool,
    look: int = 1,
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
    mine = np.full(len(scores), own)
    fresh = np.empty(0)
    if evidence is not None:
        fresh = np.asarray(fitted.scores(evidence.answers)[method], dtype=np.float64)
        acceptable = np.isfinite(fresh) & evidence.trusted
        if not own:
            new = evidence.labelled & acceptable
            weights = weights * PRIOR_CASES / max(weights.sum(), 1.0)
            scores = np.concatenate([scores, fresh[new]])
            wrong = np.concatenate([wrong, evidence.wrong[new]])
            weights = np.concatenate([weights, evidence.weights[new]])
            mine = np.concatenate([mine, np.ones(int(new.sum()), bool)])
        fresh = fresh[acceptable]
    return Labelled(
        scores=scores,
        wrong=wrong,
        weights=weights,
        own=mine,
        provable=not own or method in UNFITTED,
        look=look,
        all_scores=fresh if len(fresh) >= MIN_CASES else scores,
    )


def _by_mode(rows: Labelled, mode: PolicyMode, value: float) -> ThresholdChoice:
    if mode == PolicyMode.GUARANTEED:
        own = rows.own
        return guaranteed_risk(
            rows.scores[own], rows.wrong[own], value, spent(rows.look), weights=rows.weights[own]
        )
    if mode == PolicyMode.COST:
        return by_cost(rows.scores, rows.wrong, review_cost=value, weights=rows.weights)
    return by_percentile(rows.all_scores, 100 * value)


def spent(look: int) -> float:
    """The share of DEFAULT_DELTA for the k-th look: all looks together never spend more than it.

    delta * 6 / (pi k)^2 sums to delta over k = 1, 2, ... Without it, looking after every few labels
    and taking the first guarantee that qualifies would break its promise far too often.
    """
    return DEFAULT_DELTA * 6 / (np.pi * look) ** 2


def _look(site: Site, domain: str) -> int:
    """Every version so far, the starting one apart, was a look at the same labels."""
    return max(1, Policy.objects.filter(site=site, domain=domain).count())


def _fit(site: Site, domain: str, evidence: Evidence) -> tuple[FittedCalibration, bool]:
    """The fitted calibration, and whether it rests on this site's own cases."""
    shipped = Calibration.objects.filter(
        site=site, domain=domain, window__shipped=True, ensemble=evidence.decisions[0].run.ensemble
    ).first()
    if shipped is not None and evidence.labelled.sum() < OWN_LABELS:
        return _with_own_errors(rebuilt(shipped), evidence), False
    if len(evidence) < MIN_CASES:
        raise Refused(
            f"There are {len(evidence)} cases; {MIN_CASES} are needed to fit anew.", "few_cases"
        )
    trusted = evidence.take(evidence.trusted)
    fitted = FittedCalibration().fit(trusted.answers, 1 - trusted.wrong, trusted.weights)
    return fitted, True


def _with_own_errors(fitted: FittedCalibration, evidence: Evidence) -> FittedCalibration:
    """The shipped stages, with P(error) fitted on the shipped window and the site's own labels."""
    for method in fitted.cuts_:
        rows = labelled_rows(fitted, method, evidence, own=False)
        fitted.errors_[method] = ErrorCalibrator().fit(rows.scores, rows.wrong, rows.weights)
    return fitted


def _window(evidence: Evidence, own: bool) -> dict[str, object]:
    newest, oldest = evidence.decisions[0], evidence.decisions[-1]
    return {
        "own": own,
        "cases": len(evidence),
        "labels": int(evidence.labelled.sum()),
        "from": oldest.decided_at.isoformat(),
        "to": newest.decided_at.isoformat(),
    }


def _drop_older_refits(site: Site, domain: str, actor: AbstractBaseUser | None) -> None:
    drafts = Policy.objects.filter(
        site=site, domain=domain, status=PolicyStatus.DRAFT, choice__refit=True
    )
    for draft in drafts:
        drop_policy(policy=draft, actor=actor)
