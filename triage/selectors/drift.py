"""In which ways a site's cases no longer resemble those that its policy was made on."""

from datetime import datetime

import numpy as np
from django.db.models import QuerySet

from inference.uq.drift import (
    MIN_CASES,
    DriftSignal,
    deferral_drift,
    embedding_drift,
    label_drift,
    score_drift,
)
from inference.uq.types import Bools, Floats
from triage.choices import Outcome
from triage.models import Decision, Policy, Site
from triage.reasons import CONSENT, LEARNING, kinds
from triage.selectors.descriptions import newest_descriptions
from triage.selectors.fitted import fitted_of
from triage.selectors.policy_state import active_policy
from triage.selectors.rules import in_force_of

RECENT = 200


def drift_sentences(site: Site) -> list[str]:
    """What has drifted since the calibration of the policy in force, in a sentence each; none while
    all is as it was, or too little is known."""
    return [signal.sentence for signal in drift_signals(site) if signal.drifted]


def drift_signals(site: Site) -> list[DriftSignal]:
    """Scores, labels, the share deferred and texts since the calibration of the policy in force,
    each compared with before; none where no policy rests on a calibration."""
    policy = active_policy(site, site.domain)
    if policy is None or policy.calibration is None:
        return []
    since, rows = policy.calibration.created_at, _decisions(policy)
    judged = rows.filter(method=in_force_of(policy).method, score__isnull=False)
    scores, labels = _scores_and_labels(judged.filter(decided_at__gt=since))
    old_scores, old_labels = _before(policy, judged.filter(decided_at__lte=since))
    return [
        score_drift(old_scores, scores),
        label_drift(old_labels, labels),
        deferral_drift(_deferred_then(policy, old_scores), _deferred_now(policy, rows, since)),
        embedding_drift(
            newest_descriptions(rows.filter(decided_at__lte=since), RECENT),
            newest_descriptions(rows.filter(decided_at__gt=since), RECENT),
        ),
    ]


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
    method, calibration = in_force_of(policy).method, policy.calibration
    window = fitted_of(calibration).window_ if calibration else None
    if len(scores) < MIN_CASES and window is not None and method in window.scores:
        return np.asarray(window.scores[method], dtype=np.float64), list(window.labels)
    return scores, labels


def _scores_and_labels(rows: QuerySet[Decision]) -> tuple[Floats, list[str]]:
    found = list(rows.values_list("score", "label")[:RECENT])
    return np.array([row[0] for row in found], dtype=np.float64), [row[1] for row in found]


def _deferred_then(policy: Policy, scores: Floats) -> Bools:
    """What the threshold in force would have deferred of the cases up to the calibration."""
    threshold = in_force_of(policy).threshold
    if threshold is None:
        return np.zeros(0, dtype=bool)
    deferred: Bools = ~(scores[np.isfinite(scores)] <= threshold)
    return deferred


def _deferred_now(policy: Policy, rows: QuerySet[Decision], since: datetime) -> Bools:
    """What this policy deferred since, whatever the reason, but for cameras that were learning."""
    found = rows.filter(policy=policy, decided_at__gt=since).values_list("outcome", "reasons")
    return np.array(
        [
            outcome == Outcome.DEFER
            for outcome, why in found[:RECENT]
            if not kinds(why) & (LEARNING | CONSENT)
        ],
        dtype=bool,
    )
