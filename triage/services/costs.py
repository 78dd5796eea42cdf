"""The expected cost in full: of each error, of a review, and of the reviewers' own errors."""

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.utils.translation import ngettext

from inference.uq.costs import Costs
from inference.uq.thresholds import by_cost
from triage.choices import PolicyMode
from triage.errors import Refused
from triage.models import Policy, Site
from triage.selectors.evidence import gather
from triage.selectors.modes import FEWEST_FOR_PAIRS
from triage.selectors.policy_state import newest_calibration
from triage.selectors.rules import rule_with
from triage.services.calibration import fallback_of, found_or_refused, no_threshold, rows_of
from triage.services.policies import propose_policy


@dataclass(frozen=True)
class CostsAsked:
    """What somebody says errors and reviews cost.

    Attributes:
        costs: of each error, in units of an ordinary one.
        review_cost: of looking at a case, in the same unit.
        expert_error: how often reviewers are wrong, 0 to below 1.
        said: how the review's cost came about (minutes, rate, price), to be remembered.
    """

    costs: Costs
    review_cost: float
    expert_error: float
    said: dict[str, float]


def price_of_review(*, minutes: float, hourly: float, error_price: float) -> float:
    """A review in units of an ordinary error, from what an hour and such an error cost in money."""
    return minutes / 60 * hourly / error_price


def propose_by_costs(
    *, site: Site, domain: str, method: str, asked: CostsAsked, actor: AbstractBaseUser
) -> Policy:
    """A draft at the threshold of the least expected cost.

    Raises:
        Refused: there is no calibration, too few labels for costs by pairs, or nothing pays for
            itself; it says what is missing.
    """
    calibration = found_or_refused(newest_calibration(site, domain))
    evidence = gather(site=site, domain=domain, ensemble=calibration.ensemble)
    rows = rows_of(calibration, method, evidence, look=1)
    if not asked.costs.is_uniform:
        _check_labels(int(evidence.labelled.sum()) if evidence else 0)
    choice = by_cost(
        rows.scores,
        rows.wrong,
        error_cost=asked.costs.of_errors(rows.said, rows.truth),
        review_cost=asked.review_cost,
        expert_error=asked.expert_error,
        expert_cost=asked.costs.of_reviewers(rows.truth),
        weights=rows.weights,
    )
    if not choice.qualifies:
        raise Refused(no_threshold(choice), "no_threshold")
    return propose_policy(
        site=site,
        domain=domain,
        calibration=calibration,
        rule=rule_with(calibration, method, choice.threshold),
        fallback=fallback_of(calibration, method, evidence),
        evidence=evidence,
        mode=PolicyMode.COST,
        choice=choice,
        actor=actor,
        details=_details(asked),
    )


def _check_labels(labels: int) -> None:
    """Below so many one case that happened to be labelled would set the threshold."""
    missing = FEWEST_FOR_PAIRS - labels
    if missing > 0:
        said = ngettext(
            "Costs that differ by label need {n} more label of this site's own. "
            "Until then let every error cost the same.",
            "Costs that differ by label need {n} more labels of this site's own. "
            "Until then let every error cost the same.",
            missing,
        )
        raise Refused(said.format(n=missing), "few_labels")


def _details(asked: CostsAsked) -> dict[str, Any]:
    details: dict[str, Any] = {"value": asked.review_cost, "expert_error": asked.expert_error}
    if asked.said:
        details["review"] = asked.said
    if not asked.costs.is_uniform:
        details["costs"] = asked.costs.to_dict()
    return details
