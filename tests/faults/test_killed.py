"""A process is killed at each step of a case's way; a sweep and a fresh worker take it on."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.core.files.storage import default_storage
from django.db import connection
from pytest_django.fixtures import Settings

from alarm_site.children import dies_with
from alarm_site.supervisor import ROOT
from inference.models import Hypothesis, MemberJob, Observation, Run, StageTrace
from inference.services.observations import forget_orphans
from tests.factories import make_site, make_user
from tests.pictures import photo
from triage.choices import Role, SiteKind
from triage.models import Ask, AuditEvent, Case, Decision
from triage.selectors.accounts import accounts
from triage.selectors.chains import verify

pytestmark = [pytest.mark.services, pytest.mark.django_db(transaction=True)]
Order = Callable[..., int]
MEMBERS = ("one", "two", "three")
HOUR_S = 3600

DEATHS = {
    "its files are written": ("triage.services.intake.open_run", "before", 1),
    "before intake commits": ("triage.services.intake.open_run", "after", 1),
    "before dispatch": ("inference.dispatch.send", "before", 1),
    "after dispatch": ("inference.dispatch.send", "after", 1),
    "with a job in hand": ("inference.services.work.claim_job", "after", 1),
    "before the first stage": ("inference.services.jobs.note_stage", "before", 1),
    "in the first stage": ("inference.services.jobs.note_stage", "after", 1),
    "in the second stage": ("inference.services.jobs.note_stage", "after", 2),
    "in the third stage": ("inference.services.jobs.note_stage", "after", 3),
    "after the third stage": ("inference.services.work.complete_jobs", "before", 1),
    "while answers are stored": ("inference.models.StageTrace.objects.bulk_create", "after", 1),
    "after the first member": ("inference.services.jobs._finish", "before", 1),
    "before scoring": ("inference.services.jobs._finish", "before", 3),
    "while scoring": ("inference.services.runs._close", "after", 1),
    "before the decision": ("triage.receivers.decide_together", "before", 1),
    "while deciding": ("triage.services.decisions._write_down", "after", 1),
    "before pages are told": ("triage.services.states.tell", "before", 1),
    "after pages are told": ("triage.services.states.tell", "after", 1),
    "before somebody is asked": ("triage.services.asking.ask_next", "before", 1),
    "while somebody is asked": ("triage.models.Ask.objects.create", "after", 1),
    "before that person's phone is told": ("triage.services.asking._tell", "before", 1),
    "after all": ("triage.receivers.decide_together", "after", 1),
}


def own_database() -> str:
    """The address of the database that the tests write to."""
    parts = urlsplit(os.environ["DATABASE_URL"])
    return urlunsplit(parts._replace(path=f"/{connection.settings_dict['NAME']}"))


@pytest.fixture(scope="module")
def mortals(
    tmp_path_factory: pytest.TempPathFactory, django_db_setup: None
) -> Iterator[tuple[Order, Path]]:
    """Has an order carried out by a process of its own; and the folder of its media."""
    media = tmp_path_factory.mktemp("media")
    members = media.with_name("members.toml")
    lines = (f'{name} = {{ backend = "scripted", domains = ["wound"] }}' for name in MEMBERS)
    members.write_text("[members]\n" + "\n".join(lines))
    with subprocess.Popen(
        [sys.executable, "-m", "tests.faults.mortal", str(media), str(members)],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": own_database(), "REDIS_URL": "memory://localhost"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=dies_with(os.getpid()),
    ) as program:

        def order(act: str, **words: object) -> int:
            assert program.stdin and program.stdout
            print(json.dumps({"act": act, **words}), file=program.stdin, flush=True)
            return int(program.stdout.readline())

        yield order, media


@pytest.mark.parametrize("death", DEATHS.values(), ids=DEATHS)
def test_wherever_a_process_dies_its_case_has_one_of_each_effect(
    mortals: tuple[Order, Path], tmp_path: Path, settings: Settings, death: tuple[str, str, int]
) -> None:
    order, media = mortals
    settings.MEDIA_ROOT = media
    home = make_site(kind=SiteKind.HOUSEHOLD, domain="wound")
    make_user(home, Role.CAREGIVER)
    sent = tmp_path / "photo.jpg"
    sent.write_bytes(photo())
    told = {"site": home.pk, "photo": str(sent)}
    assert order("live", **told, death=death) == -signal.SIGKILL, "it never came there"
    # Whoever got no answer sends again.
    assert order("live", **told) == 0
    assert order("recover") == 0
    found = accounts()
    assert found.balanced
    assert (found.observations, found.in_flight) == (1, 0)
    for rows, count in ((Observation, 1), (Case, 1), (Run, 1), (Decision, 1), (Ask, 1)):
        assert rows.objects.count() == count, rows.__name__
    assert set(MemberJob.objects.values_list("member", "status")) == {(n, "done") for n in MEMBERS}
    assert StageTrace.objects.count() == 3 * len(MEMBERS)
    assert sum(len(row.members) for row in Hypothesis.objects.all()) == len(MEMBERS)
    for verb in ("opened", "decided", "asked"):
        assert AuditEvent.objects.filter(verb=verb).count() == 1, verb
    assert verify().intact
    assert kept_files(media) == 3, "what came, what is shown, its thumbnail"


def kept_files(media: Path) -> int:
    """How many files lie there once the broom has been everywhere an hour later."""
    for file in media.glob("*/*/*"):
        old = file.stat().st_mtime - HOUR_S - 1
        os.utime(file, (old, old))
    for prefix in default_storage.listdir("")[0]:
        forget_orphans(prefix)
    files = [path for path in media.rglob("*") if path.is_file()]
    for path in files:
        path.unlink()
    return len(files)
