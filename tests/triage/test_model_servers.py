"""Whatever the server of one member does, the case goes to a person and says why."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inference.backends import openai_compatible, registry
from inference.backends.registry import MemberSpec
from inference.models import MemberJob, Run
from inference.services import work
from inference.services.answers import DIMENSIONS
from tests.factories import make_case, make_policy, make_run, make_site
from tests.model_server import LABEL, model_server
from triage.choices import CaseStatus
from triage.models import Case, Decision
from triage.reasons import in_words

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]
SURE: dict[str, Any] = {"answers": {"any": {"label": LABEL}}, "flips": 0.0}
NO_ANSWER = "Member gamma could not answer."
NOT_READ = "Member gamma gave no readable answer at the stage"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with model_server() as address:
        yield address


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Case:
    """An open case of three members, and a policy that accepts whatever has no problem."""
    site = make_site()
    make_policy(site, method="vote_entropy", threshold=9.0)
    case = make_case(site, finish=False)
    Run.objects.filter(observation=case.observation).delete()
    make_run(case.observation)
    settings.ALARM_CALL_DEADLINE_S = 1.0
    monkeypatch.setattr(openai_compatible, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(work, "ensure_visual", lambda *_: None)
    monkeypatch.setattr(work, "embed", lambda texts: np.ones((len(texts), DIMENSIONS), "<f4"))
    monkeypatch.setattr(work, "frames_of", lambda _: [Image.new("RGB", (8, 8), "red")])
    return case


def ask_all(case: Case, address: str, monkeypatch: pytest.MonkeyPatch) -> MemberJob:
    """Let every member be asked until it has ended; gives the job of the one on the server."""
    far = {"base_url": address, "retries": 1}
    members = (
        MemberSpec("alpha", "scripted", domains=("wound",), options=SURE),
        MemberSpec("beta", "scripted", domains=("wound",), options=SURE),
        MemberSpec("gamma", "openai_compatible", "far", domains=("wound",), options=far),
    )
    monkeypatch.setattr("inference.ensemble.all_members", lambda: members)
    registry.load_backend.cache_clear()
    run = case.observation.runs.get()
    for job in run.jobs.order_by("member"):
        while job.status in MemberJob.UNFINISHED:
            work.execute_job(job_id=job.pk)
            job.refresh_from_db()
    case.refresh_from_db()
    return run.jobs.get(member="gamma")


def test_a_server_that_answers_well_holds_nothing_up(
    case: Case, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = ask_all(case, f"{server}/good", monkeypatch)
    assert (case.status, case.label, job.error) == (CaseStatus.ACCEPTED, LABEL, "")
    assert sum(trace.prompt_tokens for trace in job.run.traces.filter(member="gamma")) == 40


@pytest.mark.parametrize(
    ("fault", "why", "error"),
    [
        ("hang", NO_ANSWER, "no answer within 1 s"),
        ("silence", NO_ANSWER, "no answer within 1 s"),
        ("drip", NO_ANSWER, "no answer within 1 s"),
        ("error", NO_ANSWER, "the model server answered 500"),
        ("reset", NO_ANSWER, "ReadError at the model server"),
        ("shut", NO_ANSWER, "RemoteProtocolError at the model server"),
        ("torn", NO_ANSWER, "RemoteProtocolError at the model server"),
        ("large", NO_ANSWER, "the reply is longer than 1,000,000 bytes"),
        ("html", NO_ANSWER, "the reply is no chat completion"),
        ("garbage", NO_ANSWER, "the reply is no chat completion"),
        ("nul_alone", NO_ANSWER, "the reply is no chat completion"),
        ("no_choices", NO_ANSWER, "choices: Field required"),
        ("nan_logprob", NO_ANSWER, "Input should be a finite number"),
        ("huge_logprob", NO_ANSWER, "Input should be a finite number"),
        ("other", NO_ANSWER, "the reply is one that answered another question"),
        ("truncated", NOT_READ, ""),
        ("nan", NOT_READ, ""),
        ("huge", NOT_READ, ""),
        ("no_label", NOT_READ, ""),
        ("unknown_label", NOT_READ, ""),
        ("nul", NOT_READ, ""),
    ],
)
def test_whatever_a_server_does_the_case_is_deferred_and_says_why(
    case: Case, server: str, monkeypatch: pytest.MonkeyPatch, fault: str, why: str, error: str
) -> None:
    job = ask_all(case, f"{server}/{fault}", monkeypatch)
    assert case.status == CaseStatus.DEFERRED
    reasons = [in_words(code) for code in Decision.objects.get(case=case).reasons]
    assert any(reason.startswith(why) for reason in reasons)
    assert "Only 2 of at least 3 members answered in full." in reasons
    assert error in job.error
    assert not any("\x00" in trace.raw_text for trace in job.run.traces.all())
