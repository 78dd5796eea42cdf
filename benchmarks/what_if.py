"""A move of the what-if's dial, at many scored cases and at a tenth of them.

    python -m benchmarks.what_if [--database sqlite|postgresql] [--cases N]

Decided cases of a week, half of the deferred ones answered, an audit of a tenth of the accepted.
The first view reads them, later moves ask the arrays that it left. Beside both stands the naive
way: reading them anew at each move. The exit code is 1 where a move takes more than 200 ms.
"""

import argparse
import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.review_room import seed
from tests.services import postgres

MOST_MS = 200.0
MOVES = 30
# Scores, outcomes and answers as a real week has them, written in one statement each.
DECIDED = """UPDATE triage_decision SET policy_id = %s, method = 'cold_start', threshold = 0.6,
    score = (id * 7919 %% 10007) / 10007.0"""
ACCEPTED = """UPDATE triage_decision SET outcome = 'accept', label_probability = 0.1,
    audited = (id %% 10 = 0) WHERE score <= 0.6"""
ANSWERED = """UPDATE triage_case SET status = 'resolved', waiting_due_at = NULL, version = 2,
    label = CASE WHEN d.id %% 7 = 0 THEN 'Cut' ELSE 'Burns' END
    FROM triage_decision d WHERE d.case_id = triage_case.id
    AND (d.audited OR (d.outcome = 'defer' AND d.id %% 2 = 0))"""


def measure(cases: int) -> tuple[float, float, float]:
    """Milliseconds of the first view, of a later move (median), and of reading anew at each."""
    from datetime import timedelta

    from django.core.management import call_command
    from django.db import connection
    from django.db.models import F
    from django.test import Client

    from tests.factories import fitted
    from triage import guards
    from triage.models import Calibration, Decision, Policy, Site
    from triage.selectors.past import past_cases

    guards.take_down()  # the flush puts them up again
    call_command("flush", interactive=False, verbosity=0)
    past_cases.cache_clear()
    [session, *_others] = seed(cases, 0)
    site = Site.objects.get()
    stored = Calibration.objects.create(
        site=site, domain="wound", parameters=fitted().to_dict(), ensemble="0" * 64
    )
    policy = Policy.objects.create(
        site=site,
        domain="wound",
        version=1,
        status="active",
        calibration=stored,
        method="cold_start",
        mode="percentile",
        threshold=0.6,
        audit_share=0.1,
    )
    with guards.lifted(), connection.cursor() as cursor:
        cursor.execute(DECIDED, [policy.pk])
        cursor.execute(ACCEPTED, [])
        cursor.execute(ANSWERED, [])
    first = Decision.objects.order_by("pk").values_list("pk", flat=True)[0]
    for day in range(7):
        chosen = Decision.objects.annotate(day=(F("pk") - first) % 7).filter(day=day)
        with guards.lifted():
            chosen.update(decided_at=F("decided_at") - timedelta(days=day, hours=day))
    client = Client(SERVER_NAME="127.0.0.1")
    client.cookies["sessionid"] = session
    as_of = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() + 1))
    time.sleep(1.5)
    once = _ask(client, 50.0, as_of)
    moves = [_ask(client, 100 * move / MOVES, as_of) for move in range(MOVES)]
    anew = []
    for move in range(3):
        past_cases.cache_clear()
        anew.append(_ask(client, 30.0 * move, as_of))
    return once, median(moves), median(anew)


def _ask(client: object, at: float, as_of: str) -> float:
    begun = time.perf_counter()
    answer = client.get(  # type: ignore[attr-defined]
        "/policies/what-if/", {"at": at, "as_of": as_of}, headers={"HX-Request": "true"}
    )
    took = 1000 * (time.perf_counter() - begun)
    assert answer.status_code == 200 and b"tile" in answer.content, answer.content[:500]
    return took


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--cases", type=int, default=100_000)
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="alarm-bench-")))
        for name in [name for name in os.environ if name.startswith("ALARM_")]:
            del os.environ[name]
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "alarm_site.settings",
            "ALARM_DATA": str(folder),
            "ALARM_DEMO": "0",
            "ALARM_SECOND_FACTOR": "0",
        }
        os.environ.pop("DATABASE_URL", None)
        if options.database == "postgresql":
            os.environ["DATABASE_URL"] = stack.enter_context(postgres())
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        call_command("collectstatic", interactive=False, verbosity=0)
        print(f"{options.database}\n{'':<28}{'a tenth':>12}{options.cases:>12} cases")
        small, large = measure(options.cases // 10), measure(options.cases)
    for name, few, many in zip(("first view", "a move", "read anew"), small, large, strict=True):
        print(f"{name:<28}{few:>9.0f} ms{many:>9.0f} ms   grows {many / few:.1f} x")
    print(f"a move beside reading anew: {large[2] / large[1]:.0f} x faster")
    return int(large[1] > MOST_MS)


if __name__ == "__main__":
    sys.exit(main())
