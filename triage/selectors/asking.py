"""Whom a household's case is to be asked of next."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import cached_property
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Max

from triage.choices import WAITING, ReviewAction, Role, SiteKind
from triage.models import Ask, AuditEvent, Case, Membership, Review, Site
from triage.selectors.consents import has_ended
from triage.selectors.rows import latest_decision
from triage.selectors.words import domain_of

CRITICAL = 3
CALLED = "called everybody"
LONGEST_WAIT = timedelta(hours=4)
LONGEST_REST = timedelta(minutes=30)
# What is read of a case to know whom to ask of it; prefetched, many cases take no more queries.
READ = ("asks", "reviews", "decisions__run__hypotheses")
NEVER, LONG_AGO = datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Held:
    """Somebody is asked about a case, and an answer is still waited for."""

    case_id: UUID
    person_id: int
    critical: bool


@dataclass
class Home:
    """A household as it is at `now`, read once however many of its cases are looked at."""

    site: Site
    now: datetime

    @cached_property
    def people(self) -> list[Membership]:
        found = Membership.objects.filter(site=self.site, role=Role.CAREGIVER, user__is_active=True)
        return list(found.select_related("site", "user").prefetch_related("snoozes"))

    @cached_property
    def shut(self) -> bool:
        """Whether the caregivers may see nothing, and are asked nothing."""
        return has_ended(self.site)

    @cached_property
    def waiting(self) -> list[Case]:
        """What was asked the fewest times comes first, the most urgent of it before the rest."""
        found = Case.objects.filter(site=self.site, status__in=WAITING).select_related("site")
        return sorted(
            found.prefetch_related(*READ),
            key=lambda case: (len(case.asks.all()), case.due_at or NEVER),
        )

    @cached_property
    def held(self) -> list[Held]:
        asks = ((case, open_ask(case, self.now, self)) for case in self.waiting)
        return [
            Held(case.pk, ask.person_id, is_critical(case))
            for case, ask in asks
            if ask and ask.asked_at + _patience(case, ask) > self.now
        ]

    @cached_property
    def calls(self) -> dict[UUID, datetime]:
        """Case -> when all were called about it, since the oldest of what waits has come."""
        since = min((case.created_at for case in self.waiting), default=self.now)
        calls = AuditEvent.objects.filter(site=self.site, verb=CALLED, created_at__gte=since)
        return dict(calls.order_by("created_at").values_list("case", "created_at"))

    @cached_property
    def called_at(self) -> datetime:
        """The last of them."""
        return max(self.calls.values(), default=LONG_AGO)

    @cached_property
    def answered_at(self) -> datetime:
        """When one of the caregivers last said anything; that somebody cannot tell is no answer."""
        said = Review.objects.filter(case__site=self.site).exclude(action=ReviewAction.PASS)
        theirs = said.filter(reviewer__in=[one.user_id for one in self.people])
        return theirs.aggregate(at=Max("created_at"))["at"] or LONG_AGO

    def was_called(self, case: Case) -> bool:
        """Whether all were called about a case since its last answer was taken back, if any was."""
        back = [one.created_at for one in case.reviews.all() if one.action == ReviewAction.UNDO]
        return self.calls.get(case.pk, LONG_AGO) > max(back, default=LONG_AGO)

    @cached_property
    def oldest(self) -> Case | None:
        """The critical case that has waited longest without a call; where nobody has answered since
        the last one, of those that came after it."""
        since = self.called_at if self.answered_at <= self.called_at else LONG_AGO
        uncalled = (case for case in self.waiting if not self.was_called(case))
        found = (case for case in uncalled if case.created_at > since and is_critical(case))
        return min(found, key=lambda case: (case.created_at, case.pk), default=None)

    @cached_property
    def silent(self) -> set[int]:
        """Who was asked in vain of anything critical since the last answer and the last call."""
        since = max(self.answered_at, self.called_at)
        return {
            ask.person_id
            for case in filter(is_critical, self.waiting)
            for ask in case.asks.all()
            if ask.asked_at >= since and ask.asked_at + _patience(case, ask) <= self.now
        }

    def busy(self, case: Case) -> set[int]:
        """Who is asked of another case now, critical like this one or harmless like this one.

        An ask counts for as long as an answer is waited for: else two cases whose last ask is of
        the same person would block each other for ever.
        """
        critical = is_critical(case)
        others = (one for one in self.held if one.case_id != case.pk)
        return {one.person_id for one in others if one.critical == critical}


def homes(now: datetime) -> list[Home]:
    """The households where something waits."""
    waiting = Case.objects.filter(site__kind=SiteKind.HOUSEHOLD, status__in=WAITING)
    sites = Site.objects.filter(pk__in=waiting.values("site")).order_by("pk")
    return [Home(site, now) for site in sites]


def is_critical(case: Case) -> bool:
    """Whether any member holds a label of the highest severity, or none could say anything.

    Such a case passes quiet hours and snoozes: a machine that knows nothing is no reason to sleep.
    """
    decision = latest_decision(case)
    severity = {label.id: label.severity for label in domain_of(case).labels}
    held = [row.label for row in decision.run.hypotheses.all()] if decision else []
    return not held or any(severity.get(label, CRITICAL) >= CRITICAL for label in held)


def next_person(case: Case, now: datetime, home: Home | None = None) -> Membership | None:
    """Who is to be asked now; None where nobody can be.

    Quiet hours and a snooze keep a person from being asked of what is not critical. Nobody is asked
    of two cases at once: one critical and one harmless at most. A household whose consent has ended
    is not asked at all: its case waits for the site's staff. Each in turn, whoever passed it on
    after the others; after the last one the first.
    """
    home = home or Home(case.site, now)
    busy = home.busy(case)
    free = (one for one, since in _turns(case, home) if since <= now and one.user_id not in busy)
    return next(free, None)


def asked_again_at(case: Case, now: datetime) -> datetime | None:
    """When somebody is asked again at the latest; None where somebody else's ask comes first."""
    home = Home(case.site, now)
    turns, busy = _turns(case, home), home.busy(case)
    if not turns or any(one.user_id in busy and since <= now for one, since in turns):
        return None
    return max(_due_from(case, now, home), min(since for _one, since in turns))


def is_due(case: Case, now: datetime, home: Home | None = None) -> bool:
    """Whether nobody was asked yet, or whoever was asked last was silent, passed or snoozes it."""
    return _due_from(case, now, home) <= now


def open_ask(case: Case, now: datetime, home: Home | None = None) -> Ask | None:
    """Whose turn it is; None before the first, and once that person has passed, snoozed or left."""
    last = max(case.asks.all(), key=lambda ask: (ask.asked_at, ask.pk), default=None)
    if last is None or any(
        one.reviewer_id == last.person_id and one.created_at >= last.asked_at
        for one in _passes(case)
    ):
        return None
    people = (home or Home(case.site, now)).people
    person = next((one for one in people if one.user_id == last.person_id), None)
    if person is None:
        return None
    snoozed = any(
        row.camera_id == case.camera_id and row.until > now for row in person.snoozes.all()
    )
    return None if snoozed and not is_critical(case) else last


def passed_by_all(case: Case, home: Home) -> bool:
    """Whether every caregiver has said that they cannot tell."""
    passed = {one.reviewer_id for one in _passes(case)}
    return bool(passed) and {one.user_id for one in home.people} <= passed


def nobody_answers(case: Case, home: Home) -> bool:
    """Whether a case is critical, and every caregiver was asked of it in vain, or there is none.

    In vain is who has passed it on, or was silent for as long as an answer is waited for. Where
    much is critical at once each person is asked of another case: the oldest counts as asked of
    whoever is silent about any. What was called about stays unanswered until somebody answers.
    Where consent has ended nobody is asked: what comes in waits for the site's staff.
    """
    if home.shut or not is_critical(case):
        return False
    if home.was_called(case):
        return True
    if not home.people:
        return case.created_at + _doubled(0, LONGEST_WAIT) <= home.now
    over = (ask for ask in case.asks.all() if ask.asked_at + _patience(case, ask) <= home.now)
    in_vain = {ask.person_id for ask in over} | {one.reviewer_id for one in _passes(case)}
    if case == home.oldest:
        in_vain |= home.silent
    return {one.user_id for one in home.people} <= in_vain


def unanswered(home: Home) -> list[Case]:
    """The critical cases of a household that nobody answers."""
    return [case for case in home.waiting if nobody_answers(case, home)]


def is_quiet(membership: Membership, now: datetime) -> bool:
    """Whether it is that person's quiet hours, which may go over midnight, in the site's zone."""
    begin, end = membership.quiet_from, membership.quiet_until
    if begin is None or end is None:
        return False
    here: time = now.astimezone(ZoneInfo(membership.site.time_zone)).time()
    return begin <= here < end if begin <= end else here >= begin or here < end


def _due_from(case: Case, now: datetime, home: Home | None) -> datetime:
    ask = open_ask(case, now, home)
    return ask.asked_at + _patience(case, ask) if ask else now


def _patience(case: Case, ask: Ask) -> timedelta:
    """How long an answer is waited for: with each ask of a person twice as long, to a limit."""
    before = sum(one.person_id == ask.person_id for one in case.asks.all()) - 1
    return _doubled(0 if is_critical(case) else before, LONGEST_WAIT)


def _rest(passes: list[datetime], critical: bool) -> timedelta:
    """How long whoever passed a case is not asked of it: if critical, each time twice as long."""
    return _doubled(len(passes) - 1, LONGEST_REST) if critical else _doubled(16, LONGEST_WAIT)


def _doubled(times: int, limit: timedelta) -> timedelta:
    least = timedelta(minutes=settings.ALARM_ASK_MINUTES)
    return min(least * (1 << min(times, 16)), max(least, limit))


def _turns(case: Case, home: Home) -> list[tuple[Membership, datetime]]:
    """The caregivers in the order in which they are asked, each with since when they may be."""
    critical = is_critical(case)
    passed: dict[int, list[datetime]] = {}
    for one in _passes(case):
        passed.setdefault(one.reviewer_id, []).append(one.created_at)
    asked = [ask.person_id for ask in case.asks.all()]
    people = sorted(
        [] if home.shut else home.people,
        key=lambda one: (one.user_id in passed, asked.count(one.user_id), one.turn, one.pk),
    )
    return [
        (one, _free_from(one, case, critical, passed.get(one.user_id, []), home.now))
        for one in people
    ]


def _free_from(
    one: Membership, case: Case, critical: bool, passes: list[datetime], now: datetime
) -> datetime:
    """Since when a person may be asked; `now` where nothing is in the way."""
    since = max(now, passes[-1] + _rest(passes, critical)) if passes else now
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


def _passes(case: Case) -> list[Review]:
    """Oldest first."""
    passes = [one for one in case.reviews.all() if one.action == ReviewAction.PASS]
    return sorted(passes, key=lambda one: one.created_at)
