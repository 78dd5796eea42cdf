"""What a scraper reads is true, and nobody else reads it."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
from django.db import connection
from django.db.utils import OperationalError
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings

from inference.models import MemberJob, Observation, Run
from tests.factories import make_case, make_policy, make_site
from triage.choices import AlertKind
from triage.models import Alert, Case
from triage.selectors import operations

pytestmark = pytest.mark.django_db
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture(autouse=True)
def counts_take_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow this machine is; and nothing is left of another test."""
    monkeypatch.setattr(operations, "FREE_S", 1e9)
    operations.COUNTER.forget()


def scraped() -> Samples:
    text = Client().get("/metrics").content.decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, tuple(sorted(labels.items()))]


@pytest.mark.parametrize(
    ("token", "sent", "address", "status"),
    [
        ("", {}, "127.0.0.1", 200),
        ("", {}, "::1", 200),
        ("", {}, "10.0.0.7", 403),
        ("", {"X-Forwarded-For": "127.0.0.1"}, "127.0.0.1", 403),
        ("", {"Authorization": "Bearer "}, "10.0.0.7", 403),
        ("secret", {}, "127.0.0.1", 403),
        ("secret", {"Authorization": "Bearer other"}, "127.0.0.1", 403),
        ("secret", {"Authorization": "Bearer s\u00e9cret"}, "127.0.0.1", 403),
        ("secret", {"Authorization": "Bearer secret"}, "10.0.0.7", 200),
    ],
)
def test_who_may_scrape(
    settings: Settings, token: str, sent: dict[str, str], address: str, status: int
) -> None:
    settings.ALARM_METRICS_TOKEN = token
    response = Client(headers=sent, REMOTE_ADDR=address).get("/metrics")
    assert response.status_code == status
    assert (b"alarm_" in response.content) == (status == 200)


def test_cases_by_state_and_whether_the_accounts_balance() -> None:
    site = make_site()
    make_case(site), make_case(site), make_case(site, finish=False)
    found = scraped()
    states = {"open": 1, "accepted": 0, "deferred": 2, "resolved": 0}
    assert {one: value(found, "alarm_cases", state=one) for one in states} == states
    assert value(found, "alarm_observations") == 3
    assert value(found, "alarm_accounts_balanced") == 1
    Observation.objects.create(domain="wound")
    assert value(scraped(), "alarm_accounts_balanced") == 0


def test_where_counting_takes_long_it_is_done_seldom_and_its_age_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(operations, "FREE_S", 0)
    monkeypatch.setattr(operations, "PARTS", 1e9)
    site = make_site()
    make_case(site)
    first = scraped()
    make_case(site, finish=False)
    MemberJob.objects.update(status=MemberJob.Status.QUEUED)
    with CaptureQueriesContext(connection) as asked:
        found = scraped()
    assert not [one for one in asked if "inference_observation" in one["sql"]], "not even asked"
    assert value(found, "alarm_observations") == 1 and value(found, "alarm_accounts_balanced") == 1
    ages = [value(one, "alarm_accounts_age_seconds") for one in (first, found)]
    assert ages[1] > ages[0] >= 0
    assert value(found, "alarm_jobs", member="alpha", state="queued") == 1, "what is cheap is exact"
    monkeypatch.setattr(operations, "PARTS", 0)
    assert value(scraped(), "alarm_observations") == 2


def test_the_oldest_case_of_each_site_by_its_id() -> None:
    site, empty = make_site("Saint Nobody"), make_site()
    make_policy(site)
    case = make_case(site, ("Burns", "Cut", "Cut"), subject="P-secret")
    Case.objects.filter(pk=case.pk).update(created_at=timezone.now() - timedelta(hours=2))
    found = scraped()
    waited = value(found, "alarm_oldest_deferred_seconds", site=str(site.pk))
    assert waited == pytest.approx(7200, abs=60)
    assert ("alarm_oldest_deferred_seconds", (("site", str(empty.pk)),)) not in found
    text = Client().get("/metrics").content.decode()
    assert "Saint Nobody" not in text and "P-secret" not in text


def test_jobs_of_each_member_and_runs() -> None:
    make_case(make_site(), finish=False)
    MemberJob.objects.update(status=MemberJob.Status.QUEUED)
    past = timezone.now() - timedelta(seconds=1)
    MemberJob.objects.filter(member="alpha").update(
        status=MemberJob.Status.RUNNING, lease_until=past
    )
    found = scraped()
    for member, counts in {"alpha": (0, 1, 1), "beta": (1, 0, 0), "lite0": (0, 0, 0)}.items():
        for state, count in zip(("queued", "running", "late"), counts, strict=True):
            assert value(found, "alarm_jobs", member=member, state=state) == count
    assert value(found, "alarm_runs_overdue") == 0
    Run.objects.update(deadline_at=past)
    assert value(scraped(), "alarm_runs_overdue") == 1
    Run.objects.update(status=Run.Status.FAILED)
    found = scraped()
    assert value(found, "alarm_runs", status="failed") == 1
    assert value(found, "alarm_runs_overdue") == 0
    assert ("alarm_jobs", (("member", "beta"), ("state", "queued"))) not in found


def test_alerts_that_stand() -> None:
    site = make_site()
    alert = Alert.objects.create(site=site, kind=AlertKind.WAIT, value=50, limit=48)
    assert value(scraped(), "alarm_alerts_open", site=str(site.pk), kind="wait") == 1
    alert.ended_at = timezone.now()
    alert.save()
    assert not any(name == "alarm_alerts_open" for name, _labels in scraped())


def test_a_broker_or_a_database_that_is_gone_is_told(settings: Settings, tmp_path: Path) -> None:
    found = scraped()
    assert value(found, "alarm_broker_up") == value(found, "alarm_database_up") == 1
    settings.REDIS_URL = f"unix://{tmp_path}/none.sock"
    with patch("alarm_site.metrics.operations", side_effect=OperationalError("10.0.0.7")):
        found = scraped()
    assert value(found, "alarm_broker_up") == value(found, "alarm_database_up") == 0


def test_requests_are_counted_by_route_and_not_by_address() -> None:
    before = scraped()
    for path in ("/sign-in/", "/nowhere-1/", "/nowhere-2/"):
        Client().get(path)
    name = "alarm_request_seconds_count"
    after = scraped()
    labels = (("route", "sign-in"), ("status", "2xx"))
    assert after[name, labels] - before.get((name, labels), 0) == 1
    labels = (("route", "none"), ("status", "4xx"))
    assert after[name, labels] - before.get((name, labels), 0) == 2
    assert "nowhere" not in str(after)


def test_web_processes_are_added_up(tmp_path: Path) -> None:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    count = (
        "import django; django.setup();"
        "from alarm_site.metrics import count_request; count_request('queue', 200, 0.02)"
    )
    told = (
        "from prometheus_client import CollectorRegistry, generate_latest;"
        "from prometheus_client.multiprocess import MultiProcessCollector;"
        "registry = CollectorRegistry(); MultiProcessCollector(registry);"
        "print(generate_latest(registry).decode())"
    )
    for code in (count, count):
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    done = subprocess.run(
        [sys.executable, "-c", told], env=environment, check=True, capture_output=True, text=True
    )
    assert 'alarm_request_seconds_count{route="queue",status="2xx"} 2.0' in done.stdout
