"""How a version does on live cases before it decides them all: in shadow, or as a canary."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from django.db.models import Count, F, Q, QuerySet

from inference.uq.audit import AcceptedError, accepted_error
from triage.choices import SETTLED, CaseStatus, Outcome, PolicyStatus
from triage.models import Decision, Policy, ShadowDecision
from triage.selectors.live import NEWEST, Live, live_numbers
from triage.selectors.words import domain_at, titles_of

FLIPS_AT_MOST = 50
DIFFERENT = ~Q(outcome=F("decision__outcome")) | (
    Q(outcome=Outcome.ACCEPT) & ~Q(label=F("decision__label"))
)


@dataclass(frozen=True)
class ShadowFlip:
    """A live case that the version in shadow would have decided otherwise.

    `label` (the shadow's) and `truth` are titles; "" while the case is open, or not labelled.
    """

    case: str
    number: str
    before: str
    to: str
    score: float | None
    label: str
    truth: str


@dataclass(frozen=True)
class ShadowView:
    """What a version in shadow would have done.

    Attributes:
        cases, different: how many it has seen since it went in, and how many it would have decided
            otherwise: accepted or deferred, or accepted with another label.
        deferral, in_force: the share deferred by it, and by what decided; None without a case.
        error: the error rate among those that it would have accepted, from people's answers
            weighted by how likely each was, with its 95 % interval.
        flips: the newest of the different ones.
    """

    since: datetime | None
    running: bool
    cases: int
    different: int
    deferral: float | None
    in_force: float | None
    error: AcceptedError
    flips: list[ShadowFlip]


def shadow_view(policy: Policy) -> ShadowView | None:
    """Of the present, or the last, time in shadow; None if it never was."""
    if policy.shadow_at is None:
        return None
    rows = ShadowDecision.objects.filter(
        policy=policy, decision__decided_at__gte=policy.shadow_at
    ).order_by("-pk")
    counts = rows.order_by().aggregate(
        cases=Count("pk"),
        different=Count("pk", filter=DIFFERENT),
        deferred=Count("pk", filter=Q(outcome=Outcome.DEFER)),
        deferred_in_force=Count("pk", filter=Q(decision__outcome=Outcome.DEFER)),
    )
    cases = counts["cases"]
    return ShadowView(
        since=policy.shadow_at,
        running=policy.status == PolicyStatus.SHADOW,
        cases=cases,
        different=counts["different"],
        deferral=counts["deferred"] / cases if cases else None,
        in_force=counts["deferred_in_force"] / cases if cases else None,
        error=_error(rows),
        flips=_flips(policy, rows),
    )


def _error(rows: QuerySet[ShadowDecision]) -> AcceptedError:
    table = list(
        rows.values_list(
            "outcome",
            "label",
            "decision__outcome",
            "decision__audited",
            "decision__label_probability",
            "decision__case__label",
            "decision__case__status",
        )[:NEWEST]
    )
    return accepted_error(
        np.array([float(row[1] != row[5]) for row in table]),
        np.array([row[0] == Outcome.ACCEPT for row in table], dtype=bool),
        np.array([row[6] == CaseStatus.RESOLVED and _was_asked(row) for row in table], dtype=bool),
        np.array([row[4] for row in table], dtype=np.float64),
    )


def _was_asked(row: tuple[object, ...]) -> bool:
    return bool(row[3]) or row[2] == Outcome.DEFER


def _flips(policy: Policy, rows: QuerySet[ShadowDecision]) -> list[ShadowFlip]:
    titles = titles_of(domain_at(policy.site, policy.domain))
    different = rows.filter(DIFFERENT).select_related("decision__case")[:FLIPS_AT_MOST]
    return [_flip(row, titles) for row in different]


def _flip(row: ShadowDecision, titles: dict[str, str]) -> ShadowFlip:
    case = row.decision.case
    return ShadowFlip(
        case=str(case.pk),
        number=case.number,
        before=row.decision.outcome,
        to=row.outcome,
        score=row.score,
        label=titles.get(row.label, "") if case.status in SETTLED else "",
        truth=titles.get(case.label, "") if case.status == CaseStatus.RESOLVED else "",
    )


@dataclass(frozen=True)
class Arm:
    """One side of a canary: the version, the share that is drawn for it, and what came of it."""

    policy: Policy
    share: float
    live: Live


@dataclass(frozen=True)
class CanaryView:
    """Both sides since the canary has decided its present share; at its last share, if it is over.

    Earlier steps are left out: at another share the same days weigh otherwise on the two sides.
    """

    since: datetime
    running: bool
    canary: Arm
    rest: Arm


def canary_view(policy: Policy) -> CanaryView | None:
    """The two arms of a canary, also of one that has ended; None if it never decided at its share
    and does not run."""
    if policy.canary_share is None or policy.before is None:
        return None
    share, running = policy.canary_share, policy.status == PolicyStatus.CANARY
    drawn = Decision.objects.filter(
        case__site=policy.site, case__domain=policy.domain, drawn_share__isnull=False
    )
    own = drawn.filter(policy=policy).order_by("pk").values_list("decided_at", flat=True)
    began = policy.canary_at or (policy.published_at if running else own.first())
    if began is None:
        return None
    until = Q() if running else Q(decided_at__lte=own.last() or began)
    both = drawn.filter(until, decided_at__gte=began)
    canary = both.filter(policy=policy, drawn_share=share)
    rest = both.exclude(policy=policy).filter(drawn_share=1 - share)
    first = (canary | rest).order_by("pk").values_list("decided_at", flat=True).first()
    if first is None and not running:
        return None
    return CanaryView(
        since=first or began,
        running=running,
        canary=Arm(policy, share, live_numbers(canary)),
        rest=Arm(policy.before, 1 - share, live_numbers(rest)),
    )
