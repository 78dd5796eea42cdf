"""What is refused before other machines may reach the server."""

import os
import secrets
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from django.contrib.auth import get_user_model
from pytest_django import Settings

from alarm_site.checks import (
    no_demonstration_for_others,
    server_is_fit_for_others,
    the_unknown_is_recognised,
)
from alarm_site.supervisor import ROOT
from inference.uq.novelty import fit_reference
from triage.services.demo import PASSWORD


@pytest.fixture
def reachable(settings: Settings) -> Settings:
    """Settings of a server that other machines reach, fit for it."""
    settings.HOST, settings.LOOPBACK = "0.0.0.0", False
    settings.SECRET_KEY = secrets.token_urlsafe(50)
    settings.ALLOWED_HOSTS = ["triage.example.org"]
    settings.DEBUG = settings.ALARM_DEMO = False
    settings.ALARM_SECOND_FACTOR = True
    return settings


def found() -> list[str | None]:
    return [message.id for message in server_is_fit_for_others(None)]


def test_fit_settings_pass(reachable: Settings) -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("SECRET_KEY", "only-for-a-server-bound-to-loopback-that-was-not-started-by-run", "E001"),
        ("SECRET_KEY", "short", "E001"),
        ("DEBUG", True, "E002"),
        ("ALLOWED_HOSTS", ["*"], "E003"),
        ("ALLOWED_HOSTS", [], "E003"),
        ("ALLOWED_HOSTS", ["localhost", "127.0.0.1"], "E003"),
        ("ALARM_DEMO", True, "E004"),
        ("ALARM_SECOND_FACTOR", False, "E007"),
    ],
)
def test_each_unfit_setting_is_refused_unless_on_loopback(
    reachable: Settings, name: str, value: object, code: str
) -> None:
    setattr(reachable, name, value)
    assert found() == [f"alarm.{code}"]
    reachable.LOOPBACK = True
    assert found() == []


@pytest.mark.django_db
def test_accounts_of_a_demonstration_are_refused_on_other_addresses(
    reachable: Settings,
) -> None:
    assert no_demonstration_for_others(None, databases=["default"]) == []
    user = get_user_model().objects.create_user("clinician", password=PASSWORD)
    (message,) = no_demonstration_for_others(None, databases=["default"])
    assert message.id == "alarm.E005"
    assert "clinician" in message.msg
    reachable.LOOPBACK = True
    assert no_demonstration_for_others(None, databases=["default"]) == []
    reachable.LOOPBACK = False
    user.set_password("another one")
    user.save()
    assert no_demonstration_for_others(None, databases=["default"]) == []


def test_a_web_process_never_loads_the_models_libraries() -> None:
    code = (
        "import sys, alarm_site.asgi, alarm_site.urls;"
        "print(sorted({'torch', 'transformers', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.fixture
def members(tmp_path: Path, settings: Settings) -> Path:
    """One member, asked about wounds."""
    settings.ALARM_MEMBERS = tmp_path / "members.toml"
    settings.ALARM_MEMBERS.write_text(
        '[members]\none = { backend = "scripted", domains = ["wound"] }'
    )
    return tmp_path


def test_a_domain_whose_unknown_is_not_recognised_is_named(members: Path) -> None:
    assert [one.id for one in the_unknown_is_recognised(None)] == ["alarm.W001"]
    path = members / "wound-reference.npz"
    path.write_bytes(b"no archive")
    [broken] = the_unknown_is_recognised(None)
    assert (broken.id, path.name in str(broken.msg)) == ("alarm.E006", True)
    rows = np.eye(8, dtype=np.float32) + 0.1
    reference = fit_reference(rows, np.arange(8))
    reference.save(path)
    assert the_unknown_is_recognised(None) == []
    replace(reference, eye="gone").save(path)
    os.utime(path, (1, 1))
    assert [one.id for one in the_unknown_is_recognised(None)] == ["alarm.E006"]
