"""What is erased is gone, what counts on it stays, and what is needed or held is not erased."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from inference.models import Hypothesis, Media, MemberJob, StageTrace, media_folder
from tests.factories import make_case, make_policy
from tests.pictures import photo
from tests.triage.conftest import Cast
from triage import guards
from triage.choices import CaseStatus
from triage.errors import Conflict, Refused
from triage.management.commands.sweep import sweep
from triage.models import AuditEvent, Case, Erasure, LegalHold, Review, Site, Subject
from triage.selectors.accounts import accounts
from triage.selectors.chains import verify
from triage.selectors.policies import policies_page
from triage.services import erasing, queue, reviews
from triage.services.intake import open_case

pytestmark = pytest.mark.django_db
SPLIT, SURE = ("Burns", "Burns", "Cut"), ("Burns", "Burns", "Burns")
Capture = Callable[..., object]


@pytest.fixture(autouse=True)
def media(tmp_path: Path, settings: object) -> Path:
    settings.MEDIA_ROOT = tmp_path  # type: ignore[attr-defined]
    settings.ALARM_MEMBERS = tmp_path / "none.toml"  # type: ignore[attr-defined]
    return tmp_path


def with_files(case: Case) -> Case:
    """As intake would have stored it: all files in the observation's own folder."""
    media = Media.objects.get(observation=case.observation)
    folder = media_folder(media)
    for name in ("original", "shown", "thumbnail"):
        stored = default_storage.save(f"{folder}/{name}", ContentFile(b"jpeg"))
        setattr(media, name, stored)
    media.save()
    return case


def answered(cast: Cast, *, comment: str = "on the left heel", subject: str = "P-1") -> Case:
    case = with_files(make_case(cast.clinic, SPLIT))
    one, _new = Subject.objects.get_or_create(site=cast.clinic, pseudonym=subject)
    Case.objects.filter(pk=case.pk).update(subject=one)
    lease = queue.claim(case=case, user=cast.clinician)
    case.refresh_from_db()
    reviews.submit_review(
        case=case, token=lease.token, user=cast.clinician, label="Cut",
        version=case.version, comment=comment,
    )  # fmt: skip
    case.refresh_from_db()
    return case


def files(media: Path) -> list[Path]:
    return [path for path in media.rglob("*") if path.is_file()]


def erase(cast: Cast, case: Case, capture: Capture, reason: str = "asked for") -> Erasure:
    with capture(execute=True):  # type: ignore[attr-defined]
        return erasing.erase_case(case=case, actor=cast.administrator, reason=reason)


def test_files_and_words_are_gone_and_the_tombstone_stays(
    cast: Cast, media: Path, django_capture_on_commit_callbacks: Capture
) -> None:
    case = answered(cast)
    assert len(files(media)) == 3
    MemberJob.objects.update(error="saw a heel")
    before = case.sha256
    erasure = erase(cast, case, django_capture_on_commit_callbacks)
    case.refresh_from_db()
    erasure.refresh_from_db()
    assert files(media) == []
    assert (case.sha256, case.label, case.status) == (before, "Cut", CaseStatus.RESOLVED)
    assert (erasure.by, erasure.reason) == (cast.administrator, "asked for")
    assert erasure.files_gone_at is not None
    assert Review.objects.get(case=case).comment == ""
    assert Review.objects.get(case=case).label == "Cut"
    for trace in StageTrace.objects.all():
        assert trace.raw_text == ""
        assert set(trace.fields) <= {"label"}
    assert StageTrace.objects.filter(fields__label="Burns").exists(), "labels are no words"
    assert set(Hypothesis.objects.values_list("reasoning", flat=True)) == {""}
    assert set(MemberJob.objects.values_list("error", flat=True)) == {""}
    told = AuditEvent.objects.get(verb="erased")
    assert told.details == {"reason": "asked for", "sha256": before}
    assert verify().intact


def test_a_visual_likeness_is_erased_too(
    cast: Cast, django_capture_on_commit_callbacks: Capture
) -> None:
    case = answered(cast)
    type(case.observation).objects.update(visual=b"\x00" * 8)
    erase(cast, case, django_capture_on_commit_callbacks)
    case.observation.refresh_from_db()
    assert case.observation.visual is None


def test_the_pages_say_so_and_serve_nothing(
    cast: Cast, django_capture_on_commit_callbacks: Capture
) -> None:
    case = answered(cast)
    client = Client()
    client.force_login(cast.clinician)
    assert client.get(reverse("photo", args=[case.pk])).status_code == 200
    erase(cast, case, django_capture_on_commit_callbacks, "the patient asked for it")
    page = client.get(reverse("case", args=[case.pk])).content.decode()
    for words in (
        "The picture was erased",
        "the patient asked for it",
        "administrator",
        case.sha256,
    ):
        assert words in page
    assert "left heel" not in page
    assert reverse("photo", args=[case.pk]) not in page
    assert reverse("thumbnail", args=[case.pk]) not in client.get(reverse("cases")).content.decode()
    for route in ("photo", "thumbnail", "clip"):
        assert client.get(reverse(route, args=[case.pk])).status_code == 404


def test_a_file_that_cannot_be_deleted_is_served_to_nobody_and_tried_again(
    cast: Cast, media: Path, django_capture_on_commit_callbacks: Capture
) -> None:
    case = answered(cast)
    with patch("triage.services.erasing.forget_files", side_effect=PermissionError("busy")):
        erasure = erase(cast, case, django_capture_on_commit_callbacks)
        sweep()
    erasure.refresh_from_db()
    assert erasure.files_gone_at is None
    assert len(files(media)) == 3
    client = Client()
    client.force_login(cast.clinician)
    assert client.get(reverse("photo", args=[case.pk])).status_code == 404
    client.force_login(cast.administrator)
    assert "tried again" in client.get(reverse("retention")).content.decode()
    assert sweep()["files_gone"] == 1
    assert files(media) == []
    assert sweep()["files_gone"] == 0


def test_nothing_is_half_done_when_it_breaks(cast: Cast, media: Path) -> None:
    case = answered(cast)
    with (
        patch("triage.services.erasing.record", side_effect=RuntimeError),
        pytest.raises(RuntimeError),
    ):
        erasing.erase_case(case=case, actor=cast.administrator, reason="asked for")
    case.refresh_from_db()
    assert (case.erased_at, Erasure.objects.count(), len(files(media))) == (None, 0, 3)
    assert Review.objects.get(case=case).comment == "on the left heel"


def test_what_waits_for_a_person_is_not_erased(cast: Cast) -> None:
    waiting = make_case(cast.clinic, SPLIT)
    running = make_case(cast.clinic, SPLIT, finish=False)
    held = make_case(cast.clinic, SPLIT)
    queue.claim(case=held, user=cast.clinician)
    for case in (waiting, running, held):
        with pytest.raises(Conflict, match="still needed"):
            erasing.erase_case(case=case, actor=cast.administrator, reason="asked for")
    assert not Erasure.objects.exists()


def test_an_erased_case_is_not_judged_again(
    cast: Cast, django_capture_on_commit_callbacks: Capture
) -> None:
    make_policy(cast.clinic)
    accepted, resolved = with_files(make_case(cast.clinic, SURE)), answered(cast)
    assert accepted.status == CaseStatus.ACCEPTED
    for case in (accepted, resolved):
        erase(cast, case, django_capture_on_commit_callbacks)
    with pytest.raises(Conflict, match="erased"):
        queue.claim(case=accepted, user=cast.clinician)
    with pytest.raises(Conflict, match="erased"):
        reviews.undo_review(case=resolved, user=cast.clinician)
    with pytest.raises(Conflict, match="already"):
        erasing.erase_case(case=accepted, actor=cast.administrator, reason="again")


def test_the_same_photo_does_not_come_back(
    cast: Cast, media: Path, django_capture_on_commit_callbacks: Capture
) -> None:
    case = open_case(site=cast.clinic, data=photo()).case
    Case.objects.filter(pk=case.pk).update(status=CaseStatus.ACCEPTED)
    assert files(media)
    erase(cast, case, django_capture_on_commit_callbacks)
    again = open_case(site=cast.clinic, data=photo())
    assert (again.created, again.case.pk, files(media)) == (False, case.pk, [])


def test_statistics_stay_as_they_were(
    cast: Cast, django_capture_on_commit_callbacks: Capture
) -> None:
    make_policy(cast.clinic, audit_share=1.0)
    for _ in range(3):
        answered(cast)
    before = policies_page(site=cast.clinic, user=cast.administrator)
    for case in Case.objects.all():
        erase(cast, case, django_capture_on_commit_callbacks)
    after = policies_page(site=cast.clinic, user=cast.administrator)
    assert (after.audit, after.labels, after.deferral) == (
        before.audit,
        before.labels,
        before.deferral,
    )
    assert accounts().balanced


def test_all_of_a_subject_is_erased_but_what_waits(
    cast: Cast, media: Path, django_capture_on_commit_callbacks: Capture
) -> None:
    answered(cast)
    other = answered(cast, subject="P-2")
    waiting = make_case(cast.clinic, SPLIT)
    subject = Subject.objects.get(pseudonym="P-1")
    Case.objects.filter(pk=waiting.pk).update(subject=subject)
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[attr-defined]
        done = erasing.erase_subject(subject=subject, actor=cast.administrator, reason="asked for")
    assert (done.erased, done.waiting) == (1, 1)
    subject.refresh_from_db()
    assert subject.pseudonym == "P-1", "it is needed as long as a case of it waits"
    Case.objects.filter(pk=waiting.pk).update(status=CaseStatus.ACCEPTED, waiting_due_at=None)
    erasing.erase_subject(subject=subject, actor=cast.administrator, reason="asked for")
    subject.refresh_from_db()
    assert subject.pseudonym == f"erased {subject.pk}"
    other.refresh_from_db()
    assert other.erased_at is None
    assert len(files(media)) == 3


@pytest.mark.parametrize("on", ["case", "subject"])
def test_a_legal_hold_stops_it_until_it_is_lifted(
    cast: Cast, on: str, django_capture_on_commit_callbacks: Capture
) -> None:
    case = answered(cast)
    target = case if on == "case" else Subject.objects.get()
    held = erasing.hold(target=target, actor=cast.administrator, reason="a dispute")
    with pytest.raises(Conflict, match="legal hold"):
        erasing.erase_case(case=case, actor=cast.administrator, reason="asked for")
    with pytest.raises(Conflict, match="legal hold"):
        erasing.erase_subject(
            subject=Subject.objects.get(), actor=cast.administrator, reason="asked for"
        )
    with pytest.raises(Conflict, match="on it already"):
        erasing.hold(target=target, actor=cast.administrator, reason="again")
    Site.objects.update(keep_resolved_days=1)
    Case.objects.update(resolved_at=timezone.now() - timedelta(days=5))
    assert erasing.retain() == 0
    erasing.lift(held=held, actor=cast.administrator, reason="settled")
    with pytest.raises(Conflict, match="lifted already"):
        erasing.lift(held=held, actor=cast.administrator, reason="again")
    assert erasing.retain() == 1
    verbs = AuditEvent.objects.filter(verb__startswith="legal hold").values_list("verb", flat=True)
    assert list(verbs) == ["legal hold set", "legal hold lifted"]


@pytest.mark.parametrize(
    ("field", "status", "since"),
    [
        ("keep_accepted_days", CaseStatus.ACCEPTED, "created_at"),
        ("keep_resolved_days", CaseStatus.RESOLVED, "resolved_at"),
        ("keep_unresolved_days", CaseStatus.RETAKE, "created_at"),
    ],
)
def test_each_class_is_kept_as_long_as_its_site_says(
    cast: Cast, field: str, status: str, since: str
) -> None:
    now = timezone.now()
    ages = {days: make_case(cast.clinic, SPLIT) for days in (29, 31)}
    stranger = make_case(cast.elsewhere, SPLIT)
    waiting = make_case(cast.clinic, SPLIT)
    Case.objects.update(created_at=now - timedelta(days=99))
    for days, case in [*ages.items(), (31, stranger)]:
        Case.objects.filter(pk=case.pk).update(
            status=status, label="Cut", waiting_due_at=None,
            **{since: now - timedelta(days=days)},
        )  # fmt: skip
    assert erasing.retain() == 0, "by default everything is kept"
    Site.objects.filter(pk=cast.clinic.pk).update(**{field: 30})
    assert sweep()["erased"] == 1
    assert [one.case for one in Erasure.objects.all()] == [ages[31]]
    assert (Erasure.objects.get().by, Erasure.objects.get().reason) == (None, "30")
    Site.objects.filter(pk=cast.clinic.pk).update(
        keep_accepted_days=1, keep_resolved_days=1, keep_unresolved_days=1
    )
    call_command("retain")
    waiting.refresh_from_db()
    assert (waiting.status, waiting.erased_at) == (CaseStatus.DEFERRED, None)
    assert Erasure.objects.count() == 2


def test_a_dry_run_only_counts(cast: Cast, capsys: pytest.CaptureFixture[str]) -> None:
    answered(cast)
    Case.objects.update(resolved_at=timezone.now() - timedelta(days=5))
    Site.objects.update(keep_resolved_days=1)
    call_command("retain", "--dry-run")
    assert "1 cases would be erased" in capsys.readouterr().out
    assert not Erasure.objects.exists()


@pytest.mark.parametrize("reason", ["", "  ", "x" * 201, "a\x00b"])
def test_it_takes_a_reason(cast: Cast, reason: str) -> None:
    case = answered(cast)
    with pytest.raises(Refused, match="reason"):
        erasing.erase_case(case=case, actor=cast.administrator, reason=reason)


def test_the_database_lets_only_an_erased_comment_be_blanked(
    cast: Cast, django_capture_on_commit_callbacks: Capture
) -> None:
    kept, erased = answered(cast), answered(cast)
    erase(cast, erased, django_capture_on_commit_callbacks)
    with guards.lifted():
        Review.objects.filter(case=erased).update(comment="left over")
    Review.objects.filter(case=erased).update(comment="")
    for case, comment in ((kept, ""), (erased, "something else")):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            Review.objects.filter(case=case).update(comment=comment)


@pytest.fixture
def administrator(cast: Cast) -> Client:
    client = Client()
    client.force_login(cast.administrator)
    return client


def test_an_administrator_erases_by_number_without_seeing_a_picture(
    cast: Cast, administrator: Client
) -> None:
    case = answered(cast)
    said = {"kind": "case", "name": case.number, "reason": "asked for"}
    page = administrator.post(reverse("erase"), said, follow=True).content.decode()
    assert f"Case {case.number} is erased." in page
    assert "<img" not in page
    assert Erasure.objects.get().by == cast.administrator


def test_another_sites_case_or_subject_is_not_found(cast: Cast, administrator: Client) -> None:
    other = make_case(cast.elsewhere, SPLIT)
    Subject.objects.create(site=cast.elsewhere, pseudonym="P-9")
    for kind, name in (("case", other.number), ("subject", "P-9"), ("case", "x"), ("case", "")):
        for route in ("erase", "hold"):
            administrator.post(reverse(route), {"kind": kind, "name": name, "reason": "r"})
    assert not Erasure.objects.exists()
    assert not LegalHold.objects.exists()


def test_days_are_set_and_emptied(cast: Cast, administrator: Client) -> None:
    administrator.post(reverse("retention-set"), {"accepted": "30", "resolved": "365"})
    cast.clinic.refresh_from_db()
    assert (cast.clinic.keep_accepted_days, cast.clinic.keep_resolved_days) == (30, 365)
    administrator.post(reverse("retention-set"), {"accepted": "0"})
    cast.clinic.refresh_from_db()
    assert cast.clinic.keep_accepted_days == 30
    administrator.post(reverse("retention-set"), {"resolved": "365"})
    cast.clinic.refresh_from_db()
    assert cast.clinic.keep_accepted_days is None


def test_the_page_shows_holds_and_lifts_them(cast: Cast, administrator: Client) -> None:
    case = answered(cast)
    said = {"kind": "subject", "name": "P-1", "reason": "a dispute"}
    assert "a dispute" in administrator.post(reverse("hold"), said, follow=True).content.decode()
    held = LegalHold.objects.get()
    administrator.post(reverse("lift", args=[held.pk]), {"reason": "settled"})
    held.refresh_from_db()
    assert (held.lifted_by, held.lifted_reason) == (cast.administrator, "settled")
    assert case.status == CaseStatus.RESOLVED


def test_the_api_does_the_same(cast: Cast, administrator: Client) -> None:
    case = answered(cast)
    kinds = "application/json"
    said = {"kind": "case", "name": case.number, "reason": "a dispute"}
    held = administrator.post(reverse("api-holds"), said, kinds).json()
    assert administrator.post(reverse("api-erase"), said, kinds).status_code == 409
    lifted = administrator.post(reverse("api-lift", args=[held["id"]]), {"reason": "r"}, kinds)
    assert lifted.json()["lifted_reason"] == "r"
    assert administrator.post(reverse("api-erase"), said, kinds).json() == {
        "erased": 1,
        "waiting": 0,
    }
    body = administrator.patch(reverse("api-retention"), {"accepted": 7}, kinds).json()
    assert body["classes"][0] == {"name": "accepted", "days": 7, "cases": 0}
    assert body["erasures"][0]["case"] == case.number


def test_the_page_costs_the_same_few_queries(
    cast: Cast, administrator: Client, django_assert_max_num_queries: Capture
) -> None:
    for _ in range(4):
        erasing.erase_case(case=answered(cast), actor=cast.administrator, reason="r")
    with django_assert_max_num_queries(11):  # type: ignore[attr-defined]
        administrator.get(reverse("retention"))


def test_another_sites_hold_is_not_found(cast: Cast, administrator: Client) -> None:
    other = make_case(cast.elsewhere, SPLIT)
    held = erasing.hold(target=other, actor=cast.outsider, reason="a dispute")
    for route in ("lift", "api-lift"):
        answer = administrator.post(reverse(route, args=[held.pk]), {"reason": "r"})
        assert answer.status_code == 404
    held.refresh_from_db()
    assert held.lifted_at is None
