"""Vote or learned aggregator: which decides at a site, why, and how the other would have done."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from inference.uq.drift import DriftSignal, embedding_drift
from inference.uq.promotion import LEARNED, WHY, Comparison, compare
from triage.models import Calibration, Decision, Policy, Site
from triage.selectors.descriptions import newest_descriptions
from triage.selectors.drift import drift_stands, in_words, told_of
from triage.selectors.evidence import LABELLED
from triage.selectors.policy_state import active_policy

# The newest labelled cases that a learned aggregator has to be ahead on, to go on deciding, and how
# many labels it takes to judge: with fewer differences than this, one unlucky day would decide.
WATCHED = 200
FEWEST_WATCHED = 30
FEWEST_APART = 5
BEHIND = "behind"
# Cases of each side whose texts are compared.
NEWEST = 300


@dataclass(frozen=True)
class AggregatorView:
    """`learned`: it decides. `sentence` says why, `shadow` how the two compare since the fit."""

    learned: bool
    withdrawn: bool
    sentence: str
    shadow: str


def aggregator_view(site: Site) -> AggregatorView:
    """Who decides on the label at a site, in words."""
    policy = active_policy(site, site.domain)
    newest = Calibration.objects.filter(site=site, domain=site.domain).order_by("-pk").first()
    told = newest.window.get("learned", {}) if newest else {}
    learned = bool(policy and policy.method == LEARNED)
    withdrawal = getattr(policy, "withdrawal", None) if learned else None
    if withdrawal:
        sentence = withdrawal_in_words(withdrawal.evidence, withdrawal.reason)
    elif learned:
        sentence = _("The learned aggregator decides: policy {version} says so.").format(
            version=policy.version if policy else ""
        )
    else:
        sentence = _("The vote decides.")
    if why := choice_in_words(told):
        sentence += " " + _("At the last refit: {why}").format(why=why)
    return AggregatorView(
        learned=learned and withdrawal is None,
        withdrawn=withdrawal is not None,
        sentence=sentence,
        shadow=_in_a_sentence(since_fit(policy)) if policy else "",
    )


def choice_in_words(told: dict[str, Any]) -> str:
    """Why vote or aggregator was chosen at a refit; an old one has kept the words themselves."""
    if told.get("code") not in WHY:
        return str(told.get("why", ""))
    drift = told.get("drift")
    said = in_words(drift["code"], drift["values"]) if drift else ""
    return _(WHY[told["code"]]).format(**told.get("comparison", {}) | {"drift": said})


def since_fit(policy: Policy) -> Comparison:
    """Vote and learned aggregator on the newest labelled cases since the aggregator was fitted.

    Both opinions were written down when the case was decided, before anybody had answered it.
    """
    rows = _opinions(policy).filter(LABELLED).order_by("-pk")
    table = list(
        rows.values_list("run__prediction", "learned_label", "case__label", "label_probability")[
            :WATCHED
        ]
    )
    return compare(
        np.array([float(row[0] != row[2]) for row in table]),
        np.array([float(row[1] != row[2]) for row in table]),
        np.array([1 / row[3] for row in table]),
    )


def _opinions(policy: Policy) -> QuerySet[Decision]:
    """Decisions with an opinion of the policy's own aggregator."""
    return Decision.objects.filter(
        policy__calibration=policy.calibration, case__site=policy.site
    ).exclude(learned_label="")


def why_withdraw(policy: Policy) -> dict[str, Any] | None:
    """Why a learned aggregator in force should no longer decide, as it is kept; None while it may.

    A withdrawal is for good, and this is asked after every answer. So one test of the texts is not
    enough: an alert on drift has to stand as well, which holds for several tests at once.
    """
    found = since_fit(policy)
    apart = found.wins + found.losses
    if found.cases >= FEWEST_WATCHED and apart >= FEWEST_APART and not found.ahead:
        return found.to_dict() | {"why": BEHIND}
    if not drift_stands(policy):
        return None
    drift = texts_drift(policy)
    if drift is None or not drift.drifted:
        return None
    return found.to_dict() | {"why": drift.code, "drift": told_of(drift)}


def withdrawal_in_words(evidence: dict[str, Any], reason: str) -> str:
    """Why it was withdrawn; an old withdrawal has kept the words themselves, as its `reason`."""
    why = evidence.get("why")
    if why is None:
        return reason
    if why != BEHIND:
        said = _("The learned aggregator was withdrawn, the vote decides. {drift}")
        return said.format(drift=in_words(why, evidence["drift"]))
    said = _(
        "The learned aggregator was withdrawn, the vote decides: of the last {n} cases that "
        "people checked, it was right {gained:.0f} times where the vote was wrong, and wrong "
        "{lost:.0f} times where the vote was right."
    )
    return said.format(n=evidence["cases"], gained=evidence["wins"], lost=evidence["losses"])


def texts_drift(policy: Policy) -> DriftSignal | None:
    """Whether cases since the fit are described as those were that it learned from."""
    calibration = policy.calibration
    if calibration is None:
        return None
    rows = Decision.objects.filter(
        case__site=policy.site, case__domain=policy.domain, run__ensemble=calibration.ensemble
    ).order_by("-pk")
    before = rows.filter(pk__in=calibration.window.get("learned_from", []))
    after = rows.filter(decided_at__gt=calibration.created_at)
    return embedding_drift(newest_descriptions(before, NEWEST), newest_descriptions(after, NEWEST))


def _in_a_sentence(found: Comparison) -> str:
    if not found.cases:
        return ""
    return _(
        "Of {n} cases checked since it was fitted, the learned aggregator was right {gained:.0f} "
        "times where the vote was wrong, and wrong {lost:.0f} times where the vote was right."
    ).format(n=found.cases, gained=found.wins, lost=found.losses)
