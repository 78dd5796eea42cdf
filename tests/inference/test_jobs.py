"""A job is done once, whoever dies or comes twice."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from inference.backends.registry import MemberSpec
from inference.models import Media, MemberJob, Run, StageTrace
from inference.pipeline.run import Trace
from inference.pipeline.stages import Stage
from inference.services import work
from inference.services.answers import answers_of, final_traces, late_traces
from inference.services.jobs import claim_job, complete_job, fail_job, note_stage, put_back
from inference.services.runs import finish_run
from inference.services.sweep import sweep_runs
from tests.factories import MEMBERS, make_case, make_run, make_site, vector
from tests.pictures import photo

pytestmark = pytest.mark.django_db
Status = MemberJob.Status


@pytest.fixture
def run() -> Run:
    """A run with three queued jobs."""
    case = make_case(make_site(), finish=False)
    Run.objects.all().delete()
    return make_run(case.observation)


@pytest.fixture
def job(run: Run) -> MemberJob:
    return run.jobs.get(member="alpha")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    found: list[int] = []
    monkeypatch.setattr("inference.dispatch.send", lambda jobs: found.extend(j.pk for j in jobs))
    return found


def traces(label: str = "Burns") -> list[Trace]:
    fields = (
        {"description": "red"},
        {"reasoning": "so", "label": label},
        {"reflection": "kept", "label": label},
    )
    return [
        Trace(stage, prompt_hash="0" * 64, raw_text="{}", fields=said, valid=True)
        for stage, said in zip(Stage, fields, strict=True)
    ]


VECTORS = (vector("a").tobytes(), vector("b").tobytes(), None)


def silence(job: MemberJob) -> None:
    """Its worker has died."""
    then = timezone.now() - timedelta(seconds=1)
    MemberJob.objects.filter(pk=job.pk).update(lease_until=then, sent_at=then - timedelta(days=1))


def test_of_two_claims_one_gets_the_job(job: MemberJob) -> None:
    assert claim_job(job_id=job.pk) is not None
    assert claim_job(job_id=job.pk) is None


def test_a_claim_sets_the_run_going(run: Run, job: MemberJob) -> None:
    claim_job(job_id=job.pk)
    run.refresh_from_db()
    assert run.status == Run.Status.RUNNING


def test_a_job_of_a_dead_worker_can_be_claimed_again(job: MemberJob) -> None:
    claim_job(job_id=job.pk)
    silence(job)
    again = claim_job(job_id=job.pk)
    assert again is not None and again.attempt == 2


def test_a_worker_that_lost_its_lease_cannot_write(job: MemberJob) -> None:
    slow = claim_job(job_id=job.pk)
    silence(job)
    quick = claim_job(job_id=job.pk)
    assert slow and quick
    assert complete_job(quick, traces("Burns"), VECTORS)
    assert not complete_job(slow, traces("Cut"), VECTORS)
    labels = StageTrace.objects.filter(stage=Stage.ANALYSIS, late=False)
    assert list(labels.values_list("fields__label", flat=True)) == ["Burns"]
    assert final_traces(job.run)["alpha", Stage.ANALYSIS].fields["label"] == "Burns"
    assert [one.fields["label"] for one in late_traces(job.run)[1:]] == ["Cut", "Cut"]


def test_of_an_erased_observation_nothing_late_is_kept(job: MemberJob) -> None:
    slow = claim_job(job_id=job.pk)
    assert slow
    MemberJob.objects.filter(pk=job.pk).update(token=None)
    Media.objects.filter(observation=job.run.observation).update(shown="")
    assert not complete_job(slow, traces("Cut"), VECTORS)
    assert not StageTrace.objects.exists()


def test_of_an_observation_erased_while_it_was_looked_at_nothing_is_kept(job: MemberJob) -> None:
    """As of a case that a trial asks about once more."""
    mine = claim_job(job_id=job.pk)
    assert mine
    Media.objects.filter(observation=job.run.observation).update(shown="")
    assert complete_job(mine, traces("Cut"), VECTORS)
    assert not StageTrace.objects.exists()


def test_the_sum_of_an_erased_observation_has_no_words(run: Run) -> None:
    answer(run, "alpha", "beta")
    last = claim_job(job_id=run.jobs.get(member="gamma").pk)
    assert last
    Media.objects.filter(observation=run.observation).update(shown="")
    complete_job(last, traces(), VECTORS)
    [hypothesis] = run.hypotheses.all()
    assert (hypothesis.label, hypothesis.reasoning) == ("Burns", "")


def test_a_sum_keeps_the_words(run: Run) -> None:
    answer(run, *MEMBERS)
    [hypothesis] = run.hypotheses.all()
    assert hypothesis.reasoning == "so"


def test_who_sums_up_does_not_lock_the_key_that_a_trace_needs(run: Run) -> None:
    """On PostgreSQL each would wait for the other."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer")
    with CaptureQueriesContext(connection) as asked:
        finish_run(run_id=run.pk)
    locks = [one["sql"] for one in asked if 'FROM "inference_run"' in one["sql"]]
    assert any("FOR NO KEY UPDATE" in sql for sql in locks)


def test_what_was_not_asked_is_no_attempt_and_is_sent_again_when_its_time_has_come(
    job: MemberJob, sent: list[int]
) -> None:
    mine = claim_job(job_id=job.pk)
    assert mine
    put_back(mine, error="left alone", after_s=50)
    job.refresh_from_db()
    assert (job.status, job.attempt, job.error) == (Status.QUEUED, 0, "left alone")
    sweep_runs()
    assert sent == []
    assert job.sent_at is not None
    MemberJob.objects.filter(pk=job.pk).update(sent_at=job.sent_at - timedelta(seconds=49))
    sweep_runs()
    assert sent == []
    MemberJob.objects.filter(pk=job.pk).update(sent_at=job.sent_at - timedelta(seconds=51))
    sweep_runs()
    assert sent == [job.pk]


def answer(run: Run, *members: str, valid: bool = True) -> None:
    for name in members:
        mine = claim_job(job_id=run.jobs.get(member=name).pk)
        assert mine
        said = [replace(trace, valid=valid) for trace in traces()]
        assert complete_job(mine, said, VECTORS)
    run.refresh_from_db()


def test_once_the_quorum_has_answered_the_others_have_a_grace_time(
    run: Run, settings: SimpleNamespace
) -> None:
    settings.ALARM_GRACE_S = 30
    Run.objects.update(quorum=2)
    answer(run, "alpha")
    assert run.deadline_at > timezone.now() + timedelta(minutes=4)
    slow = claim_job(job_id=run.jobs.get(member="gamma").pk)
    answer(run, "beta")
    assert not run.finished
    assert run.deadline_at <= timezone.now() + timedelta(seconds=30)
    assert sweep_runs()["finished"] == 0
    Run.objects.update(deadline_at=timezone.now())
    assert sweep_runs()["finished"] == 1
    run.refresh_from_db()
    assert (run.status, run.prediction, run.problems) == (Run.Status.SCORED, "Burns", [])
    before = list(run.scores.values_list("method", "value"))
    assert slow and not complete_job(slow, traces("Cut"), VECTORS)
    assert [one.member for one in late_traces(run)] == ["gamma"] * 3
    assert answers_of([run]).labels.tolist() == [["Burns", "Burns", ""]]
    run.refresh_from_db()
    assert (run.prediction, list(run.scores.values_list("method", "value"))) == ("Burns", before)


def test_an_answer_within_the_grace_time_counts(run: Run, settings: SimpleNamespace) -> None:
    settings.ALARM_GRACE_S = 30
    Run.objects.update(quorum=2)
    answer(run, "alpha", "beta", "gamma")
    assert (run.status, run.share) == (Run.Status.SCORED, 1.0)
    assert not late_traces(run)


@pytest.mark.parametrize(("grace", "valid"), [(0, True), (30, False)])
def test_without_a_grace_time_or_a_quorum_that_can_be_read_all_are_waited_for(
    run: Run, settings: SimpleNamespace, grace: int, valid: bool
) -> None:
    settings.ALARM_GRACE_S = grace
    Run.objects.update(quorum=2)
    answer(run, "alpha", "beta", valid=valid)
    assert run.deadline_at > timezone.now() + timedelta(minutes=4)


def test_a_sign_of_life_extends_the_lease(job: MemberJob) -> None:
    mine = claim_job(job_id=job.pk)
    assert mine
    MemberJob.objects.filter(pk=job.pk).update(lease_until=timezone.now())
    note_stage([mine], Stage.REFLECTION)
    job.refresh_from_db()
    assert job.stage == Stage.REFLECTION
    assert job.lease_until is not None and job.lease_until > timezone.now()


def test_a_failure_is_tried_again_until_the_attempts_are_over(job: MemberJob) -> None:
    for attempt in (1, 2, 3):
        mine = claim_job(job_id=job.pk)
        assert mine and mine.attempt == attempt
        fail_job(mine, error="hiccup", permanent=False)
    job.refresh_from_db()
    assert (job.status, job.error) == (Status.FAILED, "hiccup")
    assert claim_job(job_id=job.pk) is None


def test_a_permanent_failure_is_not_tried_again(job: MemberJob) -> None:
    mine = claim_job(job_id=job.pk)
    assert mine
    fail_job(mine, error="no weights", permanent=True)
    assert claim_job(job_id=job.pk) is None


def test_the_last_member_in_finishes_the_run(run: Run) -> None:
    for name in MEMBERS:
        run.refresh_from_db()
        assert not run.finished
        mine = claim_job(job_id=run.jobs.get(member=name).pk)
        assert mine
        complete_job(mine, traces(), VECTORS)
    run.refresh_from_db()
    assert (run.status, run.prediction, run.share) == (Run.Status.SCORED, "Burns", 1.0)


def test_a_finished_run_takes_no_more_work(run: Run, job: MemberJob) -> None:
    Run.objects.filter(pk=run.pk).update(status=Run.Status.FAILED)
    assert claim_job(job_id=job.pk) is None


def test_lost_messages_are_sent_again(run: Run, sent: list[int]) -> None:
    assert sweep_runs()["resent"] == 0
    MemberJob.objects.update(sent_at=timezone.now() - timedelta(minutes=5))
    assert sweep_runs()["resent"] == 3
    assert sorted(sent) == sorted(run.jobs.values_list("pk", flat=True))
    assert sweep_runs()["resent"] == 0


def test_a_dead_workers_job_is_sent_again(job: MemberJob, sent: list[int]) -> None:
    claim_job(job_id=job.pk)
    silence(job)
    sweep_runs()
    assert sent == [job.pk]


def test_a_job_that_kills_its_workers_is_given_up(job: MemberJob) -> None:
    for _ in range(3):
        assert claim_job(job_id=job.pk)
        silence(job)
    assert sweep_runs()["given_up"] == 1
    job.refresh_from_db()
    assert job.status == Status.FAILED


def test_a_worker_that_died_before_the_sum_is_made_up_for(run: Run) -> None:
    run.jobs.update(status=Status.FAILED)
    assert sweep_runs()["finished"] == 1
    run.refresh_from_db()
    assert run.status == Run.Status.FAILED


def give_photo(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "shown"
    path.write_bytes(photo())
    media = run.observation.media
    type(media).objects.filter(pk=media.pk).update(shown=str(path))


@pytest.mark.parametrize(
    ("fail", "status", "valid"),
    [
        ("", Status.DONE, [True, True, True]),
        ("garbage", Status.DONE, [False, False, False]),
        ("nan", Status.DONE, [False, False, False]),
        ("unknown_label", Status.DONE, [False, False, False]),
        ("truncated", Status.DONE, [False, False, False]),
        ("empty", Status.DONE, [False, False, False]),
        ("unavailable", Status.FAILED, []),
        ("hang", Status.QUEUED, []),
    ],
)
def test_what_a_member_does_is_stored_as_it_is(
    run: Run,
    job: MemberJob,
    tmp_path: Path,
    settings: object,
    fail: str,
    status: str,
    valid: list[bool],
) -> None:
    settings.MEDIA_ROOT = tmp_path  # type: ignore[attr-defined]
    settings.ALARM_CALL_DEADLINE_S = 0.2  # type: ignore[attr-defined]
    give_photo(run, tmp_path)
    spec = MemberSpec(
        name="alpha",
        backend="scripted",
        domains=("wound",),
        model=uuid4().hex,
        options={"fail": fail},
    )
    with patch("inference.ensemble.all_members", return_value=(spec,)):
        work.execute_job(job_id=job.pk)
    job.refresh_from_db()
    assert job.status == status
    stored = StageTrace.objects.order_by("pk")
    assert list(stored.values_list("valid", flat=True)) == valid
    if status != Status.DONE:
        assert job.error


def test_a_member_that_is_no_longer_configured_fails_for_good(
    run: Run, job: MemberJob, tmp_path: Path, settings: object
) -> None:
    settings.MEDIA_ROOT = tmp_path  # type: ignore[attr-defined]
    give_photo(run, tmp_path)
    with patch("inference.ensemble.all_members", return_value=()):
        work.execute_job(job_id=job.pk)
    job.refresh_from_db()
    assert (job.status, job.error) == (Status.FAILED, "member alpha is not configured")
