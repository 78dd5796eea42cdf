"""A move of the what-if's dial, at many scored cases and at a tenth of them.

    python -m benchmarks.what_if [--database sqlite|postgresql] [--cases N]

Decided cases of a week, half of the deferred ones answered, an audit of a tenth of the accepted.
The first view reads them, later moves ask the arrays that it left. Beside both stands the naive
way: reading them anew at each move. The exit code is 1 where a move takes more than 200 ms.
"""

import argparse
import sys
import time
from statistics import median

from benchmarks.ground import decided_week, emptied, product, seed

MOST_MS = 200.0
MOVES = 30


def measure(cases: int) -> tuple[float, float, float]:
    """Milliseconds of the first view, of a later move (median), and of reading anew at each."""
    from datetime import timedelta

    from django.db.models import F
    from django.test import Client

    from triage import guards
    from triage.models import Decision, Site
    from triage.selectors.past import past_cases

    emptied()
    past_cases.cache_clear()
    [session, *_others] = seed(cases, 0)
    decided_week(Site.objects.get())
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
    with product(options.database):
        print(f"{options.database}\n{'':<28}{'a tenth':>12}{options.cases:>12} cases")
        small, large = measure(options.cases // 10), measure(options.cases)
    for name, few, many in zip(("first view", "a move", "read anew"), small, large, strict=True):
        print(f"{name:<28}{few:>9.0f} ms{many:>9.0f} ms   grows {many / few:.1f} x")
    print(f"a move beside reading anew: {large[2] / large[1]:.0f} x faster")
    return int(large[1] > MOST_MS)


if __name__ == "__main__":
    sys.exit(main())
