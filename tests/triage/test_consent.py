"""Caregivers see pictures as long as their household's consent lasts, and nothing is lost after."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.factories import make_case, make_policy, make_site, make_user, rewrite
from tests.triage.test_access import ABOUT_A_CASE, ROUTES, url_of
from triage.choices import AlertKind, CaseStatus, Purpose, Role, SiteKind
from triage.errors import Refused
from triage.management.commands.sweep import sweep
from triage.middleware import place_of
from triage.models import Alert, AuditEvent, Case, Consent, Site
from triage.selectors.asking import next_person
from triage.selectors.consents import has_ended, show_row
from triage.selectors.household import household_page
from triage.services import asking, push, queue
from triage.services.monitoring import check

pytestmark = pytest.mark.django_db


@pytest.fixture
def home(db: None) -> Site:
    return make_site("Home", kind=SiteKind.HOUSEHOLD, domain="home")


@pytest.fixture
def ada(home: Site) -> User:
    return make_user(home, Role.CAREGIVER, "ada")


@pytest.fixture
def nurse(home: Site) -> User:
    return make_user(home, Role.CLINICIAN, "nurse")


@pytest.fixture
def boss(home: Site) -> User:
    return make_user(home, Role.ADMINISTRATOR, "boss")


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def agree(home: Site, person: User, *, days: int = 365) -> Consent:
    return asking.consent(site=home, person=person, purpose=Purpose.SHOW, given=True, days=days)


def withdraw(home: Site, person: User) -> Consent:
    return asking.consent(site=home, person=person, purpose=Purpose.SHOW, given=False)


def run_out(home: Site) -> None:
    """What was agreed ended yesterday."""
    now = timezone.now()
    rewrite(
        Consent.objects.filter(site=home),
        said_at=now - timedelta(days=30),
        until=now - timedelta(days=1),
    )


def end(home: Site, person: User, how: str) -> None:
    agree(home, person)
    run_out(home) if how == "run out" else withdraw(home, person)


WAYS = pytest.mark.parametrize("how", ["run out", "withdrawn"])


def test_as_long_as_nobody_was_asked_all_is_as_before(home: Site, ada: User) -> None:
    assert not has_ended(home)
    assert place_of(ada, {}).roles == {Role.CAREGIVER}


def test_a_yes_lasts_as_long_as_was_said(home: Site, ada: User) -> None:
    said = agree(home, ada, days=90)
    assert said.until == said.said_at + timedelta(days=90)
    assert not has_ended(home)


@WAYS
@pytest.mark.parametrize("route", sorted(ABOUT_A_CASE & set(ROUTES)))
def test_once_it_has_ended_no_picture_and_no_case_is_shown(
    home: Site, ada: User, how: str, route: str
) -> None:
    case = make_case(home, ("pet", "person", "pet"))
    end(home, ada, how)
    call = getattr(client_of(ada), ROUTES[route][0])
    answer = call(url_of(route, case, make_policy(home, status="draft")))
    expected = 200 if route == "api-receipt" else 403  # that is whether it came, nothing of what
    assert answer.status_code == expected


@WAYS
@pytest.mark.parametrize("route", ["queue", "claim-next", "cases", "api-cases", "api-claim-next"])
def test_nor_is_there_a_list_of_them(home: Site, ada: User, how: str, route: str) -> None:
    make_case(home, ("pet", "person", "pet"))
    end(home, ada, how)
    assert getattr(client_of(ada), ROUTES[route][0])(reverse(route)).status_code == 403


@WAYS
def test_the_household_page_says_that_they_wait_and_not_what_they_show(
    home: Site, ada: User, how: str
) -> None:
    case = make_case(home, ("pet", "person", "pet"))
    assert str(case.pk) in client_of(ada).get(reverse("household")).content.decode()
    end(home, ada, how)
    page = client_of(ada).get(reverse("household")).content.decode()
    assert str(case.pk) not in page
    assert "Consent has ended" in page
    assert "1 picture waits for the site" in page


@WAYS
def test_what_comes_in_waits_for_the_sites_staff_who_see_why(
    home: Site, ada: User, nurse: User, how: str
) -> None:
    make_policy(home, threshold=5.0)
    end(home, ada, how)
    case = make_case(home, ("pet", "pet", "pet"), disagreement=0.0)
    assert case.status == CaseStatus.DEFERRED
    assert case.decisions.get().reasons == ["no_consent"]
    assert not case.asks.exists()
    lease = queue.claim_next(site=home, user=nurse)
    assert lease is not None and lease.case == case
    page = client_of(nurse).get(reverse("case", args=[case.pk])).content.decode()
    assert "has ended: the site&#x27;s staff is asked" in page
    assert (
        "they are not asked, you are" in client_of(nurse).get(reverse("household")).content.decode()
    )


def test_the_same_case_is_accepted_while_it_lasts(home: Site, ada: User) -> None:
    make_policy(home, threshold=5.0)
    agree(home, ada)
    case = make_case(home, ("pet", "pet", "pet"), disagreement=0.0)
    assert case.status == CaseStatus.ACCEPTED


@WAYS
def test_nobody_is_asked_and_no_phone_is_told(home: Site, ada: User, how: str) -> None:
    case = make_case(home, ("fall", "pet", "pet"))
    ask = asking.ask_next(case=case)
    assert ask is not None
    end(home, ada, how)
    assert next_person(case, timezone.now()) is None
    assert push.push_ask(ask=ask) == 0
    sweep()
    assert case.asks.count() == 1


@WAYS
def test_a_renewal_gives_all_of_it_back(home: Site, ada: User, how: str) -> None:
    end(home, ada, how)
    case = make_case(home, ("fall", "pet", "pet"))
    answer = client_of(ada).post(
        reverse("consent"), {"purpose": "show", "given": "yes", "days": "30"}
    )
    assert answer.status_code == 302
    assert not has_ended(home)
    sweep()
    assert [one.person for one in case.asks.all()] == [ada]
    assert client_of(ada).get(reverse("case", args=[case.pk])).status_code == 200
    assert [row.row.case for row in household_page(site=home, user=ada).rows] == [case]


def test_each_word_is_a_row_and_none_is_rewritten(home: Site, ada: User, boss: User) -> None:
    agree(home, ada, days=30)
    withdraw(home, ada)
    agree(home, boss, days=90)
    rows = Consent.objects.filter(site=home).order_by("pk")
    assert [(one.person, one.given) for one in rows] == [(ada, True), (ada, False), (boss, True)]
    with pytest.raises(TypeError, match="append-only"):
        rows[0].save()
    verbs = AuditEvent.objects.filter(site=home, verb__contains="consent").values_list(
        "verb", flat=True
    )
    assert list(verbs) == ["consented", "withdrew consent", "consented"]


def test_an_administrator_sees_until_when_and_renews(home: Site, ada: User, boss: User) -> None:
    agree(home, ada, days=20)
    client = client_of(boss)
    page = client.get(reverse("privacy")).content.decode()
    assert "ends soon:" in page
    client.post(reverse("consent"), {"purpose": "show", "given": "yes"})
    row = show_row(home)
    assert row.who == "boss" and row.until
    assert row.until > timezone.now() + timedelta(days=364)


def test_the_caregivers_are_reminded_as_it_nears_its_end(home: Site, ada: User) -> None:
    agree(home, ada, days=31)
    assert "you see pictures ends" not in client_of(ada).get(reverse("household")).content.decode()
    agree(home, ada, days=29)
    assert "you see pictures ends" in client_of(ada).get(reverse("household")).content.decode()


def test_the_administrators_are_told_once_and_a_renewal_ends_it(home: Site, ada: User) -> None:
    agree(home, ada, days=15)
    check(site=home)
    assert not Alert.objects.filter(kind=AlertKind.CONSENT).exists()
    agree(home, ada, days=13)
    check(site=home)
    check(site=home)
    alert = Alert.objects.get(kind=AlertKind.CONSENT)
    assert alert.ended_at is None
    run_out(home)
    check(site=home)
    assert Alert.objects.get(kind=AlertKind.CONSENT).ended_at is None, "now more than ever"
    agree(home, ada)
    check(site=home)
    alert.refresh_from_db()
    assert alert.ended_at


def test_the_api_says_and_renews_and_withdraws(home: Site, ada: User) -> None:
    client, address = client_of(ada), reverse("api-consents")
    sent = {"purpose": "show", "given": True, "days": 10}
    answer = client.post(address, sent, content_type="application/json")
    assert answer.status_code == 201
    [show] = [row for row in client.get(address).json() if row["purpose"] == "show"]
    assert show["given"] is True and show["until"] and not show["ended"]
    client.post(address, sent | {"given": False}, content_type="application/json")
    assert has_ended(home)
    assert client.get(reverse("api-cases")).status_code == 403
    assert client.get(address).status_code == 200, "who may renew it sees it"


@pytest.mark.parametrize("days", [0, 731, -1])
def test_a_time_that_is_none_is_refused(home: Site, ada: User, days: int) -> None:
    with pytest.raises(Refused, match="lasts 1 to 730"):
        agree(home, ada, days=days)
    sent = {"purpose": "show", "given": True, "days": days}
    answer = client_of(ada).post(reverse("api-consents"), sent, content_type="application/json")
    assert answer.status_code in (400, 422)
    assert not Consent.objects.exists()


def test_a_clinic_has_no_such_page(db: None) -> None:
    boss = make_user(make_site(), Role.ADMINISTRATOR)
    assert client_of(boss).get(reverse("privacy")).status_code == 404
    assert client_of(boss).get(reverse("api-consents")).status_code == 404
    assert client_of(boss).post(reverse("consent"), {"purpose": "show"}).status_code == 404


def test_staff_who_also_live_there_go_on_as_staff(home: Site, nurse: User) -> None:
    nurse.memberships.create(site=home, role=Role.CAREGIVER)
    case = make_case(home, ("pet", "person", "pet"))
    end(home, nurse, "withdrawn")
    assert client_of(nurse).get(reverse("case", args=[case.pk])).status_code == 200
    assert next_person(case, timezone.now()) is None


def test_another_homes_consent_changes_nothing_here(home: Site, ada: User) -> None:
    other = make_site("Other", kind=SiteKind.HOUSEHOLD, domain="home")
    end(other, make_user(other, Role.CAREGIVER), "withdrawn")
    assert not has_ended(home)


def test_while_shut_out_one_may_still_send(home: Site, ada: User) -> None:
    end(home, ada, "withdrawn")
    assert client_of(ada).get(reverse("upload")).status_code == 200
    assert Case.objects.count() == 0
