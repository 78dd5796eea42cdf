"""A photo that cannot be judged is asked for again, from whoever sent it, with a hint."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from inference.drawings import draw_wound
from tests.factories import make_case, make_policy
from tests.pictures import jpeg
from tests.triage.conftest import Cast
from triage.choices import CaseStatus, RetakeReason
from triage.errors import Conflict, Refused
from triage.models import Case, Review, Subject
from triage.selectors.evidence import gather
from triage.selectors.retakes import retakes
from triage.services import queue, reviews

pytestmark = pytest.mark.django_db
SPLIT = ("Burns", "Burns", "Cut")


@pytest.fixture
def case(cast: Cast) -> Case:
    make_policy(cast.clinic)
    case = make_case(cast.clinic, SPLIT)
    case.opened_by = cast.colleague
    case.subject = Subject.objects.create(site=cast.clinic, pseudonym="P-7")
    case.save(update_fields=["opened_by", "subject"])
    return case


def ask(cast: Cast, case: Case, **changes: object) -> Review:
    lease = queue.claim(case=case, user=cast.clinician)
    case.refresh_from_db()
    wanted = {
        "case": case,
        "token": lease.token,
        "user": cast.clinician,
        "reason": "dark",
        "version": case.version,
        "comment": "from the left, please",
    }
    review = reviews.ask_again(**(wanted | changes))  # type: ignore[arg-type]
    case.refresh_from_db()
    return review


def client_of(user: object) -> Client:
    client = Client()
    client.force_login(user)  # type: ignore[arg-type]
    return client


def test_its_sender_is_told_what_to_do_and_nobody_else(cast: Cast, case: Case) -> None:
    ask(cast, case)
    assert (case.status, case.label) == (CaseStatus.RETAKE, "")
    [wanted] = retakes(cast.clinic, cast.colleague)
    assert (wanted.hint, wanted.comment) == (str(RetakeReason.DARK.label), "from the left, please")
    assert retakes(cast.clinic, cast.clinician) == []
    page = client_of(cast.colleague).get(reverse("upload")).content.decode()
    assert str(RetakeReason.DARK.label) in page
    assert queue.claim_next(site=cast.clinic, user=cast.colleague) is None


def test_what_a_device_sent_everybody_is_asked_for(cast: Cast, case: Case) -> None:
    Case.objects.filter(pk=case.pk).update(opened_by=None)
    ask(cast, case)
    assert [len(retakes(cast.clinic, one)) for one in (cast.clinician, cast.colleague)] == [1, 1]
    assert retakes(cast.elsewhere, cast.outsider) == []


def test_the_new_photo_takes_its_place(cast: Cast, case: Case) -> None:
    ask(cast, case)
    client = client_of(cast.colleague)
    photo = SimpleUploadedFile("new.jpg", jpeg(draw_wound(3, "Cut")), "image/jpeg")
    assert str(case.pk) in client.get(f"/upload/?again={case.pk}").content.decode()
    client.post("/upload/", {"files": [photo], "again": str(case.pk), "subject": "somebody else"})
    fresh = Case.objects.get(replaces=case)
    assert (fresh.subject, fresh.opened_by) == (case.subject, cast.colleague)
    assert retakes(cast.clinic, cast.colleague) == []
    page = client_of(cast.clinician).get(f"/cases/{case.pk}/").content.decode()
    assert f"/cases/{fresh.pk}/" in page


@pytest.mark.parametrize("again", ["00000000-0000-0000-0000-000000000000", "x", "' or 1=1"])
def test_a_photo_for_no_case_of_ones_own_is_not_found(cast: Cast, again: str) -> None:
    client = client_of(cast.colleague)
    assert client.get("/upload/", {"again": again}).status_code == 404
    assert client.post("/upload/", {"again": again, "sample": "x"}).status_code == 404


def test_another_sites_case_is_not_found_to_replace(cast: Cast, case: Case) -> None:
    ask(cast, case)
    assert client_of(cast.outsider).get(f"/upload/?again={case.pk}").status_code == 404


def test_it_can_be_judged_after_all(cast: Cast, case: Case) -> None:
    ask(cast, case)
    lease = queue.claim(case=case, user=cast.colleague)
    queue.release(lease=lease)
    case.refresh_from_db()
    assert case.status == CaseStatus.RETAKE
    lease = queue.claim(case=case, user=cast.colleague)
    case.refresh_from_db()
    reviews.submit_review(
        case=case, token=lease.token, user=cast.colleague, label="Cut", version=case.version
    )
    case.refresh_from_db()
    assert (case.status, case.label) == (CaseStatus.RESOLVED, "Cut")
    assert retakes(cast.clinic, cast.colleague) == []


def test_a_photo_that_cannot_be_judged_is_no_label(cast: Cast, case: Case) -> None:
    ask(cast, case)
    evidence = gather(site=cast.clinic, domain="wound", ensemble="0" * 64)
    assert evidence is not None and not evidence.labelled.any()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"reason": "ugly"}, Refused),
        ({"comment": "x" * 2001}, Refused),
        ({"version": 1}, Conflict),
        ({"token": "00000000-0000-0000-0000-000000000000"}, Conflict),
    ],
)
def test_what_cannot_be_asked_changes_nothing(
    cast: Cast, case: Case, changes: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        ask(cast, case, **changes)
    assert Case.objects.get(pk=case.pk).status == CaseStatus.IN_REVIEW
    assert not Review.objects.exists()


def test_the_page_asks_with_what_was_typed(cast: Cast, case: Case) -> None:
    client = client_of(cast.clinician)
    lease = queue.claim(case=case, user=cast.clinician)
    case.refresh_from_db()
    sent = {"token": lease.token, "version": case.version, "reason": "far", "comment": "closer"}
    assert client.post(f"/cases/{case.pk}/retake/", sent | {"reason": ""}).status_code == 302
    assert Case.objects.get(pk=case.pk).status == CaseStatus.IN_REVIEW
    client.post(f"/cases/{case.pk}/retake/", sent)
    review = Review.objects.get()
    assert (review.reason, review.comment) == ("far", "closer")
