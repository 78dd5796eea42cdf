"""In which ways a site's cases no longer resemble those that its policy was made on."""

from collections.abc import Mapping
from datetime import datetime

import numpy as np
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from inference.pipeline.domains import Domain
from inference.uq.drift import (
    DRIFTED,
    MIN_CASES,
    DriftSignal,
    deferral_drift,
    embedding_drift,
    label_drift,
    score_drift,
    together,
)
from inference.uq.types import Bools, Floats
from triage.choices import AlertKind, Outcome
from triage.models import Alert, Decision, Policy, Site
from triage.reasons import ITS_OWN, NOT_JUDGED, kinds
from triage.selectors.descriptions import newest_descriptions
from triage.selectors.fitted import fitted_of
from triage.selectors.policy_state import active_policy
from triage.selectors.rules import in_force_of
from triage.selectors.words import domain_at

RECENT = 200


def drift_sentences(site: Site) -> list[str]:
    """What has drifted since the calibration of the policy in force, in a sentence each; none while
    all is as it was, or too little is known."""
    drifted = (one for one in drift_signals(site) if one.drifted)
    return [in_words(one.code, told_of(one, domain_at(site))) for one in drifted]


def told_of(signal: DriftSignal, domain: Domain | None = None) -> dict[str, float | str]:
    """The values that stand in its sentence; a label by its title in the domain."""
    titles = {label.id: label.title for label in domain.labels} if domain else {}
    label = str(signal.values.get("label", ""))
    named = {"label": titles[label]} if label in titles else {}
    return {"p": signal.p_value} | signal.values | named


def in_words(code: str, values: Mapping[str, float | str]) -> str:
    """What has drifted, in the reader's language; a code that is unknown is shown as it is."""
    if code not in DRIFTED:
        return code
    label = values.get("label")
    named = {"label": _(label)} if isinstance(label, str) and label else {}
    return _(DRIFTED[code]).format(**{**values, **named})


def drift_stands(policy: Policy) -> bool:
    """Whether an alert on drift stands at the policy's site: not one test, but until it is over."""
    if policy.domain != policy.site.domain:
        return False
    alerts = Alert.objects.filter(site=policy.site_id, kind=AlertKind.DRIFT, ended_at=None)
    return alerts.filter(Q(policy=policy) | Q(policy=None)).exists()


def drift_signals(site: Site) -> list[DriftSignal]:
    """Scores, labels, the share deferred and texts since the calibration of the policy in force,
    each compared with before, and corrected for being four; none where no policy rests on a
    calibration."""
    policy = active_policy(site, site.domain)
    if policy is None or policy.calibration is None:
        return []
    since, rows = policy.calibration.created_at, _decisions(policy)
    judged = rows.filter(method=in_force_of(policy).method, score__isnull=False)
    earlier = judged.filter(decided_at__lte=since)
    scores, labels = _scores_and_labels(judged.filter(decided_at__gt=since))
    old_scores, old_labels = _before(policy, earlier)
    return together(
        [
            score_drift(old_scores, scores),
            label_drift(old_labels, labels),
            deferral_drift(_deferred_then(policy, earlier), _deferred_now(policy, rows, since)),
            embedding_drift(
                newest_descriptions(rows.filter(decided_at__lte=since), RECENT),
                newest_descriptions(rows.filter(decided_at__gt=since), RECENT),
            ),
        ]
    )


def _decisions(policy: Policy) -> QuerySet[Decision]:
    """Of the policy's own site, domain and ensemble, newest first."""
    assert policy.calibration is not None
    return Decision.objects.filter(
        case__site=policy.site,
        case__domain=policy.domain,
        run__ensemble=policy.calibration.ensemble,
    ).order_by("-pk")


def _before(policy: Policy, rows: QuerySet[Decision]) -> tuple[Floats, list[str]]:
    """Scores and labels up to the calibration; those of its window where the site has too few."""
    scores, labels = _scores_and_labels(rows)
    window = _window(policy) if len(scores) < MIN_CASES else None
    return window if window is not None else (scores, labels)


def _window(policy: Policy) -> tuple[Floats, list[str]] | None:
    """Scores and labels that the calibration was fitted on, if it kept them."""
    method, calibration = in_force_of(policy).method, policy.calibration
    window = fitted_of(calibration).window_ if calibration else None
    if window is None or method not in window.scores:
        return None
    return np.asarray(window.scores[method], dtype=np.float64), list(window.labels)


def _scores_and_labels(rows: QuerySet[Decision]) -> tuple[Floats, list[str]]:
    found = list(rows.values_list("score", "label")[:RECENT])
    return np.array([row[0] for row in found], dtype=np.float64), [row[1] for row in found]


def _deferred_then(policy: Policy, rows: QuerySet[Decision]) -> Bools:
    """What the threshold in force would have deferred of the cases up to the calibration.

    Like with like: only of those on which nothing but a policy had the say, as it is counted now.
    """
    threshold = in_force_of(policy).threshold
    if threshold is None:
        return np.zeros(0, dtype=bool)
    found = rows.values_list("score", "reasons")[:RECENT]
    own = [score for score, why in found if kinds(why) <= ITS_OWN | NOT_JUDGED]
    scores, window = np.array(own, dtype=np.float64), _window(policy)
    if len(scores) < MIN_CASES and window is not None:
        scores = window[0]
    deferred: Bools = ~(scores[np.isfinite(scores)] <= threshold)
    return deferred


def _deferred_now(policy: Policy, rows: QuerySet[Decision], since: datetime) -> Bools:
    """What this policy itself deferred since: not for a picture or a member, nor by learning."""
    found = rows.filter(policy=policy, decided_at__gt=since).values_list("outcome", "reasons")
    own = [outcome == Outcome.DEFER for outcome, why in found[:RECENT] if kinds(why) <= ITS_OWN]
    return np.array(own, dtype=bool)
