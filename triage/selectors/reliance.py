"""How often people follow a wrong machine and overrule a right one, where that can be known.

It can be known of a case that two people read: what one of them said, having seen the machine's
answer, is held against the label that settled the case, if somebody else stands for it. Nobody is
measured against their own word. docs/uncertainty.md says what this leaves out.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Prefetch, Q, QuerySet

from triage.choices import CaseStatus, ReviewAction, Role
from triage.models import Case, Decision, Membership, Review, Site
from triage.selectors.readings import READERS, independent, standing
from triage.selectors.rows import latest_decision

NEWEST = 1000
FEWEST_PEOPLE = 3


@dataclass(frozen=True)
class Reliance:
    """Counts of cases.

    Attributes:
        wrong, followed: the machine's answer was seen and wrong; of these, given all the same.
        right, overruled: it was seen and right; of these, another was given.
        differed, switched: a first answer, given without seeing the machine's, was another; of
            these, changed to the machine's once it was seen. Who was right is not known here.
    """

    wrong: int = 0
    followed: int = 0
    right: int = 0
    overruled: int = 0
    differed: int = 0
    switched: int = 0

    def __add__(self, other: "Reliance") -> "Reliance":
        return Reliance(
            self.wrong + other.wrong,
            self.followed + other.followed,
            self.right + other.right,
            self.overruled + other.overruled,
            self.differed + other.differed,
            self.switched + other.switched,
        )

    @property
    def known(self) -> bool:
        return bool(self.wrong or self.right or self.differed)


@dataclass(frozen=True)
class Counted:
    """One person's counts, by primary key: whether a name goes with them is for `board_of`."""

    person: int
    reliance: Reliance


@dataclass(frozen=True)
class Shared:
    """The counts of somebody who shows them."""

    name: str
    reliance: Reliance


@dataclass(frozen=True)
class Board:
    """What administrators see: who shares by name, and all `others` as one from three people on.

    Sharers are no part of `others`: else what a single other person does could be told by
    subtraction. `people` is how many others there are anything to tell of.
    """

    shared: list[Shared]
    others: Reliance | None
    people: int
    fewest: int = FEWEST_PEOPLE


@dataclass(frozen=True)
class OwnReliance:
    """What a reviewer sees of themselves, and whether the administrators see it with the name."""

    reliance: Reliance
    shared: bool


def counted_at(site: Site) -> list[Counted]:
    """Every person's counts over the newest 1,000 cases of a site that can tell."""
    found: dict[int, Reliance] = defaultdict(Reliance)
    for case in _telling(site)[:NEWEST]:
        for person, one in _of_case(case):
            found[person] += one
    return [Counted(person, one) for person, one in sorted(found.items()) if one.known]


def own_reliance(*, site: Site, user: AbstractBaseUser) -> OwnReliance:
    said = Review.objects.filter(case__site=site, reviewer_id=user.pk)
    mine = _telling(site).filter(pk__in=said.values("case"))
    parts = (one for case in mine[:NEWEST] for person, one in _of_case(case) if person == user.pk)
    return OwnReliance(sum(parts, Reliance()), _sharing(site).filter(user_id=user.pk).exists())


def board_of(site: Site, counted: Iterable[Counted]) -> Board:
    """Names go with the counts of those alone who share them now."""
    names = {one.user_id: one.user.get_username() for one in _sharing(site).select_related("user")}
    kept = [one.reliance for one in counted if one.person not in names]
    return Board(
        shared=[Shared(names[one.person], one.reliance) for one in counted if one.person in names],
        others=sum(kept, Reliance()) if len(kept) >= FEWEST_PEOPLE else None,
        people=len(kept),
    )


def _sharing(site: Site) -> QuerySet[Membership]:
    return Membership.objects.filter(site=site, role=Role.CLINICIAN, shares_reliance=True)


def _telling(site: Site) -> QuerySet[Case]:
    """Resolved cases that two people read, or that somebody read blind first; newest first."""
    cases = Case.objects.filter(
        site=site, domain=site.domain, status=CaseStatus.RESOLVED, repeats=None
    )
    return (
        cases.filter(Q(readings=READERS) | Q(blind=True))
        .order_by("-created_at")
        .prefetch_related(
            Prefetch("decisions", Decision.objects.only("case_id", "label")),
            Prefetch(
                "reviews",
                Review.objects.filter(action__in=(ReviewAction.ANSWER, ReviewAction.UNDO)),
            ),
        )
    )


def _of_case(case: Case) -> list[tuple[int, Reliance]]:
    decision, said = latest_decision(case), list(case.reviews.all())
    if decision is None or not decision.label:
        return []
    seen = [one for one in independent(said) if not one.blind and _is_settled(case, one, said)]
    return [
        *((one.reviewer_id, _held_against(case, one, decision.label)) for one in seen),
        *_switches(said, decision.label),
    ]


def _is_settled(case: Case, review: Review, said: list[Review]) -> bool:
    """Whether somebody other than the review's author stands for the case's label."""
    return any(
        one.label == case.label and one.reviewer_id != review.reviewer_id for one in standing(said)
    )


def _held_against(case: Case, review: Review, machine: str) -> Reliance:
    if machine == case.label:
        return Reliance(right=1, overruled=int(review.label != machine))
    return Reliance(wrong=1, followed=int(review.label == machine))


def _switches(said: list[Review], machine: str) -> list[tuple[int, Reliance]]:
    """Of everybody whose first answer was blind and another than the machine's."""
    first: dict[int, Review] = {}
    for one in sorted(said, key=lambda row: row.pk):
        if one.action == ReviewAction.ANSWER:
            first.setdefault(one.reviewer_id, one)
    stands = {one.reviewer_id: one.label for one in standing(said)}
    return [
        (person, Reliance(differed=1, switched=int(stands.get(person) == machine)))
        for person, one in first.items()
        if one.blind and one.label != machine
    ]
