"""Who holds which case. Two people never hold one case, and one person holds one at a time."""

from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, connection, transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from triage.choices import CLAIMABLE, WAITING, CaseStatus, Outcome, ReviewAction
from triage.errors import Conflict
from triage.models import Case, Lease, Review, Site
from triage.services.history import record
from triage.services.states import move, origin


def claim_next(*, site: Site, user: AbstractBaseUser) -> Lease | None:
    """The most urgent waiting case, or the one this person holds already; None if none is free."""
    end_expired_leases(site=site)
    passed = Review.objects.filter(reviewer_id=user.pk, action=ReviewAction.PASS)
    with transaction.atomic():
        _one_at_a_time(user)
        if held := held_lease(site=site, user=user):
            return held
        case = (
            _locking(Case.objects.filter(site=site, status__in=WAITING))
            .exclude(pk__in=passed.values("case_id"))
            .order_by(F("due_at").asc(nulls_first=True), "created_at")
            .first()
        )
        return _take(case, user) if case else None


def claim(*, case: Case, user: AbstractBaseUser) -> Lease:
    """Hold one particular case.

    Raises:
        Conflict: somebody else holds it, this person holds another, or it is not to be reviewed.
    """
    end_expired_leases(site=case.site)
    with transaction.atomic():
        _one_at_a_time(user)
        held = held_lease(site=case.site, user=user)
        if held and held.case_id == case.pk:
            return held
        locked = Case.objects.select_for_update().get(pk=case.pk)
        if locked.status == CaseStatus.IN_REVIEW:
            raise Conflict("Somebody else has just taken this case.", "held")
        if locked.status not in CLAIMABLE:
            raise Conflict(
                f"This case cannot be reviewed: it is {locked.get_status_display()}.", "not_waiting"
            )
        return _take(locked, user)


def held_lease(*, site: Site, user: AbstractBaseUser) -> Lease | None:
    """This person's running lease at the site."""
    leases = Lease.objects.running().filter(case__site=site, holder_id=user.pk)
    return leases.select_related("case__site").first()


def extend(*, lease: Lease) -> Lease:
    """A fresh term. Raises Conflict when it has run out already."""
    if not Lease.objects.running().filter(pk=lease.pk).update(expires_at=_term_end()):
        raise lease_over()
    lease.refresh_from_db()
    return lease


def release(*, lease: Lease) -> bool:
    """Let a case go; it waits again where it waited before. Whether this call ended the lease."""
    with transaction.atomic():
        case = Case.objects.select_for_update().get(pk=lease.case_id)
        ended = end_lease(lease)
        if ended and case.status == CaseStatus.IN_REVIEW:
            move(case, origin(case))
        return ended


def pass_on(*, lease: Lease, comment: str = "") -> None:
    """Not sure: let it go and let somebody else answer; it is not offered to this person again."""
    with transaction.atomic():
        case = Case.objects.select_for_update().get(pk=lease.case_id)
        if not end_lease(lease):
            raise lease_over()
        Review.objects.create(
            case=case, reviewer_id=lease.holder_id, action=ReviewAction.PASS, comment=comment[:2000]
        )
        record("passed on", site=case.site, actor=lease.holder, case=case)
        move(case, origin(case))


def end_expired_leases(*, site: Site | None = None) -> int:
    """Put cases whose hold ran out back; returns how many."""
    expired = Lease.objects.filter(ended_at=None, expires_at__lte=timezone.now())
    if site:
        expired = expired.filter(case__site=site)
    return sum(release(lease=lease) for lease in expired)


def end_lease(lease: Lease) -> bool:
    """Whether this call ended it."""
    ended = Lease.objects.filter(pk=lease.pk, ended_at=None).update(ended_at=timezone.now())
    return bool(ended)


def take_back(*, case: Case, user: AbstractBaseUser) -> Lease:
    """Hold a resolved case again, which the caller has locked; it has no answer until then."""
    _one_at_a_time(user)
    decision = case.decisions.order_by("-pk").first()
    label = decision.label if decision and decision.outcome == Outcome.ACCEPT else ""
    return _take(case, user, label=label, resolved_at=None)


def lease_over() -> Conflict:
    return Conflict("Your hold on this case has run out. Claim it again.", "lease_over")


def _take(case: Case, user: AbstractBaseUser, **fields: object) -> Lease:
    if held_lease(site=case.site, user=user):
        raise Conflict("You hold another case. Answer it or let it go first.", "holds_another")
    try:
        with transaction.atomic():
            lease = Lease.objects.create(case=case, holder_id=user.pk, expires_at=_term_end())
    except IntegrityError as error:
        raise Conflict("Somebody else has just taken this case.", "held") from error
    move(case, CaseStatus.IN_REVIEW, **fields)
    return lease


def _one_at_a_time(user: AbstractBaseUser) -> None:
    """Of several claims by one person at once, each waits for the one before."""
    get_user_model().objects.select_for_update(no_key=True).get(pk=user.pk)


def _term_end() -> datetime:
    return timezone.now() + timedelta(minutes=settings.ALARM_LEASE_MINUTES)


def _locking(cases: QuerySet[Case]) -> QuerySet[Case]:
    """SKIP LOCKED where the database has it; SQLite's immediate transaction excludes the others."""
    if connection.features.has_select_for_update_skip_locked:
        return cases.select_for_update(skip_locked=True)
    return cases
