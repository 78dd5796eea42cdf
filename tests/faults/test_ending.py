"""A real worker whose model is lost or hangs ends, is started again, and finishes the case."""

import os
import sys
import time
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from alarm_site.children import Child, Family, Program
from inference.models import MemberJob, StageTrace
from inference.services.ending import DEVICE_LOST, HUNG
from tests.factories import make_site
from tests.faults.test_killed import own_database
from tests.pictures import photo
from triage.management.commands.sweep import sweep
from triage.models import Decision
from triage.selectors.accounts import accounts
from triage.services.intake import open_case

pytestmark = [pytest.mark.services, pytest.mark.django_db(transaction=True)]
MEMBERS = """
[members]
one = { backend = "tests.faults.fragile.Fragile", domains = ["wound"] }
"""
PATIENCE_S = 120


@pytest.mark.parametrize(("breaks", "status"), [("lost", DEVICE_LOST), ("hangs", HUNG)])
def test_a_worker_that_cannot_go_on_ends_and_the_next_one_decides_the_case(
    tmp_path: Path,
    settings: Settings,
    valkey_url: str,
    monkeypatch: pytest.MonkeyPatch,
    breaks: str,
    status: int,
) -> None:
    members = tmp_path / "members.toml"
    members.write_text(MEMBERS)
    settings.ALARM_MEMBERS, settings.MEDIA_ROOT = members, tmp_path / "data" / "media"
    settings.ALARM_JOB_LEASE_S = 3
    monkeypatch.setattr("triage.management.commands.sweep.check_due", lambda: 0)
    said: list[str] = []
    options = ("--pool=solo", "--without-gossip", "--without-mingle", "-Q", "member.one")
    celery = (sys.executable, "-m", "celery", "-A", "tests.faults.fragile", "worker", *options)
    environment = {
        **{name: text for name, text in os.environ.items() if not name.startswith("ALARM_")},
        "DJANGO_SETTINGS_MODULE": "alarm_site.settings",
        "DATABASE_URL": own_database(),
        "REDIS_URL": valkey_url,
        "SECRET_KEY": settings.SECRET_KEY,
        "ALARM_DATA": str(tmp_path / "data"),
        "ALARM_DEMO": "0",
        "ALARM_MEMBERS": str(members),
        "ALARM_JOB_LEASE_S": "3",
        "ALARM_CALL_DEADLINE_S": "0.5",
        "ALARM_HANG_S": "0.5",
        "BREAKS": breaks,
        "MARK": str(tmp_path / "asked"),
    }
    open_case(site=make_site(domain="wound"), data=photo())
    family = Family()
    family.add(Child(Program("worker", celery), tmp_path, environment, said.append))
    try:
        deadline = time.monotonic() + PATIENCE_S
        while accounts().in_flight:
            assert time.monotonic() < deadline and len(said) < 3, said
            family.tick(0.5)
            sweep()
    finally:
        family.kill()
    endings = [line for line in said if "stopped" in line]
    assert len(endings) == 1 and f"exit code {status}" in endings[0], said
    [job] = MemberJob.objects.all()
    assert (job.status, job.attempt) == (MemberJob.Status.DONE, 2)
    assert StageTrace.objects.filter(late=False).count() == 3
    assert accounts().balanced and Decision.objects.count() == 1
