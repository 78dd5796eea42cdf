"""Week by week: what the accepted cases got wrong, what was deferred, what people overrode."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from django.db.models import (
    BooleanField,
    Case,
    Count,
    ExpressionWrapper,
    F,
    IntegerField,
    Q,
    QuerySet,
    Value,
    When,
)

from inference.uq.audit import AcceptedError, ErrorSums, error_terms
from triage.choices import CaseStatus, Outcome
from triage.models import Decision, Policy, Site

WEEKS = 12
RECENT = 4
FEWEST_AUDITS = 20
FEWEST_ANSWERS = 10
ASKED = Q(outcome=Outcome.DEFER) & ~Q(label="") | Q(outcome=Outcome.ACCEPT, audited=True)
"""Of a Decision: it named a label, and a person was to give theirs with a known probability."""


@dataclass(frozen=True)
class Rate:
    """A share with its 95 % interval, from `n` labelled cases; unknown and [0, 1] without one."""

    estimate: float | None
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Week:
    """What a site's policies decided from Monday to Monday, in its own time.

    Attributes:
        error: of the accepted, corrected for how likely each was to be audited.
        answered: of the deferred, how many people have resolved.
        overridden: of the answered, how many with another label than the ensemble's.
    """

    start: date
    decided: int
    deferred: int
    answered: int
    overridden: int
    error: Rate

    @property
    def accepted(self) -> int:
        return self.decided - self.deferred

    @property
    def deferral(self) -> float | None:
        """The share deferred; None without a case."""
        return self.deferred / self.decided if self.decided else None

    @property
    def override(self) -> float | None:
        """The share overridden of what people resolved; None where that is too little to tell."""
        return self.overridden / self.answered if self.answered >= FEWEST_ANSWERS else None

    @property
    def enough_audits(self) -> bool:
        return self.error.n >= FEWEST_AUDITS

    @property
    def enough_answers(self) -> bool:
        return self.answered >= FEWEST_ANSWERS


@dataclass(frozen=True)
class OverTime:
    """The newest twelve weeks, oldest first, and the newest four of them as one.

    The last week is the present one. What no policy decided is left out: nothing was in force
    then that could go well or badly.
    """

    weeks: list[Week]
    recent: Week


@dataclass(frozen=True)
class _Answers:
    """So many answered cases that are alike in all that counts."""

    n: int
    audit: bool
    wrong: bool
    probability: float


def over_time(site: Site, now: datetime) -> OverTime:
    """A site's own domain, week by week until `now`."""
    starts = _mondays(site, now)
    decisions = decisions_of(site).filter(decided_at__gte=starts[0], decided_at__lte=now)
    totals, answers = _totals(decisions, starts), _answers(decisions, starts)
    weeks = [_week(start.date(), totals[at], answers[at]) for at, start in enumerate(starts)]
    newest = range(WEEKS - RECENT, WEEKS)
    summed = {one: sum(totals[at][one] for at in newest) for one in Outcome.values}
    recent = _week(weeks[-RECENT].start, summed, [one for at in newest for one in answers[at]])
    return OverTime(weeks, recent)


def decisions_of(site: Site) -> QuerySet[Decision]:
    """What the policies of a site's own domain decided."""
    policies = Policy.objects.filter(site=site, domain=site.domain)
    return Decision.objects.filter(policy__in=list(policies.values_list("pk", flat=True)))


def rate_of(error: AcceptedError) -> Rate:
    """The same without a NaN, which no JSON holds."""
    return Rate(error.estimate if error.audited else None, error.low, error.high, error.audited)


def _mondays(site: Site, now: datetime) -> list[datetime]:
    """When the newest weeks began, oldest first."""
    zone = ZoneInfo(site.time_zone)
    today = now.astimezone(zone).date()
    monday = today - timedelta(days=today.weekday())
    days = [monday - timedelta(weeks=back) for back in reversed(range(WEEKS))]
    return [datetime.combine(day, time(), zone) for day in days]


def _totals(decisions: QuerySet[Decision], starts: list[datetime]) -> dict[int, dict[str, int]]:
    """week -> outcome -> cases: in one query, of which each part is a range of an index."""
    counts = [
        decisions.filter(_within(starts, at))
        .values("outcome")
        .annotate(week=Value(at, IntegerField()), n=Count("pk"))
        for at in range(len(starts))
    ]
    found: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in counts[0].union(*counts[1:], all=True):
        found[row["week"]][row["outcome"]] = row["n"]
    return found


def _within(starts: list[datetime], at: int) -> Q:
    until = Q(decided_at__lt=starts[at + 1]) if at + 1 < len(starts) else Q()
    return Q(decided_at__gte=starts[at]) & until


def _answers(decisions: QuerySet[Decision], starts: list[datetime]) -> dict[int, list[_Answers]]:
    """week -> what people answered of its deferred and audited cases, counted."""
    newest_first = reversed(list(enumerate(starts)))
    rows = (
        decisions.filter(ASKED, case__status=CaseStatus.RESOLVED)
        .annotate(
            week=Case(*(When(decided_at__gte=when, then=Value(at)) for at, when in newest_first)),
            alike=ExpressionWrapper(Q(label=F("case__label")), BooleanField()),
        )
        .values_list("week", "outcome", "alike", "label_probability")
        .annotate(n=Count("pk"))
    )
    found: dict[int, list[_Answers]] = defaultdict(list)
    for week, outcome, alike, probability, n in rows:
        found[week].append(_Answers(n, outcome == Outcome.ACCEPT, not alike, probability))
    return found


def _week(start: date, totals: dict[str, int], answers: list[_Answers]) -> Week:
    accepted, deferred = totals.get(Outcome.ACCEPT, 0), totals.get(Outcome.DEFER, 0)
    answered = [one for one in answers if not one.audit]
    return Week(
        start=start,
        decided=accepted + deferred,
        deferred=deferred,
        answered=sum(one.n for one in answered),
        overridden=sum(one.n for one in answered if one.wrong),
        error=rate_of(_error(accepted, [one for one in answers if one.audit])),
    )


def _error(accepted: int, audits: list[_Answers]) -> AcceptedError:
    """Hajek's estimate, from counts of audits that are alike."""
    wrong = np.array([float(one.wrong) for one in audits])
    counts = np.array([one.n for one in audits], dtype=np.float64)
    terms = error_terms(wrong, np.array([one.probability for one in audits], dtype=np.float64))
    return ErrorSums(accepted, *(counts @ terms).tolist()).estimate()
