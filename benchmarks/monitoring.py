"""The monitoring page and the look it rests on, at many decided cases and at a tenth of them.

    python -m benchmarks.monitoring [--database sqlite|postgresql] [--cases N]

Decided cases of twelve weeks, half of the deferred ones answered, an audit of a tenth of the
accepted, a tenth read twice. A look sums it all up, in the sweep's process and every few minutes; a
view is a whole request. The exit code is 1 where a view takes more than 200 ms.
"""

import argparse
import sys
import time
from collections.abc import Callable
from statistics import median

from benchmarks.ground import decided_week, emptied, product, seed

MOST_MS = 200.0
VIEWS, LOOKS = 10, 2
WEEKS = 12
TWICE = """UPDATE triage_case SET readings = 2
    FROM triage_decision d WHERE d.case_id = triage_case.id AND d.id %% 10 = 0"""


def fill(cases: int) -> None:
    """A clinic with decided and answered cases of twelve weeks, and an administrator."""
    from datetime import timedelta

    from django.contrib.auth.models import User
    from django.db import connection
    from django.db.models import F, OuterRef, Subquery

    from triage import guards
    from triage.choices import CaseStatus, ReviewAction
    from triage.models import Calibration, Case, Decision, Lease, Membership, Review, Site

    emptied()
    seed(cases, 3)
    site = Site.objects.get()
    stored = decided_week(site).calibration
    guards.take_down()  # the flush has put them up again
    with connection.cursor() as cursor:
        cursor.execute(TWICE, [])
    for tenth in range(10):
        alike = Decision.objects.filter(score__gte=tenth / 10)
        alike.update(explanation={"levels": {}, "error_probability": tenth / 20})
    first = Decision.objects.order_by("pk").values_list("pk", flat=True)[0]
    for week in range(WEEKS):
        chosen = Decision.objects.annotate(week=(F("pk") - first) / 11 % WEEKS).filter(week=week)
        chosen.update(decided_at=F("decided_at") - timedelta(weeks=week, hours=week))
    decided = Decision.objects.filter(case=OuterRef("pk")).values("decided_at")
    Case.objects.update(created_at=Subquery(decided))
    # The calibration lies in the middle, so that there is a before and an after to compare.
    Calibration.objects.filter(pk=stored.pk).update(
        created_at=F("created_at") - timedelta(weeks=WEEKS // 2)
    )
    people = list(User.objects.order_by("pk")[:3])
    answered = Case.objects.filter(status=CaseStatus.RESOLVED)
    rows = list(answered.values_list("pk", "label", "readings"))
    for start in range(0, len(rows), 5000):
        part = rows[start : start + 5000]
        Review.objects.bulk_create(
            Review(case_id=case, reviewer=people[(at + turn) % 3], label=label, seconds=30.0)
            for at, (case, label, readings) in enumerate(part)
            for turn in range(readings)
        )
        leases = Lease.objects.bulk_create(
            Lease(case_id=case, holder=people[at % 3], expires_at=_later())
            for at, (case, _label, _readings) in enumerate(part)
        )
        Lease.objects.filter(pk__in=[one.pk for one in leases[::50]]).update(
            ended_at=F("expires_at") + timedelta(seconds=5)
        )
        Lease.objects.filter(pk__in=[one.pk for one in leases], ended_at=None).update(
            ended_at=F("taken_at") + timedelta(seconds=30)
        )
    Case.objects.filter(status=CaseStatus.RESOLVED).update(
        resolved_at=F("created_at") + timedelta(hours=3)
    )
    assert Review.objects.filter(action=ReviewAction.ANSWER).exists()
    administrator = User.objects.create_user("administrator")
    Membership.objects.create(user=administrator, site=site, role="administrator")
    guards.put_up()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE", [])


def _later() -> object:
    from datetime import timedelta

    from django.utils import timezone

    return timezone.now() + timedelta(minutes=10)


def measure(cases: int) -> tuple[float, float, int]:
    """Milliseconds of a look and of a view (medians, the first left out), queries of a view."""
    from django.contrib.auth.models import User
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from triage.models import Site
    from triage.services.monitoring import check

    fill(cases)
    looks = [_timed(lambda: check(site=Site.objects.get())) for _ in range(LOOKS + 1)]
    client = Client(SERVER_NAME="127.0.0.1")
    client.force_login(User.objects.get(username="administrator"))
    views = [_timed(lambda: client.get("/monitoring/")) for _ in range(VIEWS + 1)]
    with CaptureQueriesContext(connection) as captured:
        answer = client.get("/monitoring/")
    assert answer.status_code == 200 and b"tile" in answer.content, answer.content[:500]
    return median(looks[1:]), median(views[1:]), len(captured)


def _timed(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return 1000 * (time.perf_counter() - begun)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--cases", type=int, default=100_000)
    options = parser.parse_args()
    with product(options.database):
        print(f"{options.database}\n{'':<12}{'a tenth':>12}{options.cases:>12} cases")
        small, large = measure(options.cases // 10), measure(options.cases)
    for name, few, many in zip(("a look", "a view"), small[:2], large[:2], strict=True):
        print(f"{name:<12}{few:>9.0f} ms{many:>9.0f} ms   grows {many / few:.1f} x")
    print(f"{'queries':<12}{small[2]:>12}{large[2]:>12}   of a view")
    return int(large[1] > MOST_MS)


if __name__ == "__main__":
    sys.exit(main())
