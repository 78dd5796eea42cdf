"""What experts said becomes the next threshold: a refitted calibration and a draft policy."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils.translation import gettext as _

from inference.ensemble import current_signature
from inference.uq.aggregator import LearnedAggregator
from inference.uq.answers import vote
from inference.uq.calibration import ErrorCalibrator
from inference.uq.drift import DriftSignal, embedding_drift
from inference.uq.ensemble import MIN_CASES
from inference.uq.ensemble import Calibration as FittedCalibration
from inference.uq.features import spoken_mean
from inference.uq.promotion import LEARNED, Choice, Comparison, compare
from inference.uq.promotion import choose as choose_aggregator
from inference.uq.thresholds import ThresholdChoice, by_cost, by_percentile, guaranteed_risk
from inference.uq.types import Bools, Floats, Objects
from triage.choices import PolicyMode, PolicyStatus, Purpose
from triage.errors import Conflict, Refused
from triage.models import Calibration, Policy, Site
from triage.selectors.aggregators import choice_in_words
from triage.selectors.consents import is_withdrawn
from triage.selectors.drift import told_of
from triage.selectors.evidence import Evidence, gather
from triage.selectors.fitted import fitted_of, rebuilt
from triage.selectors.policy_state import (
    active_policy,
    calibration_in_force,
    new_labels,
    newest_calibration,
)
from triage.selectors.promises import DEFAULT_DELTA, GUARANTEE_REFUSED, next_look, spent
from triage.selectors.rules import Rule, rule_with
from triage.selectors.words import domain_at
from triage.services.history import record
from triage.services.policies import drop_policy, propose_policy

FEWEST_LABELS = 5
# From here on the stages are fitted on the site's own cases alone.
OWN_LABELS = 100
# How many labelled cases the calibration that ships counts for beside the site's own.
PRIOR_CASES = 50.0
DEFAULT_RISK = 0.10
DEFAULT_REVIEW_COST = 0.25
STARTING_METHOD = "cold_start"
# The newest cases, whose texts must resemble those that were learned from.
RECENT = 200
# Scores that no label has shaped: only on these can labels of the same cases prove something.
UNFITTED = frozenset({"cold_start", "vote_entropy"})


@dataclass(frozen=True)
class Labelled:
    """The labelled cases of one score, to choose a threshold on.

    Attributes:
        scores, wrong, weights: (n,); wrong is 0 or 1, a weight 1 / probability of being labelled.
        own: (n,) of the site itself; the others come with the ensemble.
        said, truth: (n,) the label that would be accepted, and the expert's; truth is "" where only
            right or wrong is known.
        provable: whether the score learned nothing from the site's labels, so that they can
            promise an error rate.
        look: how many guarantees were tried on these labels before this one, plus one.
        all_scores: of every trusted case of the site, labelled or not, for a workload.
    """

    scores: Floats
    wrong: Floats
    weights: Floats
    own: Bools
    said: Objects
    truth: Objects
    provable: bool
    look: int
    all_scores: Floats


def refit(*, site: Site, domain: str, actor: AbstractBaseUser | None = None) -> Policy:
    """Fit a calibration on all expert labels so far and propose the policy that follows from it.

    A guaranteed risk is chosen where the site's own labels allow it, else the least expected cost.
    Earlier drafts of a refit are dropped: they are answers to an old question.

    Raises:
        Refused: there are too few labels yet, or the people here do not consent to it.
    """
    if is_withdrawn(site, Purpose.LEARN):
        raise Refused(
            _(
                "The people here have withdrawn their consent: "
                "nothing is learned from their answers."
            ),
            "consent",
        )
    evidence = gather(site=site, domain=domain, ensemble=current_signature(domain_at(site, domain)))
    labels = int(evidence.labelled.sum()) if evidence else 0
    if evidence is None or labels < FEWEST_LABELS:
        raise Refused(
            _("There are {0} expert labels; {1} are needed to refit.").format(
                labels, FEWEST_LABELS
            ),
            "few_labels",
        )
    fitted, own = _fit(site, domain, evidence)
    learned = learn(evidence)
    method, look = _voting_method(site, domain), next_look(site, domain)
    mode, choice, details = choose(labelled_rows(fitted, method, evidence, own, look))
    rule, fallback = _rule(fitted, method, choice), None
    if learned and learned.choice.chosen == LEARNED:
        fallback = rule
        mode, choice, details = choose(learned.rows(look))
        rule = replace(
            _rule(fitted, LEARNED, choice),
            learned=learned.model,
            learned_from=tuple(learned.learned_from),
        )
    with transaction.atomic():
        calibration = Calibration.objects.create(
            site=site,
            domain=domain,
            parameters=fitted.to_dict(),
            aggregator=learned.model.to_dict() if learned else None,
            ensemble=evidence.decisions[0].run.ensemble,
            window=_window(evidence, own) | (learned.to_dict() if learned else {}),
        )
        _drop_older_refits(site, domain, actor)
        return propose_policy(
            site=site,
            domain=domain,
            calibration=calibration,
            rule=rule,
            fallback=fallback,
            evidence=evidence,
            mode=mode,
            choice=choice,
            actor=actor,
            details=details | {"labels": labels, "refit": True},
        )


def _voting_method(site: Site, domain: str) -> str:
    """The score that decides where the vote does: of the policy in force, or of its fallback."""
    active = active_policy(site, domain)
    method = active.method if active else ""
    if active and method == LEARNED:
        method = active.fallback.get("method", "")
    return method or STARTING_METHOD


def _rule(fitted: FittedCalibration, method: str, choice: ThresholdChoice) -> Rule:
    return Rule(fitted, method, choice.threshold if choice.qualifies else None)


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
    calibration = found_or_refused(newest_calibration(site, domain))
    evidence = gather(site=site, domain=domain, ensemble=calibration.ensemble)
    rows = rows_of(calibration, method, evidence, next_look(site, domain))
    if mode == PolicyMode.GUARANTEED and not rows.provable:
        raise Refused(
            _(
                "These labels have shaped this score, so they cannot prove an error rate on it. "
                "Choose votes and reasonings."
            ),
            "not_provable",
        )
    choice = _by_mode(rows, mode, value)
    if not choice.qualifies:
        if mode == PolicyMode.GUARANTEED:
            record(GUARANTEE_REFUSED, site=site, actor=actor, domain=domain, risk=value)
        raise Refused(no_threshold(choice), "no_threshold")
    return propose_policy(
        site=site,
        domain=domain,
        calibration=calibration,
        rule=rule_with(calibration, method, choice.threshold),
        fallback=fallback_of(calibration, method, evidence),
        evidence=evidence,
        mode=mode,
        choice=choice,
        actor=actor,
        details={"value": value, "confidence": 1 - DEFAULT_DELTA},
    )


def propose_at(
    *,
    site: Site,
    domain: str,
    method: str,
    threshold: float,
    calibration: int | None,
    actor: AbstractBaseUser,
) -> Policy:
    """A draft with exactly this threshold, as somebody has chosen it on the what-if's dial.

    Args:
        calibration: key of the one that the dial was set on: the same number means something else
            on another. None for whichever is in force.

    Raises:
        Refused: there is no such score here.
        Conflict: another calibration is in force by now.
    """
    fitted = found_or_refused(calibration_in_force(site, domain))
    if calibration not in (None, fitted.pk):
        raise Conflict(
            _("Another calibration is in force by now: set the dial again."), "calibration"
        )
    evidence = gather(site=site, domain=domain, ensemble=fitted.ensemble)
    rows = rows_of(fitted, method, evidence, look=1)
    coverage = float((rows.scores <= threshold).mean()) if len(rows.scores) else 0.0
    choice = ThresholdChoice(threshold, "by hand", None, coverage, True, len(rows.scores))
    return propose_policy(
        site=site,
        domain=domain,
        calibration=fitted,
        rule=rule_with(fitted, method, threshold),
        fallback=fallback_of(fitted, method, evidence),
        evidence=evidence,
        mode=PolicyMode.BY_HAND,
        choice=choice,
        actor=actor,
    )


def found_or_refused(calibration: Calibration | None) -> Calibration:
    """Raises Refused where there is none yet."""
    if calibration is None:
        raise Refused(
            _("There is no calibration here yet: every case is deferred."), "no_calibration"
        )
    return calibration


def rows_of(
    calibration: Calibration, method: str, evidence: Evidence | None, look: int
) -> Labelled:
    """The labelled cases to choose a threshold on, for a score of a stored calibration.

    Raises:
        Refused: the learned aggregator is asked for, and there is none or it has shown no gain.
    """
    own = bool(calibration.window.get("own"))
    if method != LEARNED:
        truth = calibration.window.get("truth", ())
        return labelled_rows(fitted_of(calibration), method, evidence, own, look, truth)
    chosen = calibration.window.get("learned", {})
    if chosen.get("chosen") != LEARNED:
        raise Refused(choice_in_words(chosen or {"code": "few_labels"}), "not_learned")
    rule = rule_with(calibration, LEARNED, None)
    assert evidence is not None and rule.learned is not None  # it was learned from evidence
    return _learned_rows(rule, evidence, look)


def _learned_rows(rule: Rule, evidence: Evidence, look: int) -> Labelled:
    """Opinions on labelled cases: held out where it learned from them, fresh where it did not.

    Only fresh ones can prove an error rate, and only once there are enough of them.
    """
    applied = rule.apply(evidence)
    known = evidence.labelled & evidence.trusted & np.isfinite(applied.scores)
    fresh = known & ~np.isin([row.pk for row in evidence.decisions], rule.learned_from)
    provable = int(fresh.sum()) >= OWN_LABELS
    rows = fresh if provable else known
    return Labelled(
        scores=applied.scores[rows],
        wrong=evidence.wrong_of(applied.labels)[rows],
        weights=evidence.weights[rows],
        own=np.ones(int(rows.sum()), bool),
        said=applied.labels[rows],
        truth=evidence.truth[rows],
        provable=provable,
        look=look,
        all_scores=applied.scores[evidence.trusted & np.isfinite(applied.scores)],
    )


def fallback_of(calibration: Calibration, method: str, evidence: Evidence | None) -> Rule | None:
    """How the vote decides once the learned aggregator is withdrawn: at the least expected cost."""
    if method != LEARNED:
        return None
    own = bool(calibration.window.get("own"))
    rows = labelled_rows(fitted_of(calibration), STARTING_METHOD, evidence, own)
    choice = _by_mode(rows, PolicyMode.COST, DEFAULT_REVIEW_COST)
    return _rule(fitted_of(calibration), STARTING_METHOD, choice)


@dataclass(frozen=True)
class Learned:
    """A learned aggregator, what it learned from, and whether it may decide."""

    model: LearnedAggregator
    evidence: Evidence
    learned_from: list[int]
    comparison: Comparison
    choice: Choice

    def rows(self, look: int) -> Labelled:
        """Its held-out opinions, to choose a threshold on; they prove nothing."""
        rule = Rule(FittedCalibration(), LEARNED, None, self.model, tuple(self.learned_from))
        return _learned_rows(rule, self.evidence, look)

    def to_dict(self) -> dict[str, object]:
        """What a calibration's window keeps of it."""
        return {
            "learned": {
                "chosen": self.choice.chosen,
                "code": self.choice.code,
                "comparison": self.comparison.to_dict(),
                "drift": _kept(self.choice.drift),
            },
            "learned_from": self.learned_from,
        }


def _kept(drift: DriftSignal | None) -> dict[str, object] | None:
    return {"code": drift.code, "values": told_of(drift)} if drift else None


def learn(evidence: Evidence) -> Learned | None:
    """Learn from all trusted cases that experts labelled; None with too few.

    The regression weighs labels by their experts' influence alone; the comparison with the vote
    also by 1 / the probability of each label, so that it speaks of all cases and not only of the
    deferred.
    """
    trusted = evidence.take(evidence.trusted)
    try:
        model = LearnedAggregator().fit(trusted.answers, trusted.truth, trusted.influence)
    except ValueError:
        return None
    rows = model.rows_
    labelled = trusted.take(rows)
    comparison = compare(
        labelled.wrong, labelled.wrong_of(model.held_out_.labels), labelled.weights
    )
    texts = spoken_mean(trusted.answers.descriptions)
    drift = embedding_drift(texts[rows], texts[:RECENT])
    return Learned(
        model=model,
        evidence=evidence,
        learned_from=[row.pk for row in labelled.decisions],
        comparison=comparison,
        choice=choose_aggregator(comparison, drift),
    )


def no_threshold(choice: ThresholdChoice) -> str:
    """Why no threshold can be had, and what would help."""
    if choice.labels_needed:
        return _(
            "No threshold qualifies: about {n} more of this site's own labels are needed before "
            "this can be promised."
        ).format(n=choice.labels_needed)
    return _("No threshold qualifies: too many of even the surest cases are wrong.")


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
    truth: Sequence[str] = (),
) -> Labelled:
    """The labelled cases to choose a threshold on, each scored by models that had not seen it.

    Args:
        truth: the experts' labels of the window's cases, where they were kept.
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
    said = np.array(window.labels, dtype=object)
    kept = np.array(truth, dtype=object) if len(truth) == len(said) else np.full(len(said), "")
    meant = np.where(window.correct == 1, said, kept).astype(object)[known]
    said = said[known]
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
            said = np.concatenate([said, vote(evidence.answers)[0][new]])
            meant = np.concatenate([meant, evidence.truth[new]])
        fresh = fresh[acceptable]
    return Labelled(
        scores=scores,
        wrong=wrong,
        weights=weights,
        own=mine,
        said=said,
        truth=meant,
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


def _fit(site: Site, domain: str, evidence: Evidence) -> tuple[FittedCalibration, bool]:
    """The fitted calibration, and whether it rests on this site's own cases."""
    shipped = Calibration.objects.filter(
        site=site, domain=domain, window__shipped=True, ensemble=evidence.decisions[0].run.ensemble
    ).first()
    if shipped is not None and evidence.labelled.sum() < OWN_LABELS:
        return _with_own_errors(rebuilt(shipped), evidence), False
    if len(evidence) < MIN_CASES:
        raise Refused(
            _("There are {0} cases; {1} are needed to fit anew.").format(len(evidence), MIN_CASES),
            "few_cases",
        )
    trusted = evidence.take(evidence.trusted)
    fitted = FittedCalibration().fit(trusted.answers, 1 - trusted.wrong, trusted.weights)
    return fitted, True


def _with_own_errors(fitted: FittedCalibration, evidence: Evidence) -> FittedCalibration:
    """The shipped stages, with P(error) fitted on the shipped window and the site's own labels."""
    for method in fitted.cuts_:
        rows = labelled_rows(fitted, method, evidence, own=False)
        if len(rows.scores):
            fitted.errors_[method] = ErrorCalibrator().fit(rows.scores, rows.wrong, rows.weights)
    return fitted


def _window(evidence: Evidence, own: bool) -> dict[str, object]:
    newest, oldest = evidence.decisions[0], evidence.decisions[-1]
    return {
        "own": own,
        "truth": evidence.truth[evidence.trusted].tolist() if own else [],
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
