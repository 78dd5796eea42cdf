"""Numbers about all sites together, for whoever keeps the machines going: no names, no words."""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

from django.db.models import Count, Q
from django.utils import timezone

from inference.models import MemberJob, Run
from triage.models import Alert, Site
from triage.selectors.accounts import Accounts, accounts
from triage.selectors.service_levels import oldest_deferred

# Counting all cases may take one part in so many of a process's time, and is free below so long.
PARTS, FREE_S = 50, 0.1


@dataclass(frozen=True)
class Counted:
    """All that ever came in, when it was counted (`time.monotonic`), and how many seconds it took.

    Attributes:
        runs: status -> runs, without those of trials.
    """

    accounts: Accounts
    runs: dict[str, int]
    at: float
    took_s: float

    @property
    def age_s(self) -> float:
        return time.monotonic() - self.at

    @property
    def holds(self) -> bool:
        return self.took_s > FREE_S and self.age_s < PARTS * self.took_s


class Counter:
    """Counts anew where what it has counted no longer holds; one thread at a time."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._last: Counted | None = None

    def counted(self) -> Counted:
        with self._lock:
            if self._last is None or not self._last.holds:
                begun = time.monotonic()
                found = accounts(), _runs()
                ended = time.monotonic()
                self._last = Counted(*found, at=ended, took_s=ended - begun)
            return self._last

    def forget(self) -> None:
        self._last = None


COUNTER = Counter()


@dataclass(frozen=True)
class Operations:
    """How things stand now.

    Attributes:
        accounts, runs: as they were counted `counted_s` seconds ago, see Counted.
        oldest: site id -> seconds that the case which has waited longest for people has waited.
        jobs: (member, "queued" | "running" | "late") -> jobs of unfinished runs; late is what runs
            without a sign of life, and is counted as running too.
        overdue: unfinished runs whose deadline has passed: nobody sweeps.
        alerts: (site id, kind) -> 1 for each that stands.
    """

    accounts: Accounts
    counted_s: float
    oldest: dict[int, float]
    jobs: dict[tuple[str, str], int]
    runs: dict[str, int]
    overdue: int
    alerts: dict[tuple[int, str], int]


def operations(now: datetime | None = None) -> Operations:
    now = now or timezone.now()
    counted = COUNTER.counted()
    return Operations(
        accounts=counted.accounts,
        counted_s=counted.age_s,
        oldest=_oldest(now),
        jobs=_jobs(now),
        runs=counted.runs,
        overdue=Run.objects.filter(status__in=Run.UNFINISHED, deadline_at__lt=now).count(),
        alerts=dict.fromkeys(
            Alert.objects.filter(ended_at=None).values_list("site_id", "kind").order_by(), 1
        ),
    )


def _runs() -> dict[str, int]:
    shown = Run.objects.filter(trial=False)
    return dict(shown.values_list("status").annotate(n=Count("pk")).order_by())


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
