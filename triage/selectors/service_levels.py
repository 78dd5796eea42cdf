"""Whether people keep up with what is deferred to them."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from django.db.models import F, Min, Q, QuerySet
from django.utils import timezone

from triage.choices import WAITING, CaseStatus, ReviewAction
from triage.models import Case, Lease, Review, Site

DAYS = 7
NEWEST = 500


@dataclass(frozen=True)
class ServiceLevels:
    """How long cases wait at a site; hours from intake on.

    Attributes:
        waiting: cases that wait for a person, of which `overdue` should have been seen by now.
        oldest: hours that the oldest case without an answer has waited; None where there is none.
        expired: claims that ran out in the last seven days, with the case left unanswered.
        median, p90: until a person's first answer, over the newest 500; None before the first.
    """

    waiting: int
    overdue: int
    oldest: float | None
    expired: int
    answers: int
    median: float | None
    p90: float | None


def service_levels(site: Site, now: datetime | None = None) -> ServiceLevels:
    """As things stand now."""
    now = now or timezone.now()
    waiting = Case.objects.filter(site=site, repeats=None, waiting_due_at__isnull=False)
    hours = _hours_to_answer(site)
    return ServiceLevels(
        waiting=waiting.count(),
        overdue=waiting.filter(waiting_due_at__lt=now).count(),
        oldest=oldest_deferred(site, now),
        expired=_ran_out(site, now).count(),
        answers=len(hours),
        median=float(np.median(hours)) if hours else None,
        p90=float(np.quantile(hours, 0.9)) if hours else None,
    )


def oldest_deferred(site: Site, now: datetime) -> float | None:
    """Hours since the intake of the case that has waited longest for people, None without one.

    That is whatever waits in the queue, for a third reading too; what somebody holds; and what
    waits for a new photo that has not come. Of accepted cases that were opened by hand none is due.
    """
    held = Q(status=CaseStatus.IN_REVIEW, due_at__isnull=False)
    retaken = Q(status=CaseStatus.RETAKE, replaced_by=None, erased_at=None)
    open_cases = Case.objects.filter(
        Q(status__in=WAITING) | held | retaken, site=site, repeats=None
    )
    came = open_cases.aggregate(first=Min("created_at"))["first"]
    return None if came is None else (now - came) / timedelta(hours=1)


def _ran_out(site: Site, now: datetime) -> QuerySet[Lease]:
    """The sweep ends a hold after its time; whoever lets go, or answers, ends it before."""
    since = now - timedelta(days=DAYS)
    late = Lease.objects.filter(case__site=site, case__repeats=None, expires_at__gte=since)
    return late.filter(ended_at__gte=F("expires_at"))


def _hours_to_answer(site: Site) -> list[float]:
    """Of the newest answers, each case's first."""
    newest = Review.objects.filter(
        case__site=site, case__repeats=None, action=ReviewAction.ANSWER
    ).order_by("-pk")
    rows = newest.values_list("case_id", "created_at", "case__created_at")[:NEWEST]
    first = {case: (answered - came) / timedelta(hours=1) for case, answered, came in rows}
    return list(first.values())
