"""Photos that could not be judged, and what their senders are asked to do."""

from dataclasses import dataclass

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Q, QuerySet

from triage.choices import CaseStatus, RetakeReason
from triage.models import Case, Site
from triage.selectors.readings import asked_again
from triage.selectors.teams import cases_for

SHOWN = 20


@dataclass(frozen=True)
class Retake:
    """A new photo that is asked for: why, in words for its sender, and what was added to that."""

    case: Case
    hint: str
    comment: str


def retakes(site: Site, user: AbstractBaseUser) -> list[Retake]:
    """What this person is asked to take again and has not yet, the newest first."""
    cases = asked_of(site, user).filter(replaced_by=None).order_by("-created_at")
    found = cases.select_related("subject").prefetch_related("reviews")[:SHOWN]
    return [retake for case in found if (retake := retake_of(case))]


def asked_of(site: Site, user: AbstractBaseUser) -> QuerySet[Case]:
    """The cases whose photos this person sent, or a device did, and that cannot be judged.

    A gold case is settled: nobody shall photograph for nothing.
    """
    cases = cases_for(site, user).filter(status=CaseStatus.RETAKE, erased_at=None, repeats=None)
    return cases.filter(Q(opened_by=user.pk) | Q(opened_by=None))


def retake_of(case: Case) -> Retake | None:
    """What is asked for in this case; None where nothing is."""
    asked = asked_again(case.reviews.all())
    if asked is None:
        return None
    return Retake(case, str(RetakeReason(asked.reason).label), asked.comment)
