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


def test_whoever_types_holds_on(cast: Cast, case: Case, held: Lease) -> None:
    soon = timezone.now() + timedelta(seconds=30)
    Lease.objects.filter(pk=held.pk).update(expires_at=soon)
    client = client_of(cast.clinician)
    answer = client.post(f"/cases/{case.pk}/draft/", {"comment": "still at it"})
    held.refresh_from_db()
    assert held.expires_at > soon + timedelta(minutes=5)
    assert answer.headers["Lease-Expires"] == held.expires_at.isoformat()
    Lease.objects.filter(pk=held.pk).update(expires_at=soon)
    assert client.post(f"/cases/{case.pk}/draft/", {"label": "Fall"}).status_code == 422
    held.refresh_from_db()
    assert held.expires_at == soon, "what is refused prolongs nothing"


# After the hold has run out --------------------------------------------------------------------

TYPED = {"label": "Cut", "comment": "a clean edge"}


@pytest.fixture
def over(cast: Cast, case: Case, held: Lease) -> Lease:
    """The hold has run out, and nobody has swept it yet."""
    Lease.objects.filter(pk=held.pk).update(
        taken_at=timezone.now() - timedelta(hours=2),
        expires_at=timezone.now() - timedelta(hours=1),
    )
    held.refresh_from_db()
    return held


def test_claimed_again_what_was_typed_is_there(cast: Cast, case: Case, over: Lease) -> None:
    client, address = client_of(cast.clinician), f"/cases/{case.pk}/"
    page = client.post(f"{address}claim/", TYPED, follow=True).content.decode()
    assert ">a clean edge</textarea>" in page
    [radio] = [tag for tag in page.split("<input") if 'value="Cut"' in tag]
    assert "checked" in radio.split(">")[0]
    assert queue.held_lease(site=cast.clinic, user=cast.clinician) != over


def test_taken_by_a_colleague_what_was_typed_can_be_copied(
    cast: Cast, case: Case, over: Lease
) -> None:
    queue.claim(case=case, user=cast.colleague)
    answer = client_of(cast.clinician).post(f"/cases/{case.pk}/claim/", TYPED)
    assert answer.status_code == 409
    page = answer.content.decode()
    assert "Somebody else has just taken this case." in page
    assert ">a clean edge</textarea>" in page
    assert not Draft.objects.exists()


def test_an_answer_after_the_hold_can_be_claimed_with(cast: Cast, case: Case, over: Lease) -> None:
    """The page that refuses it has the button, and the button takes what was typed along."""
    address = f"/cases/{case.pk}/"
    sent = TYPED | {"token": str(over.token), "version": 1}
    answer = client_of(cast.clinician).post(f"{address}review/", sent)
    assert answer.status_code == 409
    [form] = [
        part.split("</form>")[0]
        for part in answer.content.decode().split("<form")
        if f'action="{address}claim/"' in part.split(">")[0]
    ]
    assert 'data-key="n"' in form
    assert 'name="label" value="Cut"' in form and 'name="comment" value="a clean edge"' in form


@pytest.mark.parametrize("taken_away", [False, True])
def test_the_time_that_is_over_offers_to_claim_again(
    cast: Cast, case: Case, held: Lease, taken_away: bool
) -> None:
    client, address = client_of(cast.clinician), f"/cases/{case.pk}/extend/"
    still = client.post(address, headers={"HX-Request": "true"}).content.decode()
    assert again(still, case).endswith("hidden disabled")
    if taken_away:
        queue.take_away(lease=held, actor=cast.administrator)
    else:
        Lease.objects.update(
            taken_at=timezone.now() - timedelta(hours=2),
            expires_at=timezone.now() - timedelta(hours=1),
        )
    answer = client.post(address, headers={"HX-Request": "true"})
    assert answer.status_code == 200 and "HX-Redirect" not in answer.headers
    part = answer.content.decode()
    assert 'class="lease over"' in part and "data-over" in part
    assert again(part, case).endswith("data-again")
    assert client.post(address).status_code == 302, "a whole page says it in a message"


def again(part: str, case: Case) -> str:
    """The tag of the button that claims again and posts the answer's form along."""
    [tag] = [
        one.split(">")[0] for one in part.split("<button") if "data-again" in one.split(">")[0]
    ]
    assert f'form="answer" formaction="/cases/{case.pk}/claim/"' in tag
    return tag


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
