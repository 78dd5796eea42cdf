"""What matters most is done by somebody who has shown lately who they are."""

import time
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from tests.factories import make_case, make_policy, make_user, make_version
from tests.site.test_signing_in import code_of, with_app
from tests.triage.conftest import Cast
from triage import sessions
from triage.choices import PolicyStatus
from triage.models import LegalHold, Policy

pytestmark = pytest.mark.django_db
AGAIN = "/sign-in/again/"


def client_of(user: Any, *, minutes: float = 11) -> Client:
    """Somebody who signed in so many minutes ago and has been busy since."""
    client = Client()
    client.force_login(user)
    session = client.session
    session[sessions.PROVED] = time.time() - minutes * 60
    session.save()
    return client


@pytest.fixture
def draft(cast: Cast) -> Policy:
    """A draft that accepts nothing, so that any administrator may publish it."""
    return make_policy(cast.clinic, status=PolicyStatus.DRAFT, threshold=0.0)


PAGES = [
    ("post", "publish", "administrator"),
    ("post", "widen-canary", "administrator"),
    ("get", "export", "clinician"),
    ("get", "audit-export", "auditor"),
    ("post", "erase", "administrator"),
    ("post", "hold", "administrator"),
    ("post", "lift", "administrator"),
    ("post", "retention-set", "administrator"),
    ("post", "reset-factor", "administrator"),
    ("post", "disable", "administrator"),
    ("post", "publish-domain", "administrator"),
]
CALLS = [
    ("post", "api-publish", "administrator"),
    ("post", "api-widen-canary", "administrator"),
    ("get", "api-export", "clinician"),
    ("get", "api-audit-export", "auditor"),
    ("post", "api-erase", "administrator"),
    ("post", "api-holds", "administrator"),
    ("post", "api-lift", "administrator"),
    ("patch", "api-retention", "administrator"),
    ("post", "api-reset-factor", "administrator"),
    ("post", "api-disable", "administrator"),
    ("post", "api-publish-version", "administrator"),
]
ABOUT_A_POLICY = {"publish", "widen-canary", "api-publish", "api-widen-canary", "roll-back"}
ABOUT_ONE = {"lift", "api-lift", "reset-factor", "disable", "api-reset-factor", "api-disable"}
ABOUT_A_VERSION = {"publish-domain", "api-publish-version"}


def url_of(route: str, draft: Policy) -> str:
    if route in ABOUT_A_POLICY:
        return reverse(route, args=[draft.pk])
    if route in ABOUT_A_VERSION:
        return reverse(route, args=["wound", make_version(draft.site).version])
    return reverse(route, args=[999999] if route in ABOUT_ONE else [])


@pytest.mark.parametrize(("method", "route", "role"), PAGES)
def test_a_page_asks_to_sign_in_again(
    cast: Cast, draft: Policy, method: str, route: str, role: str
) -> None:
    url = url_of(route, draft)
    answer = getattr(client_of(getattr(cast, role)), method)(url)
    assert answer.headers["Location"].startswith(AGAIN)
    lately = getattr(client_of(getattr(cast, role), minutes=9), method)(url)
    assert not lately.headers.get("Location", "").startswith(AGAIN)


@pytest.mark.parametrize(("method", "route", "role"), CALLS)
def test_a_call_says_how(cast: Cast, draft: Policy, method: str, route: str, role: str) -> None:
    url = url_of(route, draft)
    answer = getattr(client_of(getattr(cast, role)), method)(url)
    assert (answer.status_code, answer.json()["code"]) == (403, "reauthenticate")
    assert AGAIN in answer.json()["detail"]
    lately = getattr(client_of(getattr(cast, role), minutes=9), method)(url)
    assert lately.status_code != 403


@pytest.mark.parametrize("route", ["roll-back", "defer-all"])
def test_going_back_to_safety_asks_for_nothing(cast: Cast, draft: Policy, route: str) -> None:
    url = reverse(route, args=[draft.pk] if route == "roll-back" else [])
    answer = client_of(cast.administrator).post(url)
    assert not answer.headers["Location"].startswith(AGAIN)


def test_what_was_sent_goes_on_after_the_password(cast: Cast) -> None:
    case = make_case(cast.clinic, ("Burns", "Cut", "Cut"))
    client = client_of(cast.administrator)
    sent = {"kind": "case", "name": case.number, "reason": "a court asks"}
    asked = client.post(reverse("hold"), sent)
    assert not LegalHold.objects.exists()
    wrong = client.post(asked.headers["Location"], {"password": "wrong", "next": reverse("hold")})
    assert wrong.status_code == 200
    assert not LegalHold.objects.exists()
    done = client.post(asked.headers["Location"], {"password": "secret", "next": reverse("hold")})
    assert done.headers["Location"] == reverse("retention")
    assert LegalHold.objects.get().reason == "a court asks"


def test_a_download_follows_the_password(cast: Cast) -> None:
    client = client_of(cast.auditor)
    export = f"{reverse('audit-export')}?form=csv"
    asked = client.get(export).headers["Location"]
    page = client.get(asked)
    assert f'name="next" value="{export}"' in page.content.decode()
    done = client.post(asked, {"password": "secret", "next": export})
    assert done.headers["Location"] == export
    assert client.get(export).status_code == 200


def test_a_code_is_as_good_as_the_password(cast: Cast) -> None:
    secret = with_app(cast.auditor)
    client = client_of(cast.auditor)
    export = reverse("audit-export")
    asked = client.get(export).headers["Location"]
    assert reverse("mfa_reauthenticate") in client.get(asked).content.decode()
    sent = {"code": code_of(secret), "next": export}
    assert client.post(reverse("mfa_reauthenticate"), sent).headers["Location"] == export
    assert client.get(export).status_code == 200


def test_whoever_guesses_at_the_code_waits(cast: Cast, settings: Any) -> None:
    settings.ACCOUNT_RATE_LIMITS = False
    secret = with_app(cast.auditor)
    client = client_of(cast.auditor)
    for _ in range(5):
        client.post(reverse("mfa_reauthenticate"), {"code": "000000"})
    client.post(reverse("mfa_reauthenticate"), {"code": code_of(secret)})
    assert client.get(reverse("audit-export")).status_code == 302


def test_whoever_guesses_at_the_password_waits(cast: Cast) -> None:
    client = client_of(cast.auditor)
    for _ in range(5):
        client.post(AGAIN, {"password": "wrong"})
    client.post(AGAIN, {"password": "secret"})
    assert client.get(reverse("audit-export")).status_code == 302


def test_nothing_is_resumed_elsewhere_or_for_somebody_else(cast: Cast) -> None:
    client = client_of(cast.administrator)
    client.post(reverse("hold"), {"kind": "case", "name": str(uuid4())[:8], "reason": "x"})
    away = client.post(AGAIN, {"password": "secret", "next": "https://evil.example/"})
    assert away.headers["Location"] == reverse("start")
    assert not LegalHold.objects.exists()


def test_a_role_is_asked_for_before_the_password(cast: Cast) -> None:
    """Nobody learns by signing in again that they may not."""
    assert client_of(cast.clinician).post(reverse("erase")).status_code == 403
    answer = client_of(cast.clinician).post(reverse("api-erase"))
    assert answer.json()["code"] != "reauthenticate"


def test_the_demonstration_asks_once_a_session(settings: Any, cast: Cast) -> None:
    """./run without a word on it: twelve hours, which is as long as a session lasts."""
    import os
    import subprocess
    import sys

    code = "from django.conf import settings as s; print(s.ALARM_REAUTH_MINUTES)"
    environment = {"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "alarm_site.settings"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, check=True
    )
    settings.ALARM_REAUTH_MINUTES = int(done.stdout)
    client = client_of(cast.auditor, minutes=11 * 60)
    assert client.get(reverse("audit-export")).status_code == 200


def test_somebody_new_starts_afresh(cast: Cast) -> None:
    client = client_of(cast.administrator)
    client.force_login(make_user(cast.clinic, "administrator"))
    assert client.get(reverse("audit-export")).status_code == 200
