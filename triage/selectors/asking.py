"""Whom a household's case is to be asked of next."""

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import QuerySet

from triage.choices import WAITING, ReviewAction, Role, SiteKind
from triage.models import Case, Membership, Review
from triage.selectors.consents import has_ended
from triage.selectors.rows import latest_decision
from triage.selectors.words import domain_of

CRITICAL = 3


def is_critical(case: Case) -> bool:
    """Whether any member holds a label of the highest severity, or none could say anything.

    Such a case passes quiet hours and snoozes: a machine that knows nothing is no reason to sleep.
    """
    decision = latest_decision(case)
    severity = {label.id: label.severity for label in domain_of(case).labels}
    held = list(decision.run.hypotheses.values_list("label", flat=True)) if decision else []
    return not held or any(severity.get(label, CRITICAL) >= CRITICAL for label in held)


def next_person(case: Case, now: datetime) -> Membership | None:
    """Who is to be asked now; None where everybody has quiet hours or snoozes the camera.

    Nor is anybody while the household's consent has ended: its case waits for the site's staff.

    Each in turn; whoever passed it on not again, unless all did; after the last one the first.
    """
    people = [] if has_ended(case.site) else list(_caregivers(case))
    if not is_critical(case):
        people = [one for one in people if not (is_quiet(one, now) or _snoozes(one, case, now))]
    passed = set(_passed(case))
    people = [one for one in people if one.user_id not in passed] or people
    asked = list(case.asks.values_list("person_id", flat=True))
    times = {one.user_id: asked.count(one.user_id) for one in people}
    return min(people, key=lambda one: (times[one.user_id], one.turn, one.pk), default=None)


def is_due(case: Case, now: datetime) -> bool:
    """Whether nobody was asked yet, or whoever was asked last has been silent or passed it on."""
    last = case.asks.last()
    if last is None:
        return True
    if now - last.asked_at >= timedelta(minutes=settings.ALARM_ASK_MINUTES):
        return True
    since = case.reviews.filter(created_at__gte=last.asked_at, action=ReviewAction.PASS)
    return since.filter(reviewer_id=last.person_id).exists()


def overdue(now: datetime) -> QuerySet[Case]:
    """The waiting cases of all households about which nobody was asked lately."""
    lately = now - timedelta(minutes=settings.ALARM_ASK_MINUTES)
    waiting = Case.objects.filter(site__kind=SiteKind.HOUSEHOLD, status__in=WAITING)
    return waiting.exclude(asks__asked_at__gt=lately).order_by("due_at")


def is_quiet(membership: Membership, now: datetime) -> bool:
    """Whether it is that person's quiet hours, which may go over midnight, in the site's zone."""
    begin, end = membership.quiet_from, membership.quiet_until
    if begin is None or end is None:
        return False
    here: time = now.astimezone(ZoneInfo(membership.site.time_zone)).time()
    return begin <= here < end if begin <= end else here >= begin or here < end


def _snoozes(membership: Membership, case: Case, now: datetime) -> bool:
    return any(
        snooze.camera_id == case.camera_id and snooze.until > now
        for snooze in membership.snoozes.all()
    )


def _passed(case: Case) -> QuerySet[Review, int]:
    passed = case.reviews.filter(action=ReviewAction.PASS)
    return passed.values_list("reviewer_id", flat=True)


def _caregivers(case: Case) -> QuerySet[Membership]:
    people = Membership.objects.filter(site=case.site, role=Role.CAREGIVER, user__is_active=True)
    return people.select_related("site", "user").prefetch_related("snoozes")
