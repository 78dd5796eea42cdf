"""How a reviewer's day goes: what is done, how long the rest takes, when a break is due."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib.auth.models import AbstractBaseUser
from django.utils import timezone

from triage.choices import ReviewAction
from triage.models import Review, Site
from triage.selectors.readings import DECISIVE, standing

BREAK = timedelta(minutes=10)
LONG = timedelta(minutes=50)
NEWEST = 50


@dataclass(frozen=True)
class Pace:
    """One person's day at a site so far.

    Attributes:
        answered: answers since midnight at the site that were not taken back.
        seconds: median time from claim to answer of the newest 50; None before the first.
        minutes_left: what this person alone would need for all that waits; None before the first.
        tired: at it for 50 minutes without a break of 10.
    """

    answered: int
    seconds: float | None
    minutes_left: int | None
    tired: bool


def pace_of(*, site: Site, user: AbstractBaseUser, waiting: int) -> Pace:
    """`waiting`: cases that wait at the site."""
    here = timezone.localtime(timezone=ZoneInfo(site.time_zone))
    midnight = here.replace(hour=0, minute=0, second=0, microsecond=0)
    today = Review.objects.filter(reviewer_id=user.pk, case__site=site, created_at__gte=midnight)
    said = list(today.filter(action__in=DECISIVE).order_by("-created_at", "-pk"))
    rows = [one for one in said if one.action == ReviewAction.ANSWER]
    of_case: dict[UUID, list[Review]] = {}
    for one in said:
        of_case.setdefault(one.case_id, []).append(one)
    times = [one.seconds for one in rows[:NEWEST] if one.seconds is not None]
    usual = median(times) if times else None
    return Pace(
        answered=sum(len(standing(reviews)) for reviews in of_case.values()),
        seconds=usual,
        minutes_left=None if usual is None else max(1, round(usual * waiting / 60)),
        tired=_stretch([one.created_at for one in rows]) >= LONG,
    )


def _stretch(answered: list[datetime]) -> timedelta:
    """How long the answers, newest first, go back from now without a break."""
    now = last = timezone.now()
    for when in answered:
        if last - when > BREAK:
            break
        last = when
    return now - last
