import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from inference.models import Observation
from tests.factories import make_case, make_policy, make_site, make_user
from triage.choices import CaseStatus, Role
from triage.models import Case, Site
from triage.selectors.accounts import accounts_of
from triage.services.history import record

pytestmark = pytest.mark.django_db


def test_every_case_is_somewhere(capsys: pytest.CaptureFixture[str]) -> None:
    site = make_site()
    make_policy(site)
    make_case(site), make_case(site, ("Burns", "Cut", "Cut")), make_case(site, finish=False)
    call_command("reconcile")
    said = capsys.readouterr().out
    assert said.startswith("3 observations = 1 open, 1 accepted, 0 audit, 1 deferred")


def test_an_observation_without_a_case_is_noticed() -> None:
    Observation.objects.create(domain="wound")
    with pytest.raises(CommandError, match="do not balance"):
        call_command("reconcile")


def opened(site: Site, **how: bool) -> Case:
    case = make_case(site, **how)  # type: ignore[arg-type]
    record("opened", site=site, case=case)
    return case


def test_a_sites_accounts_are_held_against_its_history() -> None:
    site, other = make_site(), make_site()
    assert accounts_of(site).balanced, "an empty one as well"
    opened(site), opened(site, finish=False), opened(other)
    found = accounts_of(site)
    assert found.balanced
    assert (found.observations, found.in_all, found.in_flight) == (2, 2, 1)
    assert found.in_state[CaseStatus.DEFERRED] == 1


def test_a_case_that_is_gone_from_a_site_is_noticed_and_said() -> None:
    site = make_site()
    client = Client()
    client.force_login(make_user(site, Role.ADMINISTRATOR))
    opened(site)
    assert "Yes:" in client.get(reverse("accounts")).content.decode()
    Case.objects.filter(pk=opened(site, finish=False).pk).update(site=make_site())
    assert not accounts_of(site).balanced
    assert "do not balance" in client.get(reverse("accounts")).content.decode()
