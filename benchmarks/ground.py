"""What benchmarks stand on: an empty installation, cases that wait, a week that was decided."""

import contextlib
import logging
import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from tests.services import postgres

if TYPE_CHECKING:
    from triage.models import Policy, Site

SITE, MEMBERS, LABELS = "Benchmark clinic", ("alpha", "beta", "gamma"), ("Burns", "Burns", "Cut")
DETAILED = 3000
# Scores, outcomes and answers as a real week has them, written in one statement each.
DECIDED = """UPDATE triage_decision SET policy_id = %s, method = 'cold_start', threshold = 0.6,
    score = (id * 7919 %% 10007) / 10007.0"""
ACCEPTED = """UPDATE triage_decision SET outcome = 'accept', label_probability = 0.1,
    audited = (id %% 10 = 0) WHERE score <= 0.6"""
ANSWERED = """UPDATE triage_case SET status = 'resolved', waiting_due_at = NULL, version = 2,
    label = CASE WHEN d.id %% 7 = 0 THEN 'Cut' ELSE 'Burns' END
    FROM triage_decision d WHERE d.case_id = triage_case.id
    AND (d.audited OR (d.outcome = 'defer' AND d.id %% 2 = 0))"""


@contextlib.contextmanager
def product(database: str, **environment: str) -> Iterator[Path]:
    """The product on an empty database, "sqlite" or "postgresql", migrated; gives its data folder.

    Once a process: settings are read once. `environment` adds to what it starts with.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="alarm-bench-")))
        for name in [name for name in os.environ if name.startswith("ALARM_")]:
            del os.environ[name]
        os.environ.pop("DATABASE_URL", None)
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "alarm_site.settings",
            "ALARM_DATA": str(folder),
            "ALARM_DEMO": "0",
            "ALARM_SECOND_FACTOR": "0",
            "REDIS_URL": "memory://localhost",
            **environment,
        }
        if database == "postgresql":
            os.environ["DATABASE_URL"] = stack.enter_context(postgres())
        import django

        django.setup()
        logging.getLogger("alarm_site.requests").setLevel("WARNING")
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        call_command("collectstatic", interactive=False, verbosity=0)
        yield folder


def emptied() -> None:
    """Takes all rows away, history too."""
    from django.core.management import call_command

    from triage import guards

    guards.take_down()  # the flush puts them up again
    call_command("flush", interactive=False, verbosity=0)


def decided_week(site: "Site") -> "Policy":
    """Has the waiting cases decided by a policy, some accepted and audited, some answered."""
    from django.db import connection

    from tests.factories import fitted
    from triage import guards
    from triage.models import Calibration, Policy

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
    return policy


def seed(cases: int, reviewers: int) -> list[str]:
    """Fill an empty database; gives a session key for each reviewer."""
    from django.contrib.auth.models import User
    from django.test import Client

    from triage.models import Membership, Organisation, Site
    from triage.services.history import start_chain

    organisation = Organisation.objects.create(name="Benchmark")
    site = Site.objects.create(organisation=organisation, name=SITE, kind="clinic", domain="wound")
    start_chain(site)
    waiting_cases(site, cases)
    keys = []
    for number in range(reviewers + 1):
        user = User.objects.create_user(f"reviewer{number}")
        Membership.objects.create(user=user, site=site, role="clinician")
        client = Client()
        client.force_login(user)
        keys.append(client.cookies["sessionid"].value)
    return keys


def waiting_cases(site: object, cases: int) -> None:
    """Deferred cases; the most urgent ones, which will be reviewed, with all that members said."""
    import numpy as np
    from django.db import connection

    from inference.models import Hypothesis, Media, MemberJob, Observation, Run, StageTrace
    from triage.models import Case, Decision

    now = datetime.now(UTC)
    vector = np.zeros(384, dtype="<f4").tobytes()
    for start in range(0, cases, 2000):
        rows = range(start, min(start + 2000, cases))
        observations = Observation.objects.bulk_create([Observation(domain="wound") for _ in rows])
        Media.objects.bulk_create(
            Media(
                observation=one,
                sha256=f"{row:064x}",
                original="o",
                shown="s",
                thumbnail="t",
                width=640,
                height=640,
            )
            for row, one in zip(rows, observations, strict=True)
        )
        runs = Run.objects.bulk_create(
            Run(
                observation=one,
                status=Run.Status.SCORED,
                prediction="Burns",
                ensemble="0" * 64,
                pins={"members": {name: {} for name in MEMBERS}},
                quorum=3,
                deadline_at=now,
            )
            for one in observations
        )
        opened = Case.objects.bulk_create(
            Case(
                site=site,
                domain="wound",
                observation=one,
                sha256=f"{row:064x}",
                status="deferred",
                due_at=now + timedelta(seconds=row),
                waiting_due_at=now + timedelta(seconds=row),
            )
            for row, one in zip(rows, observations, strict=True)
        )
        Decision.objects.bulk_create(
            Decision(
                case=case,
                run=run,
                outcome="defer",
                label="Burns",
                score=0.6,
                threshold=0.2,
                method="cold_start",
                reasons=["above_threshold"],
                label_probability=1.0,
                explanation={
                    "levels": {
                        "overall": "high",
                        "comprehension": "low",
                        "analysis": "high",
                        "reflection": "medium",
                    },
                    "error_probability": 0.4,
                },
            )
            for case, run in zip(opened, runs, strict=True)
        )
        if start < DETAILED:
            MemberJob.objects.bulk_create(
                MemberJob(run=run, member=name, status="done", attempt=1, sent_at=now)
                for run in runs
                for name in MEMBERS
            )
            StageTrace.objects.bulk_create(
                StageTrace(
                    run=run,
                    member=name,
                    stage=stage,
                    attempt=1,
                    prompt_hash="0" * 64,
                    raw_text="x" * 300,
                    valid=True,
                    tokens=60,
                    seconds=0.5,
                    logprob=-0.2,
                    embedding=vector,
                    fields=_said(stage, label),
                )
                for run in runs
                for name, label in zip(MEMBERS, LABELS, strict=True)
                for stage in ("comprehension", "analysis", "reflection")
            )
            Hypothesis.objects.bulk_create(
                Hypothesis(
                    run=run,
                    label=label,
                    share=share,
                    members=list(members),
                    reasoning="A red, moist area with blisters and an uneven border.",
                )
                for run in runs
                for label, share, members in (
                    ("Burns", 0.67, MEMBERS[:2]),
                    ("Cut", 0.33, MEMBERS[2:]),
                )
            )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def _said(stage: str, label: str) -> dict[str, str]:
    text = "A large red area with blisters, moist in the middle, its border uneven and pale. " * 2
    field = {"comprehension": "description", "analysis": "reasoning", "reflection": "reflection"}
    return {field[stage]: text} | ({} if stage == "comprehension" else {"label": label})
