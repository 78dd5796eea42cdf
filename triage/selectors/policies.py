"""What an administrator sees of the policies."""

import math
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy

from inference.ensemble import current_signature
from inference.uq.audit import audits_needed
from inference.uq.costs import Costs
from inference.uq.promotion import LEARNED
from triage.choices import Outcome, PolicyMode, PolicyStatus, SiteKind
from triage.models import Decision, GuardRail, Policy, Site
from triage.selectors.aggregators import AggregatorView, aggregator_view
from triage.selectors.checkup import found_at
from triage.selectors.drift import drift_sentences, drift_stands
from triage.selectors.evidence import labels_of
from triage.selectors.experts import DoubleReading, ExpertRow, double_reading, expert_rows
from triage.selectors.guard import Watch, is_watched, newest_guard_rail, told, watch
from triage.selectors.learning import SourceRow, source_rows
from triage.selectors.live import live_numbers
from triage.selectors.modes import ModeRow, mode_rows
from triage.selectors.neighbours import AuditError, audit_errors
from triage.selectors.policy_history import PolicyEvent, policy_history
from triage.selectors.policy_state import active_policy, new_labels, why_not_publish
from triage.selectors.replays import shown_replay
from triage.selectors.rollout import CanaryView, ShadowView, canary_view, shadow_view
from triage.selectors.weeks import RECENT as WEEKS_TOLD
from triage.selectors.weeks import Rate
from triage.selectors.words import domain_at, titles_of

RECENT = 200
NEWEST_PAST = 5
PRECISION = 0.05
VOID = _lazy(
    "Its promise is void at present: recent cases differ from those it was made on. "
    "Defer everything, or refit."
)


@dataclass(frozen=True)
class AuditView:
    """The error rate of what the version in force accepted: None where no audit was answered yet.

    `more_needed` audits would bring its interval to PRECISION on either side. `recent` is that of
    all versions in the newest `weeks` weeks, as of the last checkup.
    """

    version: int | None
    rate: float | None
    low: float
    high: float
    audited: int
    accepted: int
    open: int
    more_needed: int
    recent: Rate
    weeks: int = WEEKS_TOLD


@dataclass(frozen=True)
class PolicyRow:
    policy: Policy
    sentence: str
    may_publish: bool
    why_not: str


@dataclass(frozen=True)
class Trial:
    """A version that is tried on live cases, in shadow or as a canary."""

    row: PolicyRow
    shadow: ShadowView | None
    canary: CanaryView | None


@dataclass(frozen=True)
class PoliciesPage:
    active: PolicyRow | None
    drafts: list[PolicyRow]
    trials: list[Trial]
    guard_rail: GuardRail | None
    past: list[PolicyRow]
    audit: AuditView
    new_labels: int
    refit_every: int
    labels: int
    deferral: float | None
    decided: int
    drift: list[str]
    sources: list[SourceRow]
    aggregator: AggregatorView
    audit_errors: list[AuditError]
    experts: list[ExpertRow]
    double_reading: DoubleReading | None
    modes: list[ModeRow]

    @property
    def newest_past(self) -> list[PolicyRow]:
        return self.past[:NEWEST_PAST]

    @property
    def older_past(self) -> list[PolicyRow]:
        return self.past[NEWEST_PAST:]


@dataclass(frozen=True)
class PolicyPage:
    row: PolicyRow
    policy: Policy
    active: Policy | None
    replay: dict[str, Any]
    flips: list[dict[str, Any]]
    may_publish: bool
    why_not: str
    sentence: str
    caveat: str
    shadow: ShadowView | None
    canary: CanaryView | None
    history: list[PolicyEvent]
    watch: Watch | None
    guard_rails: list[GuardRail]


def policies_page(*, site: Site, user: AbstractBaseUser) -> PoliciesPage:
    """Everything of a site's own domain."""
    policies = Policy.objects.filter(site=site, domain=site.domain).select_related(
        "calibration", "proposed_by", "published_by", "site", "before"
    )
    drift = drift_sentences(site)
    by_status: dict[str, list[PolicyRow]] = {status: [] for status in PolicyStatus.values}
    for policy in policies:
        by_status[policy.status].append(policy_row(policy, user))
    decided = list(
        Decision.objects.filter(case__site=site, case__domain=site.domain)
        .order_by("-pk")
        .values_list("outcome", flat=True)[:RECENT]
    )
    deferred = sum(outcome == Outcome.DEFER for outcome in decided)
    active = next(iter(by_status[PolicyStatus.ACTIVE]), None)
    return PoliciesPage(
        active=active,
        drafts=by_status[PolicyStatus.DRAFT],
        trials=[
            _trial(row) for row in by_status[PolicyStatus.CANARY] + by_status[PolicyStatus.SHADOW]
        ],
        guard_rail=newest_guard_rail(site),
        past=by_status[PolicyStatus.RETIRED] + by_status[PolicyStatus.DROPPED],
        audit=_audit(site, active.policy if active else None),
        new_labels=new_labels(site=site, domain=site.domain),
        refit_every=settings.ALARM_REFIT_EVERY,
        labels=labels_of(
            site=site, domain=site.domain, ensemble=current_signature(domain_at(site))
        ),
        deferral=deferred / len(decided) if decided else None,
        decided=len(decided),
        drift=drift,
        sources=source_rows(site),
        aggregator=aggregator_view(site),
        audit_errors=audit_errors(site),
        experts=expert_rows(site),
        double_reading=double_reading(site) if site.kind == SiteKind.CLINIC else None,
        modes=mode_rows(site),
    )


def policy_row(policy: Policy, user: AbstractBaseUser) -> PolicyRow:
    why_not = why_not_publish(policy, user)
    return PolicyRow(policy, in_a_sentence(policy), not why_not, why_not)


def policy_page(*, policy: Policy, user: AbstractBaseUser) -> PolicyPage:
    row = policy_row(policy, user)
    titles = titles_of(domain_at(policy.site, policy.domain))
    replay = shown_replay(policy)
    return PolicyPage(
        row=row,
        policy=policy,
        active=active_policy(policy.site, policy.domain),
        replay=replay,
        flips=[
            {
                **flip,
                "number": flip["case"].replace("-", "")[:8],
                "label": titles.get(flip["label"], flip["label"]),
                "truth": titles.get(flip["truth"], flip["truth"]),
            }
            for flip in replay.get("flips", [])
        ],
        may_publish=row.may_publish,
        why_not=row.why_not,
        sentence=row.sentence,
        caveat=_caveat(policy),
        shadow=shadow_view(policy),
        canary=canary_view(policy),
        history=policy_history(policy),
        watch=watch(policy) if is_watched(policy) else None,
        guard_rails=[told(row) for row in policy.guard_rails.order_by("pk")],
    )


def _trial(row: PolicyRow) -> Trial:
    canary = row.policy.status == PolicyStatus.CANARY
    return Trial(
        row=row,
        shadow=None if canary else shadow_view(row.policy),
        canary=canary_view(row.policy) if canary else None,
    )


def in_a_sentence(policy: Policy) -> str:
    """What a policy does and what it promises; where recent cases are others, that it is void."""
    if _is_void(policy):
        return str(VOID)
    if policy.method == LEARNED and policy.mode != PolicyMode.DEFER_ALL:
        return _("The learned aggregator decides on the label. ") + _promise(policy)
    return _promise(policy)


def _is_void(policy: Policy) -> bool:
    in_force = policy.status == PolicyStatus.ACTIVE
    return in_force and policy.mode == PolicyMode.GUARANTEED and drift_stands(policy)


def _promise(policy: Policy) -> str:
    if policy.mode == PolicyMode.DEFER_ALL:
        return _("Every case goes to a person.")
    if policy.threshold is None:
        return _("No threshold pays for itself with the labels so far: every case is deferred.")
    value = policy.choice.get("value", 0)
    if policy.mode == PolicyMode.GUARANTEED:
        sure = policy.choice.get("confidence", 0)
        return _(
            "At most {risk:.0%} wrong among the accepted, with {sure:.0%} confidence, as long as "
            "tomorrow resembles the labelled cases."
        ).format(risk=value, sure=sure)
    if policy.mode == PolicyMode.COST and policy.choice.get("expert_error") is not None:
        return _of_costs(policy)
    if policy.mode == PolicyMode.COST:
        needed = policy.choice.get("guarantee_needs")
        more = _(" A guarantee needs about {n} more labels.").format(n=needed) if needed else ""
        return (
            _(
                "The least cost when a review costs {cost:.0%} of an error; "
                "no error rate is promised."
            ).format(cost=value)
            + more
        )
    if policy.mode == PolicyMode.BY_HAND:
        return _(
            "Accepts up to the score {threshold:.3f}, set by hand; no error rate is promised."
        ).format(threshold=policy.threshold)
    starting = (
        _(" It is the one that every new site starts with.")
        if policy.choice.get("starting")
        else ""
    )
    return (
        _("Defers about the {share:.0%} least sure; no error rate is promised.").format(share=value)
        + starting
    )


def _of_costs(policy: Policy) -> str:
    """A threshold by costs that somebody has set out in full."""
    said = _("The least cost when a review costs {cost:.1%} of an ordinary error.").format(
        cost=policy.choice["value"]
    )
    if stored := policy.choice.get("costs"):
        truth, decided, cost = Costs.from_dict(stored).dearest()
        titles = titles_of(domain_at(policy.site, policy.domain))
        dearest = _(" The dearest, {truth} taken for {decided}, counts {cost:g}.")
        said += dearest.format(
            truth=titles.get(truth, truth), decided=titles.get(decided, decided), cost=cost
        )
    if error := policy.choice["expert_error"]:
        said += _(" Reviewers are taken to be wrong on {error:.1%}.").format(error=error)
    return said + _(" No error rate is promised.")


def _caveat(policy: Policy) -> str:
    """What to keep in mind when reading the replay, in sentences."""
    return " ".join(filter(None, (_caveat_of_labels(policy), _caveat_of_learning(policy))))


def _caveat_of_learning(policy: Policy) -> str:
    learning = policy.replay.get("learning", 0)
    if not learning:
        return ""
    return _(
        "{n} of these cases came while their camera or site was learning: "
        "both policies defer them, whatever the threshold."
    ).format(n=learning)


def _caveat_of_labels(policy: Policy) -> str:
    labelled = policy.replay.get("labelled", 0)
    if policy.calibration and policy.calibration.window.get("own"):
        return _("It has learned from these very cases: expect a little less of it on new ones.")
    if not policy.replay.get("n"):
        return _("There were no past cases to replay when this was proposed.")
    if labelled < 50:
        return _(
            "Only {n} of these cases have an expert's label: read the accuracy with its interval."
        ).format(n=labelled)
    return ""


def _audit(site: Site, policy: Policy | None) -> AuditView:
    decided = Decision.objects.filter(policy=policy) if policy else Decision.objects.none()
    found = live_numbers(decided)
    error = found.error
    rate = None if math.isnan(error.estimate) else error.estimate
    needed = 0 if rate is None else audits_needed(rate, PRECISION)
    return AuditView(
        version=policy.version if policy else None,
        rate=rate,
        low=error.low,
        high=error.high,
        audited=error.audited,
        accepted=found.accepted,
        open=found.open,
        more_needed=max(0, needed - error.audited),
        recent=found_at(site).over_time.recent.error,
    )
