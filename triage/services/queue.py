"""Who holds which case. Two people never hold one case, and one person holds one at a time."""

from datetime import datetime, timedelta
from typing import Any, cast

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, connection, transaction
from django.db.models import Max, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from triage.choices import CLAIMABLE, WAITING, CaseStatus, Outcome, ReviewAction, SkipReason
from triage.errors import Conflict, Refused
from triage.models import Case, Lease, Review, Site
from triage.selectors.readings import is_left, last_word, may_read, reviewer_ids
from triage.selectors.teams import is_seen, waiting_for
from triage.services import gold
from triage.services.history import record
from triage.services.states import move, origin


def claim_next(
    *, site: Site, user: AbstractBaseUser, gold_share: float | None = None
) -> Lease | None:
    """The most urgent waiting case, or the one this person holds already; None if none is free.

    What a colleague passed on to this person comes first; what this person has skipped, or what
    was passed on to somebody else, comes last. What they have read or passed on does not come,
    until everybody else who may read it has done so as well.

    Args:
        gold_share: with which probability a gold case joins the queue when one is taken, for this
            person or a colleague to meet in its turn: ALARM_GOLD_SHARE.
    """
    share = settings.ALARM_GOLD_SHARE if gold_share is None else gold_share
    with transaction.atomic():
        one_at_a_time(user)
        if held := _held_after_the_expired(site, user):
            return held
        case = _first_offered(site, user)
        if case:
            case.site = site  # joined, the database would not read the queue by its index
        lease = _take(case, user) if case else None
        if lease:
            gold.join_at_times(site=site, reader=user, share=share)
        return lease


def _first_offered(site: Site, user: AbstractBaseUser) -> Case | None:
    waiting = waiting_for(site, user)
    said: QuerySet[Any] = _locking(waiting).alias(mine=last_word(user))
    said = said.order_by("waiting_due_at", "created_at")
    mine = (ReviewAction.ANSWER, ReviewAction.PASS)
    fresh = Q(wanted=None) & ~Q(mine__in=(*mine, ReviewAction.SKIP))
    # Cheaper asked alone, for it is seldom so.
    theirs = Case.objects.filter(site=site, waiting_due_at__isnull=False, wanted=user.pk)
    turns = [fresh, ~Q(mine__in=mine)]
    for turn in [Q(wanted=user.pk) & turns[1], *turns] if theirs.exists() else turns:
        if case := said.filter(turn).first():
            return cast(Case, case)
    return _first_left(site, user)


def _first_left(site: Site, user: AbstractBaseUser) -> Case | None:
    """Of what everybody has read or passed on: what this person has not seen for longest.

    Found first and locked then: whoever has yet to see the others must not find them locked.
    """
    seen = waiting_for(site, user)
    seen = seen.alias(mine=last_word(user)).filter(
        mine__in=(ReviewAction.ANSWER, ReviewAction.PASS)
    )
    own = Max("reviews__pk", filter=Q(reviews__reviewer=user.pk))
    for case in seen.alias(own=own).order_by("own").prefetch_related("reviews"):
        case.site = site
        if may_read(case, user) and is_left(case):
            waiting = Case.objects.filter(site=site, pk=case.pk, waiting_due_at__isnull=False)
            if locked := _locking(waiting).first():
                return locked
    return None


def claim(*, case: Case, user: AbstractBaseUser) -> Lease:
    """Hold one particular case.

    Raises:
        Conflict: somebody else holds it, this person holds another or has read it already, or it
            is not to be reviewed.
    """
    with transaction.atomic():
        one_at_a_time(user)
        locked = Case.objects.select_for_update().get(pk=case.pk)
        held = _held_after_the_expired(case.site, user)
        if held and held.case_id == case.pk:
            return held
        locked.refresh_from_db()  # an expired hold may have been on this very case
        locked.site = case.site
        if not is_seen(locked, case.site, user):
            raise Conflict(_("This case is another care team's."), "team")
        if locked.status == CaseStatus.IN_REVIEW:
            raise Conflict(_("Somebody else has just taken this case."), "held")
        if locked.status not in CLAIMABLE:
            raise Conflict(
                _("This case cannot be reviewed: it is {0}.").format(locked.get_status_display()),
                "not_waiting",
            )
        if locked.erased_at:
            raise Conflict(_("Its picture has been erased: it cannot be judged again."), "erased")
        if locked.status in WAITING and not may_read(locked, user):
            raise Conflict(_("You have read this case. Now a colleague reads it."), "read")
        _refuse_second(held)
        return _take(locked, user)


def held_lease(*, site: Site, user: AbstractBaseUser) -> Lease | None:
    """This person's running lease at the site."""
    return Lease.objects.running().filter(case__site=site, holder_id=user.pk).first()


def lease_on(*, case: Case, user: AbstractBaseUser) -> Lease:
    """This person's running lease on the case. Raises Conflict where they do not hold it."""
    lease = held_lease(site=case.site, user=user)
    if lease is None or lease.case_id != case.pk:
        raise Conflict(_("You do not hold this case any more. Claim it again."), "no_lease")
    return lease


def extend(*, lease: Lease) -> Lease:
    """A fresh term. Raises Conflict when it has run out already."""
    if not Lease.objects.running().filter(pk=lease.pk).update(expires_at=_term_end()):
        raise lease_over()
    lease.refresh_from_db()
    return lease


def release(*, lease: Lease) -> bool:
    """Let a case go; it waits again where it waited before. Whether this call ended the lease."""
    with transaction.atomic():
        return _let_go(lease, Case.objects.select_for_update().get(pk=lease.case_id))


def _let_go(lease: Lease, case: Case) -> bool:
    ended = end_lease(lease)
    if ended and case.status == CaseStatus.IN_REVIEW:
        move(case, origin(case))
    return ended


def pass_on(*, lease: Lease, comment: str = "", to: int | None = None) -> None:
    """Not sure: let it go and let somebody else answer; it is not offered to this person again.

    Args:
        to: the id of the colleague who is asked first; others are asked after them.

    Raises:
        Refused: that person does not review here, or has read the case.
        Conflict: the lease ran out.
    """
    with transaction.atomic():
        case = (
            Case.objects.select_for_update(of=("self",))
            .select_related("site")
            .get(pk=lease.case_id)
        )
        if to is not None and to not in colleagues(case, lease.holder):
            raise Refused(
                _("Choose a colleague of this site who has not read the case."), "colleague"
            )
        _leave(lease, case, ReviewAction.PASS, comment=comment[:2000])
        record("passed on", site=case.site, actor=lease.holder, case=case)
        move(case, origin(case), wanted_id=to)


def skip(*, lease: Lease, reason: str) -> None:
    """Leave it for later, for a SkipReason: it comes to this person again after all others.

    Raises:
        Refused: there is no such reason.
        Conflict: the lease ran out.
    """
    if reason not in SkipReason.values:
        raise Refused(_("Say why you skip it."), "reason")
    with transaction.atomic():
        case = Case.objects.select_for_update().get(pk=lease.case_id)
        _leave(lease, case, ReviewAction.SKIP, reason=reason)
        record("skipped", site=case.site, actor=lease.holder, case=case, reason=reason)
        move(case, origin(case))


def colleagues(case: Case, user: AbstractBaseUser) -> set[int]:
    """Whom this person can pass the case on to."""
    answered = case.reviews.filter(action=ReviewAction.ANSWER)
    return reviewer_ids(case.site) - set(answered.values_list("reviewer", flat=True)) - {user.pk}


def _leave(lease: Lease, case: Case, action: ReviewAction, **said: object) -> None:
    if not end_lease(lease):
        raise lease_over()
    Review.objects.create(case=case, reviewer_id=lease.holder_id, action=action, **said)


def take_away(*, lease: Lease, actor: AbstractBaseUser) -> None:
    """Somebody who answers for the site takes a case from whoever holds it; it waits again.

    Raises:
        Conflict: the hold is over already.
    """
    with transaction.atomic():
        if not release(lease=lease):
            raise Conflict(_("This hold is over already."), "lease_over")
        record("took away", site=lease.case.site, actor=actor, case=lease.case)


def end_expired_leases() -> int:
    """Put cases whose hold ran out back; returns how many."""
    expired = Lease.objects.filter(ended_at=None, expires_at__lte=timezone.now())
    return sum(release(lease=lease) for lease in expired)


def _held_after_the_expired(site: Site, user: AbstractBaseUser) -> Lease | None:
    """This person's running lease, once the cases of the site whose hold ran out wait again."""
    now = timezone.now()
    unended = Lease.objects.filter(case__site=site, ended_at=None)
    found = unended.filter(Q(holder_id=user.pk) | Q(expires_at__lte=now)).order_by("pk")
    running = None
    for lease in found:
        if lease.expires_at > now:
            running = lease
        elif case := _locking(Case.objects.filter(site=site, pk=lease.case_id)).first():
            _let_go(lease, case)  # one that somebody else is at is left to the sweep
    return running


def end_lease(lease: Lease) -> bool:
    """Whether this call ended it."""
    ended = Lease.objects.filter(pk=lease.pk, ended_at=None).update(ended_at=timezone.now())
    return bool(ended)


def take_back(*, case: Case, user: AbstractBaseUser) -> Lease:
    """Hold a resolved case again, which the caller has locked; it has no answer until then.

    Another one that this person holds is let go.
    """
    if held := held_lease(site=case.site, user=user):
        release(lease=held)
    decision = case.decisions.order_by("-pk").first()
    label = decision.label if decision and decision.outcome == Outcome.ACCEPT else ""
    return _take(case, user, label=label, resolved_at=None)


def one_at_a_time(user: AbstractBaseUser) -> None:
    """Of several claims by one person at once, each waits for the one before.

    SQLite's immediate transaction has them wait already.
    """
    if connection.features.has_select_for_update:
        people = get_user_model().objects.select_for_update(no_key=True)
        people.values_list("pk").get(pk=user.pk)


def lease_over() -> Conflict:
    return Conflict(_("Your hold on this case has run out. Claim it again."), "lease_over")


def _refuse_second(held: Lease | None) -> None:
    if held:
        raise Conflict(_("You hold another case. Answer it or let it go first."), "holds_another")


def _take(case: Case, user: AbstractBaseUser, **fields: object) -> Lease:
    try:
        with transaction.atomic():
            lease = Lease.objects.create(case=case, holder_id=user.pk, expires_at=_term_end())
    except IntegrityError as error:
        raise Conflict(_("Somebody else has just taken this case."), "held") from error
    move(case, CaseStatus.IN_REVIEW, **fields)
    return lease


def _term_end() -> datetime:
    return timezone.now() + timedelta(minutes=settings.ALARM_LEASE_MINUTES)


def _locking(cases: QuerySet[Case]) -> QuerySet[Case]:
    """SKIP LOCKED where the database has it; SQLite's immediate transaction excludes the others."""
    if connection.features.has_select_for_update_skip_locked:
        return cases.select_for_update(skip_locked=True, of=("self",))
    return cases
