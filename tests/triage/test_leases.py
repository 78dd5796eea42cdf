"""Whoever answers for a site sees who holds what, and can end it."""

import pytest
from django.test import Client
from django.urls import reverse

from tests.factories import make_case
from tests.triage.conftest import Cast
from triage.choices import CaseStatus, Role
from triage.errors import Conflict
from triage.models import AuditEvent, Draft, Lease
from triage.selectors.leases import held_cases
from triage.services import queue, reviews

pytestmark = pytest.mark.django_db
SPLIT = ("Burns", "Burns", "Cut")


@pytest.fixture
def lease(cast: Cast) -> Lease:
    make_case(cast.clinic, SPLIT)
    taken = queue.claim_next(site=cast.clinic, user=cast.clinician)
    assert taken
    return taken


def as_person(cast: Cast, name: str) -> Client:
    client = Client()
    client.force_login(getattr(cast, name))
    return client


def test_an_ended_hold_puts_the_case_back_and_keeps_what_was_typed(
    cast: Cast, lease: Lease
) -> None:
    case = lease.case
    reviews.keep_draft(case=case, user=cast.clinician, label="Cut", comment="see the edge")
    page = as_person(cast, "administrator").post(reverse("end-lease", args=[lease.pk]), follow=True)
    assert case.number in page.content.decode()
    case.refresh_from_db()
    assert case.status == CaseStatus.DEFERRED
    assert Draft.objects.get(case=case).comment == "see the edge"
    again = queue.claim_next(site=cast.clinic, user=cast.colleague)
    assert again and again.case_id == case.pk


def test_the_answer_of_whoever_lost_the_hold_is_refused(cast: Cast, lease: Lease) -> None:
    queue.take_away(lease=lease, actor=cast.administrator)
    with pytest.raises(Conflict) as caught:
        reviews.submit_review(
            case=lease.case,
            token=lease.token,
            user=cast.clinician,
            label="Cut",
            version=lease.case.version,
        )
    assert caught.value.code == "lease_over"


def test_the_history_says_who_ended_it(cast: Cast, lease: Lease) -> None:
    queue.take_away(lease=lease, actor=cast.administrator)
    event = AuditEvent.objects.get(verb="took away")
    assert (event.actor, event.case) == (cast.administrator, lease.case)


def test_a_hold_ends_once(cast: Cast, lease: Lease) -> None:
    queue.take_away(lease=lease, actor=cast.administrator)
    with pytest.raises(Conflict):
        queue.take_away(lease=lease, actor=cast.administrator)
    assert AuditEvent.objects.filter(verb="took away").count() == 1


@pytest.mark.parametrize("route", ["end-lease", "api-end-lease"])
def test_another_sites_hold_is_not_found(cast: Cast, route: str) -> None:
    make_case(cast.elsewhere, SPLIT)
    theirs = queue.claim_next(site=cast.elsewhere, user=cast.outsider)
    assert theirs
    answer = as_person(cast, "administrator").post(reverse(route, args=[theirs.pk]))
    assert answer.status_code == 404
    assert held_cases(
        cast.elsewhere, cast.outsider, frozenset({Role.ADMINISTRATOR})
    ) and not held_cases(cast.clinic, cast.administrator, frozenset({Role.ADMINISTRATOR}))


def test_the_api_tells_of_holds_and_ends_them(cast: Cast, lease: Lease) -> None:
    client = as_person(cast, "administrator")
    [told] = client.get(reverse("api-leases")).json()
    assert (told["case"], told["holder"]) == (str(lease.case_id), "clinician")
    assert client.post(reverse("api-end-lease", args=[told["id"]])).status_code == 204
    assert client.get(reverse("api-leases")).json() == []


def test_clinicians_see_holds_and_have_no_button(cast: Cast, lease: Lease) -> None:
    html = as_person(cast, "colleague").get(reverse("leases")).content.decode()
    assert lease.case.number in html and "clinician" in html
    assert "<form" not in html
