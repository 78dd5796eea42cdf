"""Who answers for an organisation does so at each of its sites, and at no other."""

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from tests.factories import make_case, make_policy, make_user
from tests.triage.conftest import Cast
from tests.triage.test_access import (
    ABOUT_A_CASE,
    ADMINISTRATOR,
    AUDITOR,
    OWN_ACCOUNT,
    ROUTES,
    status_for,
)
from tests.triage.test_consumers import socket
from triage import events
from triage.choices import AlertKind, PolicyStatus, SiteKind
from triage.errors import Forbidden
from triage.middleware import place_of
from triage.models import AuditEvent, Case, OrganisationRole, Policy, Site
from triage.selectors.alerts import Measured
from triage.selectors.people import people_of
from triage.services import people
from triage.services.alerts import update_alerts
from triage.services.sites import open_site

pytestmark = pytest.mark.django_db


def lead(site: Site, role: str = ADMINISTRATOR, name: str = "lead") -> User:
    user = make_user(None, name=name)
    people.appoint(user=user, organisation=site.organisation, role=role)
    return user


def client_of(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def own(cast: Cast) -> tuple[Case, Policy]:
    policy = make_policy(cast.clinic, status=PolicyStatus.DRAFT)
    return make_case(cast.clinic, ("Burns", "Cut", "Cut")), policy


@pytest.mark.any_database
@pytest.mark.parametrize("role", [ADMINISTRATOR, AUDITOR])
@pytest.mark.parametrize("route", sorted(ROUTES))
def test_it_is_the_same_role_at_each_site_and_no_more(
    cast: Cast, own: tuple[Case, Policy], route: str, role: str
) -> None:
    status = status_for(lead(cast.clinic, role), route, *own)
    assert (status == 403) == (role not in ROUTES[route][1])
    assert status < 500


@pytest.mark.any_database
@pytest.mark.parametrize("route", sorted(set(ROUTES) - OWN_ACCOUNT))
def test_another_organisation_stays_closed(
    cast: Cast, own: tuple[Case, Policy], route: str
) -> None:
    """They stand at their own site there: what they name of this one is not found."""
    status = status_for(lead(cast.elsewhere), route, *own)
    if route in ABOUT_A_CASE:
        assert status in (403, 404)
    elif ADMINISTRATOR not in ROUTES[route][1]:
        assert status == 403
    assert not AuditEvent.objects.filter(site=cast.clinic, actor__username="lead").exists()


def test_a_site_that_opens_later_is_theirs_too(cast: Cast) -> None:
    client = client_of(lead(cast.clinic, AUDITOR))
    organisation = cast.clinic.organisation
    later = open_site(
        organisation=organisation, name="Later", kind=SiteKind.CLINIC, domain="wound", trusted=True
    )
    assert client.post(reverse("switch-site"), {"site": later.pk}).status_code == 302
    page = client.get(reverse("audit"))
    assert page.status_code == 200 and "Later" in page.content.decode()
    assert client.post(reverse("switch-site"), {"site": cast.elsewhere.pk}).status_code == 404


def test_a_role_of_a_site_counts_beside_it(cast: Cast) -> None:
    user = lead(cast.clinic, AUDITOR)
    user.memberships.create(site=cast.clinic, role="clinician")
    user.memberships.create(site=cast.elsewhere, role="clinician")
    place = place_of(user, {})
    assert (place.site, place.roles) == (cast.clinic, frozenset({"clinician", AUDITOR}))
    there = place_of(user, {"site": cast.elsewhere.pk})
    assert (there.site, there.roles) == (cast.elsewhere, frozenset({"clinician"}))
    assert there.others == (cast.clinic,)


def test_nobody_sees_pictures_of_a_whole_organisation(cast: Cast) -> None:
    for role in ("clinician", "caregiver"):
        with pytest.raises(IntegrityError), transaction.atomic():
            OrganisationRole.objects.create(
                organisation=cast.clinic.organisation, user=cast.stranger, role=role
            )


def test_it_ends_at_once_and_stands_in_each_history(cast: Cast) -> None:
    user = lead(cast.clinic)
    client = client_of(user)
    assert client.get(reverse("people")).status_code == 200
    call_command(
        "person",
        "dismiss",
        "lead",
        role=ADMINISTRATOR,
        organisation=cast.clinic.organisation.name,
    )
    assert client.get(reverse("people")).status_code == 302, "the session has ended"
    assert client_of(user).get(reverse("people")).status_code == 403
    lines = AuditEvent.objects.filter(site=cast.clinic).order_by("pk")
    assert [line.verb for line in lines] == [
        "role given for the organisation",
        "role taken for the organisation",
    ]
    assert lines[0].details == {
        "role": ADMINISTRATOR,
        "person": user.pk,
        "organisation": cast.clinic.organisation_id,
    }
    assert not AuditEvent.objects.filter(site=cast.elsewhere).exists()


def test_the_command_says_what_it_lacks(cast: Cast) -> None:
    with pytest.raises(CommandError, match="--organisation"):
        call_command("person", "appoint", "auditor", role=AUDITOR)
    named = {"role": AUDITOR, "organisation": cast.clinic.organisation.name}
    call_command("person", "appoint", "auditor", **named)
    with pytest.raises(CommandError, match="already"):
        call_command("person", "appoint", "auditor", **named)


def test_they_are_on_the_page_of_people_and_hear_of_alerts(cast: Cast, settings: Any) -> None:
    settings.EMAIL_HOST = "mail.example"
    user = lead(cast.clinic)
    User.objects.filter(pk=user.pk).update(email="lead@example.org")
    [row] = [one for one in people_of(cast.clinic) if one.name == "lead"]
    assert row.for_all and row.roles == (ADMINISTRATOR,) and not row.of_others
    shown = client_of(cast.administrator).get(reverse("people")).content.decode()
    assert "for the whole organisation" in shown
    assert reverse("disable", args=[user.pk]) not in shown
    assert (
        reverse("disable", args=[user.pk])
        in client_of(lead(cast.clinic, name="other")).get(reverse("people")).content.decode()
    )
    update_alerts(site=cast.clinic, measured=[Measured(AlertKind.WAIT, 99, 48, 36)])
    from triage.models import Delivery

    assert [one.recipient for one in Delivery.objects.all()] == [user]
    assert mail.outbox == [], "the workers send it"


def test_a_sites_administrator_has_no_power_over_them(cast: Cast) -> None:
    user = lead(cast.clinic)
    with pytest.raises(Forbidden):
        people.disable(user=user, site=cast.clinic, actor=cast.administrator)
    with pytest.raises(Forbidden):
        people.reset_second_factor(user=user, site=cast.clinic, actor=cast.administrator)
    people.disable(user=user, site=cast.clinic, actor=lead(cast.clinic, name="other"))
    user.refresh_from_db()
    assert not user.is_active and place_of(user, {}).site is None


def test_whoever_belongs_to_two_organisations_is_left_to_the_server(cast: Cast) -> None:
    people.appoint(user=cast.clinician, organisation=cast.elsewhere.organisation, role=AUDITOR)
    with pytest.raises(Forbidden):
        people.disable(user=cast.clinician, site=cast.clinic, actor=cast.administrator)


@pytest.mark.django_db(transaction=True)
async def test_their_socket_opens_and_closes_with_the_role(cast: Cast) -> None:
    user = await sync_to_async(lead)(cast.clinic)
    one = socket(user)
    connected, _ = await one.connect()
    assert connected
    await sync_to_async(events.announce)(cast.clinic.pk, "policy")
    assert await one.receive_json_from() == {"kind": "policy", "id": ""}
    await sync_to_async(people.dismiss)(
        user=user, organisation=cast.clinic.organisation, role=ADMINISTRATOR
    )
    assert (await one.receive_output())["type"] == "websocket.close"
