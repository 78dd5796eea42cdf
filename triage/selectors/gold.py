"""Gold cases: settled ones whose label is beyond doubt, shown again as if they were new.

Whoever reads one is not told, before or after; what they answer is held against what is known, and
counts for nothing else. A repeated case (`Case.repeats`) has neither a run nor a decision of its
own, so that whatever is estimated from these cannot meet it; what counts cases, answers or holds
says `repeats=None`. docs/architecture.md says why it is a Case at all.
"""

from collections import defaultdict
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from triage.choices import CaseStatus, Outcome, Purpose, SiteKind
from triage.models import AuditEvent, CareTeamMember, Case, Decision, GoldCase, Review, Site
from triage.selectors.consents import is_withdrawn
from triage.selectors.readings import READERS, independent, reviewer_ids, standing
from triage.selectors.words import domain_at, titles_of

OPEN = (CaseStatus.DEFERRED, CaseStatus.IN_REVIEW)
# One that nobody has taken by then is gone from all queues, as if a colleague had answered it.
OPEN_FOR = timedelta(days=7)
NEWEST = 200
NEWEST_ANSWERS = 1000
# Of looks at media, those that are no glance at a list.
LOOKED = ("photo seen", "clip seen")
MADE_KNOWN, MADE_UNKNOWN, WAS_GOLD = "marked as known", "marked as not known", "was a gold case"


@dataclass(frozen=True)
class GoldAnswer:
    """One person's answer to a gold case, and the known one."""

    reader: int
    said: str
    known: str

    @property
    def agrees(self) -> bool:
        return self.said == self.known


@dataclass(frozen=True)
class ReaderRow:
    """One reader's answers to gold cases, among the newest of the site."""

    name: str
    answers: int
    agreed: int


@dataclass(frozen=True)
class MarkedRow:
    """A case that an administrator has marked; `known` says as what."""

    number: str
    label: str
    title: str
    known: bool


@dataclass(frozen=True)
class GoldPage:
    """What administrators see; of a gold case that still waits no more than that there is one.

    known      settled cases that can be shown again now
    waiting    gold cases in queues or in somebody's hands
    """

    share: float
    known: int
    waiting: int
    readers: list[ReaderRow]
    marked: list[MarkedRow]


def seen_by(site: Site, viewer: AbstractBaseUser) -> QuerySet[GoldCase, Any]:
    """The keys of the gold cases that are this person's to read, or that they have dealt with."""
    said = Review.objects.filter(case=OuterRef("case"), reviewer_id=viewer.pk)
    read = ~Q(case__status__in=OPEN) & Exists(said)
    fresh = Q(case__created_at__gt=timezone.now() - OPEN_FOR) | Q(case__status=CaseStatus.IN_REVIEW)
    to_read = Q(fresh, case__status__in=OPEN, case__erased_at=None)
    return _of_reader(site, viewer).filter(to_read | read).values("case")


def waiting_for(site: Site, viewer: AbstractBaseUser) -> QuerySet[GoldCase, Any]:
    """Those of them that wait: each page counts them, so nothing else is asked about."""
    fresh = Q(case__created_at__gt=timezone.now() - OPEN_FOR)
    waiting = _of_reader(site, viewer).filter(fresh, case__waiting_due_at__isnull=False)
    return waiting.filter(case__erased_at=None).values("case")


def _of_reader(site: Site, viewer: AbstractBaseUser) -> QuerySet[GoldCase]:
    mine = GoldCase.objects.filter(case__site=site, readers=viewer.pk)
    if site.by_team:
        team = CareTeamMember.objects.filter(subject=OuterRef("case__repeats__subject"))
        mine = mine.filter(~Exists(team) | Exists(team.filter(user_id=viewer.pk)))
    return mine


def under_another_number(site: Site, viewer: AbstractBaseUser) -> QuerySet[Case, Any]:
    """The keys of what a gold case repeats that this person has before them: no list shows it."""
    mine = Case.objects.filter(site=site, pk__in=seen_by(site, viewer), status__in=OPEN)
    return mine.values("repeats")


def as_decided(case: Case, decision: Decision | None) -> Decision | None:
    """The decision of what a gold case repeats, as if it had been made for this one."""
    shown = copy(decision)
    if shown is not None:
        shown.case, shown.decided_at = case, case.created_at
    return shown


def candidates(site: Site) -> list[Case]:
    """The newest settled cases with a known answer that would still look like a new one.

    They were deferred by the policy, the ensemble and the version of the domain that the newest
    case was decided by: after one of these changes it takes new cases until there are any.
    """
    if site.kind != SiteKind.CLINIC or any(is_withdrawn(site, one) for one in Purpose):
        return []
    decided = Decision.objects.filter(case__site=site, case__domain=site.domain)
    newest = decided.select_related("case", "run").order_by("-pk").first()
    if newest is None:
        return []
    like_it = decided.filter(
        outcome=Outcome.DEFER,
        policy=newest.policy_id,
        run__ensemble=newest.run.ensemble,
        case__definition=newest.case.definition_id,
    )
    settled = _perhaps_known(site).filter(pk__in=like_it.values("case"))
    found = settled.order_by("-resolved_at").prefetch_related("reviews", "decisions")[:NEWEST]
    return [case for case in found if is_known(case)]


def _perhaps_known(site: Site) -> QuerySet[Case]:
    """Of what can be taken back no more."""
    then = timezone.now() - timedelta(minutes=settings.ALARM_UNDO_MINUTES)
    settled = Case.objects.filter(
        site=site,
        domain=site.domain,
        status=CaseStatus.RESOLVED,
        resolved_at__lt=then,
        erased_at=None,
        repeats=None,
    )
    return settled.filter(Q(known=True) | Q(known=None, readings=READERS))


def is_known(case: Case) -> bool:
    """Whether the label of a settled case is beyond doubt.

    An administrator says so; or two agreed, neither knowing of the other; or where they differed
    somebody else has settled it.
    """
    if case.known is not None:
        return case.known
    said = list(case.reviews.all())
    first_two = independent(said)
    if len(first_two) < READERS:
        return False
    if all(one.label == case.label for one in first_two):
        return True
    others = {one.reviewer_id for one in standing(said) if one.label == case.label}
    return bool(others - {one.reviewer_id for one in first_two})


def readers_for(case: Case) -> set[int]:
    """Who may get a settled case again: clinicians who have never read, sent or opened it."""
    same = Case.objects.filter(Q(pk=case.pk) | Q(repeats=case.pk), site=case.site)
    read = Review.objects.filter(case__in=same).values_list("reviewer", flat=True)
    looked = AuditEvent.objects.filter(site=case.site, case__in=same, verb__in=LOOKED)
    known_to = {*read, *looked.values_list("actor", flat=True), case.opened_by_id}
    readers = reviewer_ids(case.site) - known_to
    if case.site.by_team and case.subject_id is not None:
        team = CareTeamMember.objects.filter(subject=case.subject_id)
        members = set(team.values_list("user", flat=True))
        return readers & members if members else readers
    return readers


def gold_answers(site: Site, newest: int = NEWEST_ANSWERS) -> list[GoldAnswer]:
    """What was answered to the newest gold cases of a site, and stands; newest case first.

    What an administrator has marked as not known since counts no more, nor what its own readers
    have taken back or settled otherwise.
    """
    answered = GoldCase.objects.filter(
        case__site=site,
        case__domain=site.domain,
        case__status=CaseStatus.RESOLVED,
        case__repeats__status=CaseStatus.RESOLVED,
        case__repeats__label=F("label"),
    ).exclude(case__repeats__known=False)
    found = answered.order_by("-case__created_at").prefetch_related("case__reviews")[:newest]
    return [
        GoldAnswer(one.reviewer_id, one.label, gold.label)
        for gold in found
        for one in standing(gold.case.reviews.all())
    ]


def gold_page(site: Site, share: float) -> GoldPage:
    """`share`: with which probability a claim puts one into the queue."""
    marked = Case.objects.filter(site=site, known__isnull=False, repeats=None)
    titles = titles_of(domain_at(site))
    waiting = Case.objects.filter(site=site, repeats__isnull=False, status__in=OPEN, erased_at=None)
    return GoldPage(
        share=share,
        known=len(candidates(site)),
        waiting=waiting.filter(created_at__gt=timezone.now() - OPEN_FOR).count(),
        readers=_reader_rows(gold_answers(site)),
        marked=[
            MarkedRow(case.number, case.label, titles.get(case.label, case.label), bool(case.known))
            for case in marked.order_by("-created_at")[:NEWEST]
        ],
    )


def _reader_rows(answers: Iterable[GoldAnswer]) -> list[ReaderRow]:
    """Who agrees least comes first."""
    of_reader: dict[int, list[GoldAnswer]] = defaultdict(list)
    for one in answers:
        of_reader[one.reader].append(one)
    names = get_user_model().objects.in_bulk(list(of_reader))
    rows = [
        ReaderRow(names[pk].get_username(), len(some), sum(one.agrees for one in some))
        for pk, some in of_reader.items()
    ]
    return sorted(rows, key=lambda row: (row.agreed / row.answers, row.name))
