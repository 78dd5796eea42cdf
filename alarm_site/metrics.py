"""What Prometheus reads: requests as they were answered, and how cases, jobs and alerts stand.

What stands in the database is read when it is asked for, so any web process tells the same; only
all cases and runs are not counted anew each time where that takes long, and their age is told.
Requests are counted in each process: with PROMETHEUS_MULTIPROC_DIR, an empty folder that all web
processes write to, their sum is told; without it each tells its own.
"""

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from secrets import compare_digest

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Histogram,
    Metric,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from alarm_site.health import check_broker, works
from inference.ensemble import file_members
from triage.selectors.operations import Operations, operations

log = logging.getLogger(__name__)
LOOPBACK = {"127.0.0.1", "::1"}
REQUESTS = Histogram(
    "alarm_request_seconds",
    "Requests by route and class of the status, and how long they took.",
    ("route", "status"),
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
    registry=None,
)


def count_request(route: str, status: int, seconds: float) -> None:
    REQUESTS.labels(route, f"{status // 100}xx").observe(seconds)


@require_safe
@never_cache
def metrics_view(request: HttpRequest) -> HttpResponse:
    """All metrics, to a scraper with the token of ALARM_METRICS_TOKEN or on this very machine."""
    if not may_scrape(request):
        return HttpResponseForbidden("Metrics are read with a token, or from this machine.\n")
    registry = CollectorRegistry()
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        MultiProcessCollector(registry)
    else:
        registry.register(REQUESTS)
    registry.register(Product())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def may_scrape(request: HttpRequest) -> bool:
    """Whoever comes through a proxy on this machine is no neighbour: it says for whom it asks."""
    token = settings.ALARM_METRICS_TOKEN
    if token:
        said = request.headers.get("Authorization", "")
        return compare_digest(said.encode(), f"Bearer {token}".encode())
    forwarded = {"X-Forwarded-For", "Forwarded", "X-Real-IP"} & set(request.headers)
    return request.META.get("REMOTE_ADDR") in LOOPBACK and not forwarded


class Product(Collector):
    """How cases, jobs and alerts stand; where the database cannot be asked, that and no more."""

    def collect(self) -> Iterator[Metric]:
        yield _gauge(
            "alarm_broker_up", "1 while the broker answers.", works("broker", check_broker)
        )
        try:
            found = operations()
        except DatabaseError as error:
            log.warning("no metrics of the product: %s", type(error).__name__)
            yield _gauge("alarm_database_up", "1 while the database answers.", False)
            return
        yield _gauge("alarm_database_up", "1 while the database answers.", True)
        yield from _of_cases(found)
        yield from _of_work(found)


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(name, words, value=float(value))


def _labelled(
    name: str, words: str, labels: tuple[str, ...], values: Iterable[tuple[Sequence[str], float]]
) -> Metric:
    family = GaugeMetricFamily(name, words, labels=labels)
    for row, value in values:
        family.add_metric(row, value)
    return family


def _of_cases(found: Operations) -> Iterator[Metric]:
    books = found.accounts
    yield _gauge("alarm_observations", "All that ever came in.", books.observations)
    states = {(state,): float(count) for state, count in books.in_state.items()}
    yield _labelled("alarm_cases", "Cases by state.", ("state",), states.items())
    words = "1 while each observation is somewhere, once: what manage.py reconcile checks."
    yield _gauge("alarm_accounts_balanced", words, books.balanced)
    words = "Seconds since all cases and runs were counted; the rest is told as it is now."
    yield _gauge("alarm_accounts_age_seconds", words, found.counted_s)
    words = "Seconds that the case which has waited longest for people has waited, by site id."
    oldest = {(str(site),): seconds for site, seconds in found.oldest.items()}
    yield _labelled("alarm_oldest_deferred_seconds", words, ("site",), oldest.items())
    alerts = {(str(site), kind): float(n) for (site, kind), n in found.alerts.items()}
    yield _labelled("alarm_alerts_open", "Alerts that stand.", ("site", "kind"), alerts.items())


def _of_work(found: Operations) -> Iterator[Metric]:
    """A configured member without work is told of too: a queue that is gone is not an empty one."""
    names = {spec.name for spec in file_members()} | {member for member, _state in found.jobs}
    jobs = {
        (name, state): float(found.jobs.get((name, state), 0))
        for name in sorted(names)
        for state in ("queued", "running", "late")
    }
    words = "Jobs of unfinished runs: queued, running, and late (running without a sign of life)."
    yield _labelled("alarm_jobs", words, ("member", "state"), jobs.items())
    runs = {(status,): float(count) for status, count in found.runs.items()}
    yield _labelled("alarm_runs", "Runs by status, without trials.", ("status",), runs.items())
    words = "Unfinished runs whose deadline has passed: above 0 for long, nobody sweeps."
    yield _gauge("alarm_runs_overdue", words, found.overdue)
