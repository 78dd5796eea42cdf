"""The caregiver's one page."""

from dataclasses import dataclass

from django.contrib.auth.models import AbstractBaseUser

from inference import ensemble
from inference.pipeline.domains import Domain, load_domain
from triage.choices import WAITING, CaseStatus
from triage.models import Case, Site
from triage.selectors.rows import QueueRow, rows, with_details

SHOWN = 20


@dataclass(frozen=True)
class HouseholdPage:
    """What waits for an answer, and what was answered lately."""

    site: Site
    trained: bool
    domain: Domain
    waiting: int
    rows: list[QueueRow]
    answered: list[QueueRow]
    processing: int


def household_page(*, site: Site, user: AbstractBaseUser) -> HouseholdPage:
    cases = Case.objects.filter(site=site)
    open_ones = cases.filter(status__in=(*WAITING, CaseStatus.IN_REVIEW)).order_by("due_at")
    answered = cases.filter(status=CaseStatus.RESOLVED).order_by("-resolved_at")
    return HouseholdPage(
        site=site,
        trained=bool(ensemble.members_of(site.domain)),
        domain=load_domain(site.domain),
        waiting=cases.filter(status__in=WAITING).count(),
        rows=rows(with_details(open_ones)[:SHOWN], user, detailed=False),
        answered=rows(with_details(answered)[:SHOWN], user, detailed=False),
        processing=cases.filter(status=CaseStatus.OPEN).count(),
    )
