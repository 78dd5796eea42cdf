"""From the page of a case to the ones beside it in the list that it was opened from."""

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.factories import make_camera, make_case, make_user
from tests.triage.conftest import Cast
from triage.choices import GlassReason, Role
from triage.models import AuditEvent, CareTeamMember, Case, Lease, Subject
from triage.selectors.cases import case_page
from triage.services import queue
from triage.services.glass import break_glass

pytestmark = pytest.mark.django_db
UNSURE = ("Burns", "Burns", "Cut")


@pytest.fixture
def three(cast: Cast) -> list[Case]:
    """Three that wait, the soonest due first; the oldest of them is due last."""
    made = [make_case(cast.clinic, UNSURE) for _ in range(3)]
    for hours, case in enumerate(made, start=1):
        due, born = timezone.now() + timedelta(hours=hours), timezone.now() - timedelta(days=hours)
        Case.objects.filter(pk=case.pk).update(due_at=due, waiting_due_at=due, created_at=born)
    return [Case.objects.get(pk=case.pk) for case in made]


def client_of(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def beside(user: Any, case: Case, query: str) -> dict[str, str]:
    """rel -> the case that its link leads to, if to another; every link keeps the list."""
    client, found = client_of(user), {}
    html = client.get(reverse("case", args=[case.pk]) + query).content.decode()
    for rel, link in re.findall(r'rel="(prev|next)" href="([^"]+)"', html):
        led_to = client.get(unescape(link)).headers["Location"]
        assert led_to.endswith(f"/{query}")
        found[rel] = led_to.split("/")[2]
    return {rel: other for rel, other in found.items() if other != str(case.pk)}


@pytest.mark.any_database
@pytest.mark.parametrize("name", ["queue", "cases"])
def test_the_links_follow_the_order_of_the_list(cast: Cast, three: list[Case], name: str) -> None:
    first, middle, last = three
    query = f"?in={name}"
    assert beside(cast.clinician, first, query) == {"next": str(middle.pk)}
    assert beside(cast.clinician, middle, query) == {"prev": str(first.pk), "next": str(last.pk)}
    assert beside(cast.clinician, last, query) == {"prev": str(middle.pk)}


def test_at_home_it_is_what_is_due_next(cast: Cast) -> None:
    cases = [make_case(cast.household, UNSURE) for _ in range(2)]
    for hours, case in enumerate(cases, start=1):
        due = timezone.now() + timedelta(hours=hours)
        Case.objects.filter(pk=case.pk).update(due_at=due, waiting_due_at=due)
    first, last = (Case.objects.get(pk=case.pk) for case in cases)
    assert beside(cast.caregiver, first, "?in=household") == {"next": str(last.pk)}
    assert beside(cast.caregiver, last, "?in=household") == {"prev": str(first.pk)}


def test_they_stay_among_what_the_list_was_narrowed_to(cast: Cast, three: list[Case]) -> None:
    subject = Subject.objects.create(site=cast.clinic, pseudonym="Blue Heron")
    for case in (three[0], three[2]):
        Case.objects.filter(pk=case.pk).update(subject=subject)
    assert beside(cast.clinician, three[0], "?in=cases&q=Heron") == {"next": str(three[2].pk)}
    assert beside(cast.clinician, three[0], "?in=cases&status=accepted&q=Heron") == {}


def test_every_row_of_a_list_says_in_which_it_stands(cast: Cast, three: list[Case]) -> None:
    client = client_of(cast.clinician)
    for list_, query in (("queue", "?in=queue"), ("cases", "?in=cases&amp;status=waiting")):
        sent = {"status": "waiting"} if list_ == "cases" else {}
        html = client.get(reverse(list_), sent).content.decode()
        for case in three:
            assert f'href="{reverse("case", args=[case.pk])}{query}"' in html


def test_where_the_list_ends_the_case_stays_and_a_sentence_says_so(
    cast: Cast, three: list[Case]
) -> None:
    client = client_of(cast.clinician)
    for route, case, sentence in (
        ("previous-case", three[0], "This is the first case of the list."),
        ("next-case", three[2], "This is the last case of the list."),
    ):
        page = client.get(reverse(route, args=[case.pk]) + "?in=queue", follow=True)
        assert page.redirect_chain[-1][0] == reverse("case", args=[case.pk]) + "?in=queue"
        assert sentence in page.content.decode()


@pytest.mark.parametrize("query", ["", "?in=", "?in=elsewhere", "?in=../x&q=%00"])
def test_without_a_list_there_are_no_links(cast: Cast, three: list[Case], query: str) -> None:
    html = client_of(cast.clinician).get(reverse("case", args=[three[1].pk]) + query)
    assert "rel=" not in re.sub(r'rel="(?!prev|next)[^"]*"', "", html.content.decode())


def test_a_case_that_waits_no_longer_keeps_its_place(cast: Cast, three: list[Case]) -> None:
    queue.claim(case=three[1], user=cast.clinician)
    expected = {"prev": str(three[0].pk), "next": str(three[2].pk)}
    assert beside(cast.clinician, three[1], "?in=queue") == expected
    assert beside(cast.clinician, three[0], "?in=queue") == {"next": str(three[2].pk)}


def test_going_on_claims_nothing_and_lets_nothing_go(cast: Cast, three: list[Case]) -> None:
    lease = queue.claim(case=three[0], user=cast.clinician)
    beside(cast.clinician, three[1], "?in=queue")
    assert list(Lease.objects.running()) == [lease]


def test_what_a_team_does_not_see_is_passed_over(cast: Cast, three: list[Case]) -> None:
    subject = Subject.objects.create(site=cast.clinic, pseudonym="Blue Heron")
    CareTeamMember.objects.create(subject=subject, user=cast.colleague)
    Case.objects.filter(pk=three[1].pk).update(subject=subject)
    cast.clinic.by_team = True
    cast.clinic.save()
    for query in ("?in=queue", "?in=cases"):
        assert beside(cast.clinician, three[0], query) == {"next": str(three[2].pk)}
        assert beside(cast.colleague, three[0], query) == {"next": str(three[1].pk)}


def test_who_looks_through_broken_glass_learns_of_no_other_case(
    cast: Cast, three: list[Case]
) -> None:
    reason = GlassReason.values[0]
    words = "The family asks about it."
    break_glass(case=three[1], user=cast.administrator, reason=reason, words=words)
    for query in ("?in=queue", "?in=cases", "?in=household"):
        client = client_of(cast.administrator)
        assert client.get(reverse("case", args=[three[1].pk]) + query).status_code == 200
        for route in ("previous-case", "next-case"):
            answer = client.get(reverse(route, args=[three[1].pk]) + query)
            assert answer.headers["Location"] == reverse("case", args=[three[1].pk])


def test_claiming_and_answering_lead_back_into_the_list(cast: Cast, three: list[Case]) -> None:
    client, address = client_of(cast.clinician), reverse("case", args=[three[1].pk])
    query = "?in=cases&q=Heron"
    html = client.get(address + query).content.decode()
    assert f'action="{address}claim/?in=cases&amp;q=Heron"' in html
    assert f'data-url="{address}panel/?in=cases&amp;q=Heron"' in html
    answer = client.post(f"{address}claim/{query}")
    assert answer.headers["Location"] == address + query
    page = client.post(reverse("claim-next"))
    assert page.headers["Content-Location"].endswith("/?in=queue")


# What lies beside it on the stage -----------------------------------------------------------------


def test_of_no_subject_the_cases_of_the_same_camera_lie_beside(cast: Cast) -> None:
    camera, other = make_camera(cast.household, "hall"), make_camera(cast.household, "door")
    nurse = make_user(cast.household, Role.CLINICIAN, "nurse")
    cases = [make_case(cast.household, UNSURE) for _ in range(3)]
    for case, at in zip(cases, (camera, other, camera), strict=True):
        Case.objects.filter(pk=case.pk).update(camera=at)
    newest = Case.objects.get(pk=cases[2].pk)
    page = case_page(case=newest, user=nurse, roles=frozenset({Role.CLINICIAN}))
    assert [one.case for one in page.comparable] == [cases[0]]
    assert page.earlier_of == "hall"
    assert not AuditEvent.objects.filter(verb="photo seen").exists()
