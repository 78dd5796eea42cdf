"""Numbers about all sites together, for whoever keeps the machines going: no names, no words."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Q
from django.utils import timezone

from inference.models import MemberJob, Run
from triage.models import Alert, Site
from triage.selectors.accounts import Accounts, accounts
from triage.selectors.service_levels import oldest_deferred


@dataclass(frozen=True)
class Operations:
    """How things stand now.

    Attributes:
        oldest: site id -> seconds that the case which has waited longest for people has waited.
        jobs: (member, "queued" | "running" | "late") -> jobs of unfinished runs; late is what runs
            without a sign of life, and is counted as running too.
        runs: status -> runs, without those of trials.
        overdue: unfinished runs whose deadline has passed: nobody sweeps.
        alerts: (site id, kind) -> 1 for each that stands.
    """

    accounts: Accounts
    oldest: dict[int, float]
    jobs: dict[tuple[str, str], int]
    runs: dict[str, int]
    overdue: int
    alerts: dict[tuple[int, str], int]


def operations(now: datetime | None = None) -> Operations:
    now = now or timezone.now()
    return Operations(
        accounts=accounts(),
        oldest=_oldest(now),
        jobs=_jobs(now),
        runs=dict(
            Run.objects.filter(trial=False).values_list("status").annotate(n=Count("pk")).order_by()
        ),
        overdue=Run.objects.filter(status__in=Run.UNFINISHED, deadline_at__lt=now).count(),
        alerts=dict.fromkeys(
            Alert.objects.filter(ended_at=None).values_list("site_id", "kind").order_by(), 1
        ),
    )


def _oldest(now: datetime) -> dict[int, float]:
    hours = {site.pk: oldest_deferred(site, now) for site in Site.objects.all()}
    return {site: one * timedelta(hours=1).total_seconds() for site, one in hours.items() if one}


def _jobs(now: datetime) -> dict[tuple[str, str], int]:
    unfinished = MemberJob.objects.filter(
        status__in=MemberJob.UNFINISHED, run__status__in=Run.UNFINISHED
    )
    counted = (
        unfinished.order_by()
        .values_list("member")
        .annotate(
            queued=Count("pk", filter=Q(status=MemberJob.Status.QUEUED)),
            running=Count("pk", filter=Q(status=MemberJob.Status.RUNNING)),
            late=Count("pk", filter=Q(status=MemberJob.Status.RUNNING, lease_until__lt=now)),
        )
    )
    return {
        (member, state): count
        for member, *counts in counted
        for state, count in zip(("queued", "running", "late"), counts, strict=True)
    }
