"""How many machines so many cases a day need, by what a case was measured to cost.

    python -m benchmarks.capacity --cases 5000 [--pages 20] [--peak 0.125] [--cores 8] [--speed 1]
    python -m benchmarks.capacity --measure     what COST says of intake, message and sweep, here

Everything is processor seconds a case, times cases a second in the busiest hour, over the share of
a core that is meant to be busy then. What was measured stands in COST, all of it as on the slow one
of the two machines of docs/scaling.md: `--speed 3` is the other.
"""

import argparse
import math
import os
import resource
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass

HOUR_S, THREADS = 3600.0, 8


@dataclass(frozen=True)
class Cost:
    """Processor seconds on one core of the slow machine.

    intake    a photo of 12 megapixels taken in, decoded in a child: `--measure`
    lone      all three shipped members about one case: the half second of `benchmarks.batching` on
              both cores of the fast machine, at most one second of the processor, times 3.2
    batched   the same for each of 16 that wait together: 1/2.59 of it
    review    next and submit by the pages: `benchmarks.review_room`
    message   one "something changed" to one open page, who it is and may still see: `--measure`
    sweep     one pass with little to do: `--measure`
    """

    intake: float = 0.613
    lone: float = 3.2
    batched: float = 1.236
    review: float = 0.076
    message: float = 0.0031
    sweep: float = 0.033


COST = Cost()
# Of one case: each of three members claims it, goes through three stages and ends; then it is
# decided, claimed and answered.
MESSAGES = 3 * 5 + 4
# What 8 reviewers without think time got out of two cores that also held database and clients was
# 0.33 to 0.67 of what the processor time alone would allow (docs/scaling.md, "Reviewing").
BUSY = 0.5
# What lies beside the original of a photo of 12 megapixels: the copy that is shown, a thumbnail.
COPIES_MB = 0.52


@dataclass(frozen=True)
class Load:
    """What a hospital brings.

    cases   a day;  peak  share of them in the busiest hour;  seen  share that a person looks at
    pages   open pages at one site at a time;  photo_mb  size of a photo as it comes
    """

    cases: float
    peak: float = 0.125
    seen: float = 0.35
    pages: int = 10
    photo_mb: float = 3.0

    @property
    def per_second(self) -> float:
        """Cases in a second of the busiest hour."""
        return self.cases * self.peak / HOUR_S


@dataclass(frozen=True)
class Plan:
    """Cores that are busy in the busiest hour, by part, and what follows from them."""

    web: float
    sockets: float
    workers: float
    sweep: float
    connections: int
    disk_gb_a_year: float

    @property
    def cores(self) -> float:
        """To have: so that no more than BUSY of them are busy."""
        return (self.web + self.sockets + self.workers + self.sweep) / BUSY


def plan(load: Load, cost: Cost = COST, *, speed: float = 1.0) -> Plan:
    """What a load needs.

    Args:
        speed: of one core, against that on which the costs were measured.
    """
    rate = load.per_second / speed
    web = rate * (cost.intake + load.seen * cost.review)
    sockets = rate * MESSAGES * load.pages * cost.message
    # Where a worker cannot keep up with lone ones, cases wait, and are asked about together.
    workers = min(rate * cost.lone, max(rate * cost.batched, BUSY))
    processes = max(1, math.ceil((web + sockets) / BUSY)) + max(1, math.ceil(workers / BUSY)) + 1
    disk = load.cases * 365 * (load.photo_mb + COPIES_MB) / 1000
    return Plan(web, sockets, workers, cost.sweep / 10 / speed, processes * THREADS, disk)


def throughput(seconds: float, cores: int) -> float:
    """Acts a second that so many cores do at BUSY, each taking so many processor seconds."""
    return cores * BUSY / seconds


def stage(found: Plan, cores: int) -> str:
    """Which row of "From one machine to a hospital group" (docs/scaling.md) this is."""
    if found.cores <= 2:
        return "one machine, ./run"
    if found.cores <= cores:
        return "one machine with PostgreSQL (deploy/)"
    if found.cores <= 4 * cores:
        return "parts apart: web, workers, database, bucket"
    return "an installation a region, or a faster web"


def table(loads: Sequence[Load], *, cores: int, speed: float) -> list[str]:
    lines = [
        "cases/day  busiest hour   web  sockets  workers  cores to have  machines  "
        "connections  TB/year  stage"
    ]
    for load in loads:
        found = plan(load, speed=speed)
        lines.append(
            f"{load.cases:9,.0f}  {load.per_second:10.2f}/s  {found.web:4.1f}  "
            f"{found.sockets:7.1f}  {found.workers:7.1f}  {found.cores:13.1f}  "
            f"{math.ceil(found.cores / cores):8}  "
            f"{found.connections:11}  {found.disk_gb_a_year / 1000:7.1f}   {stage(found, cores)}"
        )
    return lines


def spent() -> float:
    """Processor seconds of this process and of its children that have ended."""
    found = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in found)


def each(act: Callable[[int], object], times: int) -> float:
    """Processor seconds of one act, after a first one that is not counted."""
    act(0)
    begun = spent()
    for number in range(times):
        act(number + 1)
    return (spent() - begun) / times


def measure() -> list[str]:
    """Intake, message and sweep on an empty SQLite, in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "alarm_site.settings",
            "ALARM_DATA": folder,
            "REDIS_URL": "memory://localhost",
        }
        import django

        django.setup()
        from django.contrib.auth import SESSION_KEY
        from django.contrib.sessions.backends.db import SessionStore
        from django.core.management import call_command

        call_command("migrate", interactive=False, verbosity=0)
        from inference.drawings import draw_wound
        from inference.pipeline.domains import load_domain
        from tests.factories import make_site, make_user
        from tests.pictures import jpeg
        from triage.management.commands.sweep import sweep
        from triage.middleware import place_of
        from triage.services.intake import open_case

        site = make_site()
        user = make_user(site)
        labels = load_domain("wound").label_ids
        photos = [
            jpeg(draw_wound(900_000 + n, labels[n % len(labels)]).resize((4000, 3000)))
            for n in range(11)
        ]
        session = SessionStore()
        session[SESSION_KEY] = str(user.pk)
        session.save()

        def message(_number: int) -> object:
            opened = SessionStore(session.session_key)
            return opened.get(SESSION_KEY), place_of(user, opened)

        return [
            f"intake   {each(lambda n: open_case(site=site, data=photos[n]), 10) * 1000:6.1f} ms",
            f"message  {each(message, 200) * 1000:6.1f} ms",
            f"sweep    {each(lambda _n: sweep(), 5) * 1000:6.1f} ms",
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--cases", type=float, nargs="*", default=[1000, 5000, 20000, 100000, 500000]
    )
    parser.add_argument("--peak", type=float, default=Load.peak, help="share in the busiest hour")
    parser.add_argument("--seen", type=float, default=Load.seen, help="share that people look at")
    parser.add_argument("--pages", type=int, default=Load.pages, help="open pages at a site")
    parser.add_argument("--photo-mb", type=float, default=Load.photo_mb)
    parser.add_argument("--cores", type=int, default=8, help="of one machine")
    parser.add_argument("--speed", type=float, default=1.0, help="of a core; 3: the faster machine")
    parser.add_argument("--measure", action="store_true", help="what COST says, on this machine")
    wanted = parser.parse_args()
    if wanted.measure:
        print("\n".join(measure()))
        return
    loads = [
        Load(cases, wanted.peak, wanted.seen, wanted.pages, wanted.photo_mb)
        for cases in wanted.cases
    ]
    print("\n".join(table(loads, cores=wanted.cores, speed=wanted.speed)))


if __name__ == "__main__":
    main()
