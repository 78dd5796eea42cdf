"""A photo comes in whole, or stays outside with a clear word and nothing stored."""

from collections.abc import Callable
from pathlib import Path
from threading import BoundedSemaphore
from unittest.mock import patch

import pytest
from django.conf import settings as django_settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from inference.ensemble import signature
from inference.models import MemberJob, Observation, Run
from tests.pictures import photo
from tests.triage.conftest import Cast
from triage.choices import CaseStatus
from triage.errors import Refused
from triage.models import Case, Decision
from triage.services import intake
from triage.services.intake import DiskFull, open_case
from triage.services.tokens import issue_token

pytestmark = pytest.mark.django_db
Capture = Callable[..., object]


@pytest.fixture(autouse=True)
def scripted(tmp_path: Path, settings: object) -> None:
    """Three scripted members for wounds, none for homes."""
    members = tmp_path / "members.toml"
    lines = "\n".join(
        f'{name} = {{ backend = "scripted", domains = ["wound"] }}' for name in ("a", "b", "c")
    )
    members.write_text(f"[members]\n{lines}\n")
    settings.ALARM_MEMBERS = members  # type: ignore[attr-defined]
    settings.MEDIA_ROOT = tmp_path / "media"  # type: ignore[attr-defined]


@pytest.fixture
def sent() -> list[int]:
    return []


@pytest.fixture(autouse=True)
def broker(sent: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference.dispatch.send", lambda jobs: sent.extend(job.pk for job in jobs))


def files() -> list[Path]:
    root = Path(django_settings.MEDIA_ROOT)
    return [path for path in root.rglob("*") if path.is_file()]


def test_a_photo_becomes_a_case_with_a_job_a_member(
    cast: Cast, sent: list[int], django_capture_on_commit_callbacks: Capture
) -> None:
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[attr-defined]
        opened = open_case(site=cast.clinic, data=photo(), actor=cast.clinician, subject=" P-7 ")
    case = opened.case
    assert opened.created
    assert (case.status, case.site, case.domain) == (CaseStatus.OPEN, cast.clinic, "wound")
    assert case.subject is not None and case.subject.pseudonym == "P-7"
    jobs = MemberJob.objects.filter(run__observation=case.observation)
    assert sorted(jobs.values_list("member", flat=True)) == ["a", "b", "c"]
    assert sorted(sent) == sorted(job.pk for job in jobs)
    assert len(files()) == 3
    assert all(path.stat().st_mode & 0o077 == 0 for path in files())


def test_what_an_answer_depends_on_is_pinned(cast: Cast) -> None:
    run = open_case(site=cast.clinic, data=photo()).case.observation.runs.get()
    assert set(run.pins["members"]) == {"a", "b", "c"}
    assert run.pins["domain"]["id"] == "wound"
    assert len(run.pins["domain"]["digest"]) == 64
    assert run.quorum == 3


def test_another_way_to_ask_about_frames_is_another_ensemble(cast: Cast) -> None:
    members = Path(django_settings.ALARM_MEMBERS)
    together = open_case(site=cast.clinic, data=photo()).case.observation.runs.get()
    lines = members.read_text().replace('["wound"] }', '["wound"], options = { frames = "each" } }')
    members.with_name("each.toml").write_text(lines)
    django_settings.ALARM_MEMBERS = members.with_name("each.toml")
    each = open_case(site=cast.clinic, data=photo(side=50)).case.observation.runs.get()
    assert each.pins["members"]["a"]["frames"] == "each"
    assert each.ensemble != together.ensemble
    for one in together.pins["members"].values():
        del one["frames"]
    assert signature(together.pins) == together.ensemble, "as before there were frames"


def test_the_same_photo_twice_is_one_case(cast: Cast) -> None:
    first = open_case(site=cast.clinic, data=photo())
    second = open_case(site=cast.clinic, data=photo())
    assert (second.created, second.case) == (False, first.case)
    assert Case.objects.count() == Observation.objects.count() == 1
    assert len(files()) == 3


def test_two_sites_with_the_same_photo_do_not_learn_of_each_other(cast: Cast) -> None:
    first = open_case(site=cast.clinic, data=photo())
    second = open_case(site=cast.elsewhere, data=photo())
    assert second.created and second.case != first.case


def test_two_at_once_are_one_case(cast: Cast) -> None:
    first = open_case(site=cast.clinic, data=photo())
    real = Case.objects.filter
    answers = iter([Case.objects.none()])

    def late(*args: object, **kwargs: object) -> object:
        return next(answers, None) or real(*args, **kwargs)

    with patch.object(Case.objects, "filter", side_effect=late):
        second = open_case(site=cast.clinic, data=photo())
    assert (second.created, second.case) == (False, first.case)
    assert len(files()) == 3


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty"),
        (b"hello", "not_an_image"),
        (photo(side=256)[:-40], "truncated"),
        (photo(side=8), "too_small"),
    ],
)
def test_what_is_no_photo_leaves_nothing_behind(cast: Cast, data: bytes, code: str) -> None:
    with pytest.raises(Refused) as caught:
        open_case(site=cast.clinic, data=data)
    assert caught.value.code == code
    assert not Observation.objects.exists()
    assert not files()


def test_a_failure_half_way_leaves_nothing_behind(cast: Cast) -> None:
    with (
        patch("triage.services.intake.open_run", side_effect=RuntimeError),
        pytest.raises(RuntimeError),
    ):
        open_case(site=cast.clinic, data=photo())
    assert not Observation.objects.exists()
    assert not files()


def test_a_full_disk_is_said_and_leaves_nothing_behind(cast: Cast) -> None:
    full = OSError(28, "No space left on device")
    with (
        patch("inference.models.Media.save", side_effect=full),
        pytest.raises(DiskFull, match="no room"),
    ):
        open_case(site=cast.clinic, data=photo())
    assert not Observation.objects.exists()
    assert not files()


def test_without_members_a_person_is_asked_and_nobody_invents_an_answer(
    cast: Cast, django_capture_on_commit_callbacks: Capture
) -> None:
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[attr-defined]
        case = open_case(site=cast.household, data=photo()).case
    case.refresh_from_db()
    assert case.status == CaseStatus.DEFERRED
    assert "no_members" in Decision.objects.get(case=case).reasons
    assert Run.objects.get().prediction == ""


def test_a_file_that_gets_no_turn_is_sent_back_for_later(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "PATIENCE_S", 0.01)
    monkeypatch.setattr(intake, "_turns", BoundedSemaphore(1))
    with intake._turn(), pytest.raises(intake.Busy, match="Send this one again in a minute"):
        open_case(site=cast.clinic, data=photo())
    assert Case.objects.count() == 0
    with pytest.raises(Refused):
        open_case(site=cast.clinic, data=b"no picture")
    assert open_case(site=cast.clinic, data=photo()).created, "a refused file gave its turn back"


def test_a_camera_is_told_to_come_again_in_a_minute(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "PATIENCE_S", 0.01)
    monkeypatch.setattr(intake, "_turns", BoundedSemaphore(1))
    device = Client(headers={"Authorization": f"Bearer {issue_token(site=cast.clinic, name='d')}"})
    with intake._turn():
        upload = SimpleUploadedFile("a.jpg", photo())
        answer = device.post("/api/v1/observations", {"file": upload})
    assert answer.status_code == 503
    assert "again in a minute" in answer.content.decode()
