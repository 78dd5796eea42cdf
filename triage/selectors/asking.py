"""Whom a household's case is to be asked of next."""

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import QuerySet

from triage.choices import WAITING, ReviewAction, Role, SiteKind
from triage.models import Ask, Case, Membership, Review
from triage.selectors.consents import has_ended
from triage.selectors.rows import latest_decision
from triage.selectors.words import domain_of

CRITICAL = 3
LONGEST_WAIT = timedelta(hours=4)


def is_critical(case: Case) -> bool:
    """Whether any member holds a label of the highest severity, or none could say anything.

    Such a case passes quiet hours and snoozes: a machine that knows nothing is no reason to sleep.
    """
    decision = latest_decision(case)
    severity = {label.id: label.severity for label in domain_of(case).labels}
    held = list(decision.run.hypotheses.values_list("label", flat=True)) if decision else []
    return not held or any(severity.get(label, CRITICAL) >= CRITICAL for label in held)


def next_person(case: Case, now: datetime) -> Membership | None:
    """Who is to be asked now; None where nobody can be.

    Quiet hours, a snooze and another open ask keep a person from being asked of what is not
    critical, and a household whose consent has ended is not asked at all: its case waits for the
    site's staff. Each in turn, whoever passed it on after the others; after the last one the first.
    """
    busy = _busy(case, now)
    free = (one for one, since in _turns(case, now) if since <= now and one.user_id not in busy)
    return next(free, None)


def asked_again_at(case: Case, now: datetime) -> datetime | None:
    """When somebody is asked again at the latest; None where somebody else's ask comes first."""
    turns, busy = _turns(case, now), _busy(case, now)
    if not turns or any(one.user_id in busy and since <= now for one, since in turns):
        return None
    return max(_due_from(case, now), min(since for _one, since in turns))


def is_due(case: Case, now: datetime) -> bool:
    """Whether nobody was asked yet, or whoever was asked last was silent, passed or snoozes it."""
    return _due_from(case, now) <= now


def open_ask(case: Case, now: datetime) -> Ask | None:
    """Whose turn it is; None before the first, and once that person has passed, snoozed or left."""
    last = max(case.asks.all(), key=lambda ask: (ask.asked_at, ask.pk), default=None)
    if last is None or any(
        one.reviewer_id == last.person_id and one.created_at >= last.asked_at
        for one in _passes(case)
    ):
        return None
    person = _caregivers(case).filter(user=last.person_id).first()
    if person is None:
        return None
    snoozed = any(
        row.camera_id == case.camera_id and row.until > now for row in person.snoozes.all()
    )
    return None if snoozed and not is_critical(case) else last


def passed_by_all(case: Case) -> bool:
    """Whether every caregiver has said that they cannot tell."""
    passed = {one.reviewer_id for one in _passes(case)}
    return bool(passed) and {one.user_id for one in _caregivers(case)} <= passed


def overdue(now: datetime) -> list[Case]:
    """The waiting cases of all households about which it is time to ask somebody."""
    waiting = Case.objects.filter(site__kind=SiteKind.HOUSEHOLD, status__in=WAITING)
    found = waiting.select_related("site").prefetch_related("asks", "reviews").order_by("due_at")
    return [case for case in found if is_due(case, now)]


def is_quiet(membership: Membership, now: datetime) -> bool:
    """Whether it is that person's quiet hours, which may go over midnight, in the site's zone."""
    begin, end = membership.quiet_from, membership.quiet_until
    if begin is None or end is None:
        return False
    here: time = now.astimezone(ZoneInfo(membership.site.time_zone)).time()
    return begin <= here < end if begin <= end else here >= begin or here < end


def _due_from(case: Case, now: datetime) -> datetime:
    ask = open_ask(case, now)
    return ask.asked_at + _patience(case, ask) if ask else now


def _patience(case: Case, ask: Ask) -> timedelta:
    """How long an answer is waited for: with each ask of a person twice as long, to a limit."""
    least = timedelta(minutes=settings.ALARM_ASK_MINUTES)
    before = sum(one.person_id == ask.person_id for one in case.asks.all()) - 1
    if not before or is_critical(case):
        return least
    return min(least * (1 << min(before, 16)), max(least, LONGEST_WAIT))


def _turns(case: Case, now: datetime) -> list[tuple[Membership, datetime]]:
    """The caregivers in the order in which they are asked, each with since when they may be."""
    people = [] if has_ended(case.site) else list(_caregivers(case))
    critical = is_critical(case)
    passed = {one.reviewer_id: one.created_at for one in _passes(case)}
    asked = [ask.person_id for ask in case.asks.all()]
    people.sort(key=lambda one: (one.user_id in passed, asked.count(one.user_id), one.turn, one.pk))
    return [(one, _free_from(one, case, critical, passed.get(one.user_id), now)) for one in people]


def _free_from(
    one: Membership, case: Case, critical: bool, passed_at: datetime | None, now: datetime
) -> datetime:
    """Since when a person may be asked; `now` where nothing is in the way."""
    least = timedelta(minutes=settings.ALARM_ASK_MINUTES)
    rest = least if critical else max(least, LONGEST_WAIT)
    since = max(now, passed_at + rest) if passed_at else now
    if critical:
        return since
    snoozed = [row.until for row in one.snoozes.all() if row.camera_id == case.camera_id]
    since = max([since, *snoozed])
    return _quiet_until(one, since) if is_quiet(one, since) else since


def _quiet_until(one: Membership, since: datetime) -> datetime:
    """When the quiet hours end that are on at `since`."""
    zone = ZoneInfo(one.site.time_zone)
    here = since.astimezone(zone)
    end = datetime.combine(here.date(), one.quiet_until or time.min, zone)
    return end if end > here else end + timedelta(days=1)


def _busy(case: Case, now: datetime) -> set[int]:
    """Who is asked about another case, which keeps them from being asked of one not critical.

    An ask counts for as long as an answer is waited for: else two cases whose last ask is of the
    same person would block each other for ever.
    """
    if is_critical(case):
        return set()
    others = Case.objects.filter(site=case.site_id, status__in=WAITING, asks__isnull=False)
    others = others.exclude(pk=case.pk).select_related("site").distinct()
    asks = [
        (other, open_ask(other, now))
        for other in others.prefetch_related("asks", "reviews")
        if not is_critical(other)
    ]
    return {
        ask.person_id for other, ask in asks if ask and ask.asked_at + _patience(other, ask) > now
    }


def _passes(case: Case) -> list[Review]:
    """Oldest first."""
    passes = [one for one in case.reviews.all() if one.action == ReviewAction.PASS]
    return sorted(passes, key=lambda one: one.created_at)


def _caregivers(case: Case) -> QuerySet[Membership]:
    people = Membership.objects.filter(site=case.site, role=Role.CAREGIVER, user__is_active=True)
    return people.select_related("site", "user").prefetch_related("snoozes")
