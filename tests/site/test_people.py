"""Who belongs to a site and how they sign in: helped back in, or sent away."""

from collections.abc import Callable
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from tests.factories import make_site, make_user
from tests.site.test_signing_in import sign_in, verbs, with_app
from triage.choices import Role
from triage.models import AuditEvent, Membership, Site

pytestmark = pytest.mark.django_db


@pytest.fixture
def person() -> User:
    return make_user(make_site("North clinic"), Role.ADMINISTRATOR, "ada")


@pytest.fixture
def helper(person: User) -> User:
    return make_user(person.memberships.get().site, Role.ADMINISTRATOR, "helper")


def act_on(actor: User, user: User, act: str, *, api: bool = False) -> int:
    client = Client()
    client.force_login(actor)
    return client.post(reverse(f"{'api-' if api else ''}{act}", args=[user.pk])).status_code


@pytest.mark.parametrize("api", [False, True])
def test_an_administrator_resets_a_lost_factor(person: User, helper: User, api: bool) -> None:
    with_app(person)
    RecoveryCodes.activate(person)
    open_page = Client()
    open_page.force_login(person)
    assert act_on(helper, person, "reset-factor", api=api) in {200, 302}
    assert not Authenticator.objects.exists()
    assert open_page.get(reverse("policies")).status_code == 302
    event = AuditEvent.objects.get(verb="second factor reset")
    assert (event.actor, event.details) == (helper, {"person": person.pk})


def test_nobody_resets_their_own_factor_or_that_of_another_organisation(
    person: User, helper: User
) -> None:
    with_app(person)
    assert act_on(person, person, "reset-factor", api=True) == 403
    Membership.objects.create(user=person, site=make_site(), role=Role.CLINICIAN)
    assert act_on(helper, person, "reset-factor", api=True) == 403
    assert act_on(helper, make_user(make_site()), "reset-factor") == 404
    assert Authenticator.objects.count() == 1


@pytest.mark.parametrize("api", [False, True])
def test_an_administrator_lifts_a_lock(person: User, helper: User, api: bool) -> None:
    for _ in range(5):
        sign_in(Client(), password="wrong")
    client = Client()
    client.force_login(helper)
    assert "too many failed sign-ins" in client.get(reverse("people")).content.decode()
    act_on(helper, person, "unlock", api=api)
    assert "too many failed sign-ins" not in client.get(reverse("people")).content.decode()
    assert sign_in(Client()).status_code == 302
    assert verbs() == ["sign-in locked", "sign-in unlocked"]


def test_whoever_is_disabled_is_out_and_stays_out(person: User, helper: User) -> None:
    client = Client()
    client.force_login(person)
    key = str(client.session.session_key)
    assert act_on(helper, person, "disable") == 302
    assert not client.session.exists(key)
    User.objects.filter(pk=person.pk).update(is_active=True)
    assert client.get(reverse("policies")).status_code == 302, "the old session does not come back"
    assert "account disabled" in verbs()


def test_whoever_loses_a_role_signs_in_again(person: User) -> None:
    client = Client()
    client.force_login(person)
    Membership.objects.create(user=person, site=make_site(), role=Role.CLINICIAN).delete()
    assert client.get(reverse("policies")).status_code == 302


def test_the_command_does_it_without_a_page(person: User, capsys: Any) -> None:
    with_app(person)
    call_command("person", "reset", "ada")
    assert not Authenticator.objects.exists()
    assert AuditEvent.objects.get(verb="second factor reset").actor is None
    with pytest.raises(CommandError, match="no second factor"):
        call_command("person", "reset", "ada")
    with pytest.raises(CommandError, match="Nobody"):
        call_command("person", "unlock", "nobody")
    call_command("person", "disable", "ada")
    assert not User.objects.get(pk=person.pk).is_active


@pytest.mark.parametrize("count", [1, 12])
def test_the_page_costs_the_same_however_many_there_are(
    person: User,
    helper: User,
    count: int,
    django_assert_max_num_queries: Callable[[int], Any],
) -> None:
    for _ in range(count):
        with_app(make_user(person.memberships.get().site))
    client = Client()
    client.force_login(helper)
    with django_assert_max_num_queries(9):
        page = client.get(reverse("people")).content.decode()
    assert page.count("<li>") >= count


def test_it_names_nobody_of_another_site_and_says_who_lacks_what(
    person: User, helper: User, settings: Any
) -> None:
    make_user(make_site(), name="elsewhere")
    with_app(helper)
    settings.ALARM_SECOND_FACTOR = True
    client = Client()
    client.force_login(helper)
    rows = {row["name"]: row for row in client.get(reverse("api-people")).json()}
    assert set(rows) == {"ada", "helper"}
    assert (rows["ada"]["second_factor"], rows["ada"]["needs_factor"]) == (False, True)
    assert rows["helper"]["second_factor"]
    assert "has yet to set up" in client.get(reverse("people")).content.decode()


def test_the_first_account_opens_its_site_and_the_next_joins_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(CommandError, match="--organisation"):
        call_command("account", "eva", "administrator", "North clinic")
    assert not User.objects.exists()
    words = ("--organisation", "North", "--domain", "wound")
    call_command("account", "eva", "administrator", "North clinic", *words)
    password = capsys.readouterr().out.strip()
    eva = User.objects.get()
    assert eva.check_password(password) and len(password) >= 16
    membership = eva.memberships.get()
    assert (membership.role, membership.site.organisation.name) == ("administrator", "North")
    call_command("account", "eva", "auditor", "North clinic")
    assert "had an account" in capsys.readouterr().out
    call_command("account", "eva", "auditor", "North clinic")
    assert sorted(eva.memberships.values_list("role", flat=True)) == ["administrator", "auditor"]
    assert User.objects.get().check_password(password)
    events = AuditEvent.objects.filter(verb="role given on the server", actor=None)
    assert [one.details["role"] for one in events.order_by("pk")] == ["administrator", "auditor"]
    assert {one.details["person"] for one in events} == {eva.pk}
    call_command("account", "eva", "clinician", "North clinic", organisation="South")
    assert {one.organisation.name for one in Site.objects.filter(name="North clinic")} == {
        "North",
        "South",
    }
    with pytest.raises(CommandError, match="say whose"):
        call_command("account", "eva", "clinician", "North clinic")
