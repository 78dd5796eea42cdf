"""Whose cases a clinician sees: every case of the site, or those of their own care teams.

A case whose subject has no team is everybody's: one that nobody sees is a lost case.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from django.contrib.auth.models import AbstractBaseUser, User
from django.db.models import Exists, OuterRef, Q, QuerySet

from triage.choices import ReviewAction
from triage.models import CareTeamMember, Case, Lease, Review, Site, Subject
from triage.selectors import gold
from triage.selectors.readings import reviewers

SHOWN = 100


@dataclass(frozen=True)
class Carer:
    """One of a team; `id` is the place in it. Who is no clinician here any more `reads` nothing."""

    id: int
    name: str
    reads: bool


@dataclass(frozen=True)
class TeamRow:
    """A subject with its team; `lost` cases of it wait, and nobody of the team can take them."""

    id: int
    pseudonym: str
    carers: list[Carer]
    lost: int


@dataclass(frozen=True)
class TeamsPage:
    """Who looks after whom; `people` (id, name) are the clinicians of the site."""

    by_team: bool
    lost: int
    teams: list[TeamRow] = field(default_factory=list)
    people: list[tuple[int, str]] = field(default_factory=list)
    q: str = ""
    more: bool = False


def cases_for(site: Site, viewer: AbstractBaseUser) -> QuerySet[Case]:
    """The cases of a site that this person may see, if their role lets them see cases at all."""
    cases = Case.objects.filter(Q(repeats=None) | Q(pk__in=gold.seen_by(site, viewer)), site=site)
    return cases.filter(_theirs(viewer)) if site.by_team else cases


def waiting_for(site: Site, viewer: AbstractBaseUser) -> QuerySet[Case]:
    """Those of them that wait."""
    waiting = Case.objects.filter(site=site, waiting_due_at__isnull=False)
    waiting = waiting.filter(Q(repeats=None) | Q(pk__in=gold.waiting_for(site, viewer)))
    return waiting.filter(_theirs(viewer)) if site.by_team else waiting


def is_seen(case: Case, site: Site, viewer: AbstractBaseUser) -> bool:
    """Whether a case of the site is among those that this person may see."""
    everybody_does = not site.by_team and case.repeats_id is None
    return everybody_does or cases_for(site, viewer).filter(pk=case.pk).exists()


def lost_cases(site: Site) -> QuerySet[Case]:
    """What waits where the whole team has left, and neither sender nor a named colleague reads."""
    waiting = Case.objects.filter(site=site, waiting_due_at__isnull=False)
    if not site.by_team:
        return waiting.none()
    readers = reviewers(site).values("user")
    team = CareTeamMember.objects.filter(subject=OuterRef("subject"))
    able = Exists(team.filter(user__in=readers))
    others = Q(wanted__in=readers) | Q(opened_by__in=readers)
    return waiting.filter(Exists(team)).exclude(able | others)


def teams_page(site: Site, q: str = "") -> TeamsPage:
    """The teams of a site by pseudonym, or with `q` all subjects of such a pseudonym."""
    subjects = Subject.objects.filter(site=site).order_by("pseudonym")
    found = subjects.filter(pseudonym__icontains=q) if q else subjects.filter(_has_team())
    shown = list(found.prefetch_related("team__user")[: SHOWN + 1])
    people = reviewers(site).order_by("user__username").values_list("user", "user__username")
    lost = list(lost_cases(site).values_list("subject", flat=True))
    names = dict(people)
    return TeamsPage(
        by_team=site.by_team,
        lost=len(lost),
        teams=[_row(subject, names, lost) for subject in shown[:SHOWN]],
        people=list(people),
        q=q,
        more=len(shown) > SHOWN,
    )


def carer_at(site: Site, user_id: int) -> User | None:
    """The clinician of the site with this id."""
    found = reviewers(site).filter(user_id=user_id).select_related("user").first()
    return found.user if found else None


def _theirs(viewer: AbstractBaseUser) -> Q:
    """Of no team, of one of theirs, sent by them, passed on to them, held or answered by them."""
    team = CareTeamMember.objects.filter(subject=OuterRef("subject"))
    held = Lease.objects.running().filter(case=OuterRef("pk"), holder_id=viewer.pk)
    said = Review.objects.filter(case=OuterRef("pk"), reviewer_id=viewer.pk)
    return (
        ~Exists(team)
        | Exists(team.filter(user_id=viewer.pk))
        | Q(opened_by=viewer.pk)
        | Q(wanted=viewer.pk)
        | Exists(held)
        | Exists(said.filter(action=ReviewAction.ANSWER))
    )


def _has_team() -> Exists:
    return Exists(CareTeamMember.objects.filter(subject=OuterRef("pk")))


def _row(subject: Subject, names: dict[int, str], lost: Iterable[int]) -> TeamRow:
    return TeamRow(
        id=subject.pk,
        pseudonym=subject.pseudonym,
        carers=sorted(
            (
                Carer(one.pk, one.user.get_username(), one.user_id in names)
                for one in subject.team.all()
            ),
            key=lambda carer: carer.name,
        ),
        lost=sum(one == subject.pk for one in lost),
    )
