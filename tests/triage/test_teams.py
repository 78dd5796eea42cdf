"""Where a site goes by care teams, no clinician meets a case of another team's patient."""

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.test import Client
from django.urls import reverse

from tests.factories import make_case, make_policy, make_user
from tests.triage.conftest import Cast
from tests.triage.test_access import ABOUT_A_CASE, CLINICIAN, ROUTES, url_of
from triage import events
from triage.choices import AlertKind, CaseStatus, GlassReason, PolicyStatus, Role
from triage.consumers import ChangesConsumer
from triage.errors import Conflict, Refused
from triage.models import Alert, AuditEvent, CareTeamMember, Case, Membership, Subject
from triage.selectors.teams import cases_for, lost_cases, teams_page
from triage.services import queue, reviews, teams
from triage.services.monitoring import check
from triage.services.people import disable

pytestmark = pytest.mark.django_db
UNSURE = ("Burns", "Cut", "Cut")


@pytest.fixture
def patient(cast: Cast) -> Subject:
    """Looked after by the clinician and not by the colleague; nothing else is at the site."""
    subject = Subject.objects.create(site=cast.clinic, pseudonym="Blue Heron")
    CareTeamMember.objects.create(subject=subject, user=cast.clinician)
    cast.clinic.by_team = True
    cast.clinic.save()
    return subject


@pytest.fixture
def case(cast: Cast, patient: Subject) -> Case:
    return case_of(patient)


def case_of(subject: Subject) -> Case:
    made = make_case(subject.site, UNSURE)
    Case.objects.filter(pk=made.pk).update(subject=subject)
    made.refresh_from_db()
    return made


def client_of(user: Any) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


def body_of(answer: Any) -> str:
    return (b"".join(answer) if answer.streaming else answer.content).decode(errors="replace")


def test_without_the_setting_everybody_sees_everything(cast: Cast, case: Case) -> None:
    cast.clinic.by_team = False
    cast.clinic.save()
    assert client_of(cast.colleague).get(reverse("case", args=[case.pk])).status_code == 200


@pytest.mark.any_database
@pytest.mark.parametrize(
    "route", sorted(one for one in ABOUT_A_CASE if CLINICIAN in ROUTES[one][1])
)
def test_another_teams_case_is_not_found(cast: Cast, case: Case, route: str) -> None:
    policy = make_policy(cast.clinic, status=PolicyStatus.DRAFT)
    method, url = ROUTES[route][0], url_of(route, case, policy)
    assert getattr(client_of(cast.colleague), method)(url).status_code == 404
    own = getattr(client_of(cast.clinician), method)(url).status_code
    # Of this case there is no file on the disk, and no clip.
    assert own != 404 or route in {"photo", "thumbnail", "clip", "frame", "frame-thumbnail"}


@pytest.mark.any_database
@pytest.mark.parametrize(
    "route",
    sorted(
        one
        for one, (method, who) in ROUTES.items()
        if method == "get" and CLINICIAN in who and one not in ABOUT_A_CASE
    ),
)
def test_no_other_page_and_no_call_names_it(cast: Cast, case: Case, route: str) -> None:
    policy = make_policy(cast.clinic, status=PolicyStatus.DRAFT)
    text = body_of(client_of(cast.colleague).get(url_of(route, case, policy)))
    for word in (case.number, str(case.pk), "Blue Heron"):
        assert word not in text
    if route in {"queue", "cases", "api-cases", "export", "api-export"}:
        own = body_of(client_of(cast.clinician).get(url_of(route, case, policy)))
        assert str(case.pk) in own


@pytest.mark.parametrize("q", ["Blue Heron", "number"])
def test_no_search_finds_it(cast: Cast, case: Case, q: str) -> None:
    wanted = {"q": case.number if q == "number" else q}
    hidden = body_of(client_of(cast.colleague).get(reverse("cases"), wanted))
    assert str(case.pk) not in hidden
    assert str(case.pk) in body_of(client_of(cast.clinician).get(reverse("cases"), wanted))


def test_it_is_offered_and_counted_to_nobody_else(cast: Cast, case: Case) -> None:
    assert queue.claim_next(site=cast.clinic, user=cast.colleague) is None
    assert 'class="count"' in body_of(client_of(cast.clinician).get(reverse("queue")))
    shown = body_of(client_of(cast.colleague).get(reverse("queue")))
    assert 'data-url="/queue/" hidden' in shown, "the number in the navigation"
    lease = queue.claim_next(site=cast.clinic, user=cast.clinician)
    assert lease and lease.case_id == case.pk


def test_of_no_team_means_of_everybody(cast: Cast, case: Case) -> None:
    CareTeamMember.objects.all().delete()
    assert client_of(cast.colleague).get(reverse("case", args=[case.pk])).status_code == 200
    lease = queue.claim_next(site=cast.clinic, user=cast.colleague)
    assert lease and lease.case_id == case.pk


def test_who_it_is_passed_on_to_sees_it_until_it_is_passed_on_again(cast: Cast, case: Case) -> None:
    queue.pass_on(lease=queue.claim(case=case, user=cast.clinician), to=cast.colleague.pk)
    assert case in cases_for(cast.clinic, cast.colleague)
    lease = queue.claim_next(site=cast.clinic, user=cast.colleague)
    assert lease and lease.case_id == case.pk
    assert client_of(cast.colleague).get(reverse("case", args=[case.pk])).status_code == 200
    queue.pass_on(lease=lease, to=cast.clinician.pk)
    assert case not in cases_for(cast.clinic, cast.colleague)


def test_who_answered_or_sent_it_sees_what_became_of_it(cast: Cast, case: Case) -> None:
    lease = queue.claim(case=case, user=cast.clinician)
    queue.pass_on(lease=lease, to=cast.colleague.pk)
    answer(case, cast.colleague)
    Case.objects.filter(pk=case.pk).update(wanted=None)
    assert case in cases_for(cast.clinic, cast.colleague)
    other = case_of(case.subject)  # type: ignore[arg-type]
    assert other not in cases_for(cast.clinic, cast.colleague)
    Case.objects.filter(pk=other.pk).update(opened_by=cast.colleague)
    assert other in cases_for(cast.clinic, cast.colleague)


def test_an_administrator_still_sees_it_behind_glass_alone(cast: Cast, case: Case) -> None:
    address = reverse("case", args=[case.pk])
    assert client_of(cast.administrator).get(address).status_code == 403
    cast.colleague.memberships.create(site=cast.clinic, role=Role.ADMINISTRATOR)
    client = client_of(cast.colleague)
    assert client.get(address).status_code == 403, "another team's is asked for with a reason"
    said = {"case": case.number, "reason": "emergency", "words": "the team is out of the house"}
    client.post(reverse("break-glass"), said)
    assert client.get(address).status_code == 200


def answer(case: Case, user: Any, label: str = "Cut") -> None:
    lease = queue.claim(case=case, user=user)
    case.refresh_from_db()
    reviews.submit_review(
        case=case, token=lease.token, user=user, label=label, version=case.version
    )
    case.refresh_from_db()


def test_a_team_of_one_is_not_kept_waiting_for_a_second_reading(cast: Cast, case: Case) -> None:
    Case.objects.filter(pk=case.pk).update(readings=2)
    answer(case, cast.clinician)
    assert case.status == CaseStatus.RESOLVED


def test_the_dispute_of_a_team_of_two_falls_back_to_them(
    cast: Cast, patient: Subject, case: Case
) -> None:
    make_user(cast.clinic)
    CareTeamMember.objects.create(subject=patient, user=cast.colleague)
    Case.objects.filter(pk=case.pk).update(readings=2)
    answer(case, cast.clinician, "Cut")
    assert case.status == CaseStatus.DEFERRED
    answer(case, cast.colleague, "Burns")
    assert case.status == CaseStatus.DISPUTED
    lease = queue.claim_next(site=cast.clinic, user=cast.clinician)
    assert lease and lease.case_id == case.pk


def test_a_second_reading_is_drawn_only_where_a_second_person_may_read(
    cast: Cast, patient: Subject
) -> None:
    cast.clinic.double_share = 1.0
    cast.clinic.save()
    assert make_case(cast.clinic, UNSURE).readings == 2
    made = make_case(cast.clinic, UNSURE, finish=False)
    Case.objects.filter(pk=made.pk).update(subject=patient)
    from inference.services.runs import finish_run

    finish_run(run_id=made.observation.runs.get().id)
    made.refresh_from_db()
    assert made.readings == 1


def test_what_nobody_of_a_team_can_take_rings(cast: Cast, case: Case) -> None:
    assert not lost_cases(cast.clinic)
    disable(user=cast.clinician, site=cast.clinic, actor=cast.administrator)
    assert list(lost_cases(cast.clinic)) == [case]
    check(site=cast.clinic)
    assert Alert.objects.get(kind=AlertKind.TEAM).value == 1
    page = body_of(client_of(cast.administrator).get(reverse("care-teams")))
    assert "1 case waits, and nobody of its team can take it" in page
    teams.add_to_team(
        site=cast.clinic,
        actor=cast.administrator,
        subject="Blue Heron",
        person=cast.colleague.pk,
    )
    check(site=cast.clinic)
    assert Alert.objects.get(kind=AlertKind.TEAM).ended_at
    assert case in cases_for(cast.clinic, cast.colleague)


def test_a_second_reading_that_nobody_is_left_for_comes_back_to_the_first(
    cast: Cast, patient: Subject, case: Case
) -> None:
    CareTeamMember.objects.create(subject=patient, user=cast.colleague)
    Case.objects.filter(pk=case.pk).update(readings=2)
    answer(case, cast.clinician)
    assert not lost_cases(cast.clinic)
    disable(user=cast.colleague, site=cast.clinic, actor=cast.administrator)
    assert not lost_cases(cast.clinic)
    lease = queue.claim_next(site=cast.clinic, user=cast.clinician)
    assert lease and lease.case_id == case.pk


def test_what_is_passed_on_outside_the_team_is_not_lost(cast: Cast, case: Case) -> None:
    queue.pass_on(lease=queue.claim(case=case, user=cast.clinician), to=cast.colleague.pk)
    disable(user=cast.clinician, site=cast.clinic, actor=cast.administrator)
    assert not lost_cases(cast.clinic)


def test_each_change_is_a_line_without_a_name(cast: Cast, patient: Subject) -> None:
    client = client_of(cast.administrator)
    client.post(reverse("add-to-team"), {"subject": "Blue Heron", "person": str(cast.colleague.pk)})
    member = CareTeamMember.objects.get(user=cast.colleague)
    client.post(reverse("remove-from-team", args=[member.pk]))
    client.post(reverse("set-care-teams"), {"by_team": "no"})
    assert not CareTeamMember.objects.filter(user=cast.colleague).exists()
    cast.clinic.refresh_from_db()
    assert not cast.clinic.by_team
    lines = list(AuditEvent.objects.filter(verb__contains="care team").order_by("pk"))
    who = {"subject": patient.pk, "person": cast.colleague.pk}
    assert [(line.verb, line.details) for line in lines] == [
        ("added to a care team", who),
        ("removed from a care team", who),
        ("set care teams", {"by_team": False}),
    ]
    assert {line.actor for line in lines} == {cast.administrator}


def test_the_api_does_the_same(cast: Cast, patient: Subject) -> None:
    client, url = client_of(cast.administrator), reverse("api-care-teams")
    told = client.post(
        url, {"subject": "Blue Heron", "person": cast.colleague.pk}, "application/json"
    )
    assert told.status_code == 201
    [team] = told.json()["teams"]
    assert [one["name"] for one in team["carers"]] == ["clinician", "colleague"]
    left = client.post(reverse("api-remove-from-team", args=[team["carers"][0]["id"]])).json()
    assert [one["name"] for one in left["teams"][0]["carers"]] == ["colleague"]
    told = client.patch(url, {"by_team": False}, "application/json")
    assert told.json()["by_team"] is False
    assert client.get(url, {"q": "heron"}).json()["teams"]
    assert client.get(url, {"q": "finch"}).json()["teams"] == []


def test_nobody_is_added_from_elsewhere(cast: Cast, patient: Subject) -> None:
    for subject, person in (
        ("Blue Heron", cast.outsider),
        ("Blue Heron", cast.administrator),
        ("nobody", cast.colleague),
    ):
        with pytest.raises(Refused):
            teams.add_to_team(
                site=cast.clinic, actor=cast.administrator, subject=subject, person=person.pk
            )
    with pytest.raises(Conflict):
        teams.add_to_team(
            site=cast.clinic,
            actor=cast.administrator,
            subject="Blue Heron",
            person=cast.clinician.pk,
        )
    boss = make_user(cast.elsewhere, Role.ADMINISTRATOR)
    member = CareTeamMember.objects.get()
    for route in ("remove-from-team", "api-remove-from-team"):
        assert client_of(boss).post(reverse(route, args=[member.pk])).status_code == 404
    assert teams_page(cast.elsewhere).teams == []


def test_a_household_has_no_teams(cast: Cast) -> None:
    with pytest.raises(Refused):
        teams.set_by_team(site=cast.household, actor=cast.administrator, by_team=True)


@pytest.mark.django_db(transaction=True)
async def test_a_socket_names_no_case_of_another_team(cast: Cast, case: Case) -> None:
    heard: dict[str, list[Any]] = {}
    for user in (cast.clinician, cast.colleague):
        communicator = WebsocketCommunicator(ChangesConsumer.as_asgi(), "/ws/")
        communicator.scope.update(user=user, session={})
        await communicator.connect()
        await sync_to_async(events.announce)(cast.clinic.pk, "case", case.pk)
        await sync_to_async(events.announce)(cast.clinic.pk, "queue", case.pk)
        await sync_to_async(events.announce)(cast.clinic.pk, "policy")
        heard[user.username] = []
        while not heard[user.username] or heard[user.username][-1]["kind"] != "policy":
            heard[user.username].append(await communicator.receive_json_from())
        await communicator.disconnect()
    pk = str(case.pk)
    rest = {"kind": "policy", "id": ""}
    assert heard["clinician"] == [{"kind": "case", "id": pk}, {"kind": "queue", "id": pk}, rest]
    assert heard["colleague"] == [{"kind": "queue", "id": ""}, rest]


@pytest.mark.parametrize("page", ["leases", "api-leases", "policies"])
def test_who_holds_it_is_named_to_the_team_alone(cast: Cast, case: Case, page: str) -> None:
    queue.claim(case=case, user=cast.clinician)
    named = (case.number, str(case.pk))
    assert not any(one in body_of(client_of(cast.colleague).get(reverse(page))) for one in named)
    assert any(one in body_of(client_of(cast.clinician).get(reverse(page))) for one in named)
    assert any(one in body_of(client_of(cast.administrator).get(reverse(page))) for one in named)


def test_glass_shows_no_members_words_and_gives_no_hold(cast: Cast, case: Case) -> None:
    Membership.objects.create(user=cast.administrator, site=cast.clinic, role=Role.CLINICIAN)
    client = client_of(cast.administrator)
    said = {
        "case": case.number,
        "reason": GlassReason.EMERGENCY,
        "words": "the team is out of the house",
    }
    client.post(reverse("break-glass"), said)
    page = client.get(reverse("case", args=[case.pk]))
    assert page.status_code == 200 and "thinks Cut" not in body_of(page)
    with pytest.raises(Conflict, match="another care team"):
        queue.claim(case=case, user=cast.administrator)
