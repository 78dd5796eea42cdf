"""Pages at a million cases of one site, and at a tenth of them; PostgreSQL.

    python -m benchmarks.million [--cases N]

A thousand cases are made as the product makes them, decided and answered as in a real week; SQL
multiplies them over as many days before. Each page is asked for as a browser does. Beside it stands
the naive way of its dearest query: all states counted, pages by OFFSET, a search by ILIKE, past
cases read anew. The exit code is 1 where a page takes more than 200 ms at all cases.
"""

import argparse
import sys
import time
from collections.abc import Callable
from statistics import median

from benchmarks.ground import decided_week, emptied, product, seed

MOST_MS = 200.0
TEMPLATE, ROUNDS, SUBJECTS = 1000, 7, 20_000
STILL_WAITING = 5  # of the copies of a deferred case; the older ones have been answered
EARLIER = "k * interval '1 day'"
ANSWERED_BY = """INSERT INTO triage_review (case_id, reviewer_id, action, label, comment, blind,
    seconds, reason, created_at)
    SELECT c.id, u.id, 'answer', c.label, '', false, 40, '', c.created_at + interval '1 hour'
    FROM triage_case c, (SELECT min(id) AS id FROM auth_user) u WHERE c.status = 'resolved'
    ORDER BY c.created_at"""
PEOPLE = """INSERT INTO triage_subject (site_id, pseudonym)
    SELECT s.id, 'P-' || n FROM triage_site s, generate_series(10000, 9999 + {n}) n"""
# table -> what a copy has otherwise; `k` is which copy it is, `c` the row that is copied.
NEW = "md5(c.{0}::text || k)::uuid"
COPIED: dict[str, dict[str, str]] = {
    "inference_observation": {
        "id": NEW.format("id"),
        "received_at": f"c.received_at - {EARLIER}",
    },
    "inference_media": {"observation_id": NEW.format("observation_id")},
    "inference_run": {
        "id": NEW.format("id"),
        "observation_id": NEW.format("observation_id"),
        "created_at": f"c.created_at - {EARLIER}",
    },
    "triage_case": {
        "id": NEW.format("id"),
        "observation_id": NEW.format("observation_id"),
        "sha256": "md5(c.sha256 || k) || md5(k || c.sha256)",
        "created_at": f"c.created_at - {EARLIER}",
        "resolved_at": f"c.created_at - {EARLIER} + interval '1 hour'",
        "status": f"CASE WHEN c.status = 'deferred' AND k > {STILL_WAITING} THEN 'resolved' "
        "ELSE c.status END",
        "waiting_due_at": f"CASE WHEN k > {STILL_WAITING} THEN NULL ELSE c.waiting_due_at END",
        "label": f"CASE WHEN c.label = '' AND k > {STILL_WAITING} THEN 'Burns' ELSE c.label END",
        "subject_id": "(SELECT min(id) FROM triage_subject) + "
        "abs(hashtext(c.id::text || k)) %% (SELECT count(*) FROM triage_subject)",
    },
    "triage_decision": {
        "case_id": NEW.format("case_id"),
        "run_id": NEW.format("run_id"),
        "decided_at": f"c.decided_at - {EARLIER}",
    },
}


def fill(cases: int) -> str:
    """An empty database filled; gives the session of somebody who reviews and administers."""
    from django.db import connection

    from triage import guards
    from triage.models import Case, Membership, Site
    from triage.selectors.past import past_cases

    emptied()
    past_cases.cache_clear()
    [session, *_others] = seed(TEMPLATE, 0)
    site, member = Site.objects.get(), Membership.objects.get()
    Membership.objects.create(user=member.user, site=site, role="administrator")
    decided_week(site)
    with guards.lifted(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE triage_case SET status = 'accepted', waiting_due_at = NULL, label = 'Burns' "
            "FROM triage_decision d WHERE d.case_id = triage_case.id "
            "AND d.outcome = 'accept' AND NOT d.audited"
        )
        cursor.execute(PEOPLE.format(n=SUBJECTS))
        cursor.execute("SET session_replication_role = replica")  # foreign keys are right as made
        for table, otherwise in COPIED.items():
            _copy(cursor, table, otherwise, cases // TEMPLATE - 1)
        cursor.execute("SET session_replication_role = DEFAULT")
        cursor.execute(ANSWERED_BY)
        cursor.execute("VACUUM ANALYZE")
    assert Case.objects.count() == cases
    return session


def _copy(cursor: object, table: str, otherwise: dict[str, str], copies: int) -> None:
    cursor.execute(  # type: ignore[attr-defined]
        "SELECT column_name FROM information_schema.columns WHERE table_name = %s "
        "AND is_identity = 'NO'",
        [table],
    )
    names = [name for (name,) in cursor.fetchall()]  # type: ignore[attr-defined]
    values = [otherwise.get(name, f"c.{name}") for name in names]
    quoted = ", ".join(f'"{name}"' for name in names)
    cursor.execute(  # type: ignore[attr-defined]
        f"INSERT INTO {table} ({quoted}) SELECT {', '.join(values)} "  # noqa: S608
        f"FROM {table} c, generate_series(1, %s) k",
        [copies],
    )


def milliseconds(act: Callable[[], object], rounds: int = ROUNDS) -> float:
    """The median, after one that warms up."""
    act()
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        act()
        times.append(1000 * (time.perf_counter() - begun))
    return median(times)


def pages(session: str) -> dict[str, float]:
    """Page -> milliseconds of the server."""
    from django.test import Client

    from triage.models import Case, Subject
    from triage.selectors.accounts import accounts
    from triage.selectors.past import past_cases

    client = Client(SERVER_NAME="127.0.0.1")
    client.cookies["sessionid"] = session

    def get(path: str, **query: object) -> Callable[[], None]:
        def ask() -> None:
            answer = client.get(path, query, headers={"HX-Request": "true"})
            assert answer.status_code == 200, answer.content[:300]

        return ask

    total = Case.objects.count()
    middle = Case.objects.order_by("-created_at")[total // 2]
    subject = Subject.objects.order_by("pk")[SUBJECTS // 2]
    as_of = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() + 1))
    time.sleep(1.5)
    moves = iter(range(1000))
    dial = "/policies/what-if/"

    def first_view() -> None:
        past_cases.cache_clear()
        get(dial, at=50, as_of=as_of)()

    return {
        "queue": milliseconds(get("/queue/")),
        "cases, newest": milliseconds(get("/cases/")),
        "cases, from the middle on": milliseconds(get("/cases/", after=middle.pk)),
        "search: a label that many have": milliseconds(get("/cases/", q="Burns")),
        "search: a label that nobody has": milliseconds(get("/cases/", q="Venous")),
        "search: a subject": milliseconds(get("/cases/", q=subject.pseudonym)),
        "search: a number": milliseconds(get("/cases/", q=middle.number)),
        "search: nothing is found": milliseconds(get("/cases/", q="no such thing")),
        "what-if: a move": milliseconds(
            lambda: get(dial, at=next(moves) % 100, as_of=as_of)(), rounds=15
        ),
        UNBOUNDED[0]: milliseconds(first_view, rounds=1),
        UNBOUNDED[1]: milliseconds(get("/monitoring/")),
        UNBOUNDED[2]: milliseconds(accounts, rounds=1),
    }


# Not asked for by every click: the first look at the dial, what a checkup keeps, the whole books.
UNBOUNDED = ("what-if: first view", "monitoring", "the accounts of all sites")


def naive() -> dict[str, float]:
    """Page -> milliseconds of the naive way of its dearest query."""
    from django.db.models import Count, Q

    from triage.models import Case, Decision, Site

    site = Site.objects.get()
    cases = Case.objects.filter(site=site).order_by("-created_at", "-pk")
    half = cases.count() // 2
    decided = Decision.objects.filter(case__site=site, method="cold_start", policy__isnull=False)

    def search(q: str) -> list[Case]:
        known = Q(label__icontains=q, status__in=("accepted", "resolved"))
        return list(cases.filter(Q(subject__pseudonym__icontains=q) | known)[:51])

    states = cases.order_by().values_list("status").annotate(n=Count("pk"))
    return {
        "queue": milliseconds(lambda: list(states.all()), 3),
        "cases, from the middle on": milliseconds(lambda: list(cases[half : half + 51]), 3),
        "search: nothing is found": milliseconds(lambda: search("no such thing"), 1),
        "what-if: a move": milliseconds(
            lambda: list(decided.values_list("score", "label", "case__label", "reasons")), 1
        ),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=1_000_000)
    options = parser.parse_args()
    with product("postgresql"):
        small = pages(fill(options.cases // 10))
        large = pages(fill(options.cases))
        plainly = naive()
    print(f"{'ms of the server':<36}{'a tenth':>9}{options.cases:>10} cases  grows   naive")
    late = []
    for name, took in large.items():
        beside = (
            f"{plainly[name]:>8.0f} ms ({plainly[name] / took:.0f} x)" if name in plainly else ""
        )
        mark = ""
        if took > MOST_MS and name not in UNBOUNDED:
            late.append(name)
            mark = "  FALLS SHORT"
        print(
            f"{name:<36}{small[name]:>9.0f}{took:>10.0f}{took / small[name]:>11.1f} x{beside}{mark}"
        )
    return int(bool(late))


if __name__ == "__main__":
    sys.exit(main())
