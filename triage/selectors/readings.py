"""Who has read a case: the answers that stand, and who may read it next."""

from collections.abc import Iterable

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce

from triage.choices import ReviewAction, Role, SiteKind
from triage.models import CareTeamMember, Case, Membership, Review, Site

READERS = 2
DECISIVE = (ReviewAction.ANSWER, ReviewAction.UNDO, ReviewAction.RETAKE)


def standing(reviews: Iterable[Review]) -> list[Review]:
    """Each person's answer that was not taken back, in the order given."""
    last: dict[int, Review] = {}
    for review in sorted(reviews, key=lambda row: row.pk):
        if review.action in (ReviewAction.ANSWER, ReviewAction.UNDO):
            last[review.reviewer_id] = review
    answers = [review for review in last.values() if review.action == ReviewAction.ANSWER]
    return sorted(answers, key=lambda row: row.pk)


def independent(reviews: Iterable[Review]) -> list[Review]:
    """The answers of the first READERS people, without the one that settled their dispute."""
    read: dict[int, Review] = {}
    for review in sorted(reviews, key=lambda row: row.pk):
        if review.action == ReviewAction.UNDO:
            read.pop(review.reviewer_id, None)
        elif review.action == ReviewAction.ANSWER:
            if len(read) == READERS:
                break
            read[review.reviewer_id] = review
    return list(read.values())


def asked_again(reviews: Iterable[Review]) -> Review | None:
    """The request for a new photo, unless somebody has answered since."""
    decisive = [review for review in reviews if review.action in DECISIVE]
    last = max(decisive, key=lambda row: row.pk, default=None)
    return last if last and last.action == ReviewAction.RETAKE else None


def has_answered(case: Case, user: AbstractBaseUser) -> bool:
    """Whether this person has ever answered the case."""
    answers = (row for row in case.reviews.all() if row.action == ReviewAction.ANSWER)
    return any(row.reviewer_id == user.pk for row in answers)


def reviewers(site: Site) -> QuerySet[Membership]:
    """Who may read cases at the site."""
    role = Role.CAREGIVER if site.kind == SiteKind.HOUSEHOLD else Role.CLINICIAN
    return Membership.objects.filter(site=site, role=role, user__is_active=True)


def reviewer_ids(site: Site) -> set[int]:
    return set(reviewers(site).values_list("user_id", flat=True))


def readers_of(case: Case) -> set[int]:
    """Who may read this case: where its site goes by care teams, only those whose it is; of a gold
    case those who do not know it."""
    everybody = reviewer_ids(case.site)
    if case.repeats_id:
        return everybody & set(case.gold.readers.values_list("pk", flat=True))
    if not case.site.by_team or case.subject_id is None:
        return everybody
    team = set(
        CareTeamMember.objects.filter(subject=case.subject_id).values_list("user", flat=True)
    )
    return everybody & {*team, case.wanted_id, case.opened_by_id} if team else everybody


def has_colleague(case: Case, readers: Iterable[int]) -> bool:
    """Whether anybody who may read the case has not read it yet."""
    return bool(readers_of(case) - set(readers))


def may_read(case: Case, user: AbstractBaseUser) -> bool:
    """Nobody reads a case twice; it falls back to its readers where nobody else is there."""
    readers = {review.reviewer_id for review in standing(case.reviews.all())}
    if user.pk not in readers:
        return True
    return not has_colleague(case, readers)


def is_left(case: Case) -> bool:
    """Whether everybody who may read the case has read it or passed it on."""
    last = {one.reviewer_id: one.action for one in sorted(case.reviews.all(), key=lambda r: r.pk)}
    done = {who for who, act in last.items() if act in (ReviewAction.ANSWER, ReviewAction.PASS)}
    return readers_of(case) <= done


def last_word(user: AbstractBaseUser) -> Coalesce:
    """Of a case: what this person did with it last, a ReviewAction or ""."""
    mine = Review.objects.filter(case=OuterRef("pk"), reviewer_id=user.pk)
    return Coalesce(Subquery(mine.order_by("-pk").values("action")[:1]), Value(""))
