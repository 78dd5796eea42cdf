"""What was typed is still there after a reload, for its writer alone, until the answer."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from tests.factories import make_case, make_policy
from tests.triage.conftest import Cast
from triage.choices import CaseStatus
from triage.errors import Conflict, Refused
from triage.models import Case, Draft, Lease
from triage.services import queue, reviews

pytestmark = pytest.mark.django_db
SPLIT = ("Burns", "Burns", "Cut")


@pytest.fixture
def case(cast: Cast) -> Case:
    make_policy(cast.clinic, threshold=0.2)
    return make_case(cast.clinic, SPLIT)


@pytest.fixture
def held(cast: Cast, case: Case) -> Lease:
    return queue.claim(case=case, user=cast.clinician)


def client_of(user: object) -> Client:
    client = Client()
    client.force_login(user)  # type: ignore[arg-type]
    return client


def test_a_draft_comes_back_with_the_page(cast: Cast, case: Case, held: Lease) -> None:
    client, address = client_of(cast.clinician), f"/cases/{case.pk}/"
    typed = {"label": "Cut", "comment": "a clean edge\x00"}
    assert client.post(f"{address}draft/", typed).status_code == 204
    assert client.post(f"{address}draft/", typed | {"comment": "clean"}).status_code == 204
    page = client.get(address).content.decode()
    assert ">clean</textarea>" in page
    assert "Your draft is back." in page
    [radio] = [tag for tag in page.split("<input") if 'value="Cut"' in tag]
    assert "checked" in radio.split(">")[0]
    assert Draft.objects.count() == 1


def test_a_draft_outlives_the_session(cast: Cast, case: Case, held: Lease) -> None:
    client, address = client_of(cast.clinician), f"/cases/{case.pk}/"
    client.post(f"{address}draft/", {"label": "Cut", "comment": "half a thought"})
    session = client.session
    session["active_at"] -= 31 * 60
    session.save()
    assert client.get(address).status_code == 302
    client.post("/sign-in/", {"username": "clinician", "password": "secret"})
    assert ">half a thought</textarea>" in client.get(address).content.decode()


def test_a_draft_is_its_writers_alone(cast: Cast, case: Case, held: Lease) -> None:
    reviews.keep_draft(case=case, user=cast.clinician, label="", comment="my doubts")
    queue.release(lease=held)
    assert "my doubts" not in client_of(cast.clinician).get(f"/cases/{case.pk}/").content.decode()
    queue.claim(case=case, user=cast.colleague)
    assert "my doubts" not in client_of(cast.colleague).get(f"/cases/{case.pk}/").content.decode()


def test_whoever_takes_the_case_up_again_finds_the_draft(
    cast: Cast, case: Case, held: Lease
) -> None:
    reviews.keep_draft(case=case, user=cast.clinician, label="Cut", comment="")
    queue.release(lease=held)
    queue.claim(case=case, user=cast.clinician)
    page = client_of(cast.clinician).get(f"/cases/{case.pk}/").content.decode()
    assert "Your draft is back." in page


def test_the_answer_ends_all_drafts_of_the_case(cast: Cast, case: Case, held: Lease) -> None:
    reviews.keep_draft(case=case, user=cast.clinician, label="Cut", comment="first")
    queue.release(lease=held)
    lease = queue.claim(case=case, user=cast.colleague)
    reviews.keep_draft(case=case, user=cast.colleague, label="", comment="second")
    case.refresh_from_db()
    reviews.submit_review(
        case=case, token=lease.token, user=cast.colleague, label="Burns", version=case.version
    )
    assert not Draft.objects.exists()


def test_nothing_typed_keeps_nothing(cast: Cast, case: Case, held: Lease) -> None:
    reviews.keep_draft(case=case, user=cast.clinician, label="Cut", comment="")
    reviews.keep_draft(case=case, user=cast.clinician, label="", comment="")
    assert not Draft.objects.exists()


def test_only_the_holder_keeps_a_draft(cast: Cast, case: Case, held: Lease) -> None:
    with pytest.raises(Conflict, match="do not hold"):
        reviews.keep_draft(case=case, user=cast.colleague, label="Cut", comment="")
    Lease.objects.filter(pk=held.pk).update(
        taken_at=timezone.now() - timedelta(hours=2),
        expires_at=timezone.now() - timedelta(hours=1),
    )
    with pytest.raises(Conflict, match="do not hold"):
        reviews.keep_draft(case=case, user=cast.clinician, label="Cut", comment="")
    assert not Draft.objects.exists()


@pytest.mark.parametrize(
    ("label", "comment"), [("Fall", ""), ("Cut", "x" * 2001)], ids=["label", "comment"]
)
def test_what_no_answer_may_hold_no_draft_may(
    cast: Cast, case: Case, held: Lease, label: str, comment: str
) -> None:
    with pytest.raises(Refused):
        reviews.keep_draft(case=case, user=cast.clinician, label=label, comment=comment)
    answer = client_of(cast.clinician).post(
        f"/cases/{case.pk}/draft/", {"label": label, "comment": comment}
    )
    assert answer.status_code == 422
    assert not Draft.objects.exists()


def test_nobody_drafts_on_a_case_while_holding_another(cast: Cast, case: Case, held: Lease) -> None:
    other = make_case(cast.clinic, SPLIT)
    with pytest.raises(Conflict):
        reviews.keep_draft(case=other, user=cast.clinician, label="Cut", comment="")
    assert not Draft.objects.exists()


@pytest.mark.parametrize("end", ["read", "read otherwise", "retake"])
def test_a_draft_ends_with_the_reading_that_it_became(cast: Cast, end: str) -> None:
    make_policy(cast.clinic, threshold=0.2)
    case = make_case(cast.clinic, SPLIT)
    Case.objects.filter(pk=case.pk).update(readings=2)
    if end == "read otherwise":
        answered(cast, case, cast.colleague, "Burns")
    lease = queue.claim(case=case, user=cast.clinician)
    reviews.keep_draft(case=case, user=cast.clinician, label="Cut", comment="torn")
    case.refresh_from_db()
    if end == "retake":
        reviews.ask_again(
            case=case,
            token=lease.token,
            user=cast.clinician,
            reason="dark",
            version=case.version,
        )
    else:
        queue.release(lease=lease)
        answered(cast, case, cast.clinician, "Cut")
    assert Case.objects.get(pk=case.pk).status != CaseStatus.RESOLVED
    assert not Draft.objects.exists()


def answered(cast: Cast, case: Case, user: User, label: str) -> None:
    lease = queue.claim(case=case, user=user)
    case.refresh_from_db()
    reviews.submit_review(
        case=case, token=lease.token, user=user, label=label, version=case.version
    )
