import pytest
from django.core.management import CommandError, call_command

from inference.models import Observation
from tests.factories import make_case, make_policy, make_site

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
