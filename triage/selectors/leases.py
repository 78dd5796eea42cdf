"""Who holds which case at a site, for whoever answers for it; nothing of what is in the case."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser

from triage.choices import Role
from triage.models import Lease, Site
from triage.selectors.teams import cases_for


@dataclass(frozen=True)
class HeldCase:
    """A running lease; `id` is the lease's."""

    id: int
    case: UUID
    number: str
    holder: str
    taken_at: datetime
    expires_at: datetime


def held_cases(site: Site, viewer: AbstractBaseUser, roles: frozenset[str]) -> list[HeldCase]:
    """The site's running leases, the oldest first; a clinician sees those of their teams."""
    running = Lease.objects.running().filter(case__site=site).select_related("case", "holder")
    if not roles & {Role.ADMINISTRATOR, Role.AUDITOR}:
        running = running.filter(case__in=cases_for(site, viewer))
    return [
        HeldCase(
            id=lease.pk,
            case=lease.case_id,
            number=lease.case.number,
            holder=lease.holder.get_username(),
            taken_at=lease.taken_at,
            expires_at=lease.expires_at,
        )
        for lease in running.order_by("taken_at", "pk")
    ]
