"""Name and password, a second factor, too many tries, and how long a sign-in lasts."""

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import (
    TOTP,
    format_hotp_value,
    generate_totp_secret,
    hotp_value,
)
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from tests.factories import make_site, make_user
from triage import sessions
from triage.choices import Role, SiteKind
from triage.models import AuditEvent, Membership

pytestmark = pytest.mark.django_db
WRONG = "do not belong together"
HTML = {"Accept": "text/html"}


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    cache.clear()  # which codes were used, and how often somebody tried
    yield


@pytest.fixture
def person() -> User:
    return make_user(make_site("North clinic"), Role.ADMINISTRATOR, "ada")


def sign_in(client: Client, name: str = "ada", password: str = "secret", **extra: Any) -> Any:
    return client.post(reverse("sign-in"), {"username": name, "password": password}, **extra)


def with_app(user: User) -> str:
    """Give the person an app with codes; its secret."""
    secret = str(generate_totp_secret())
    TOTP.activate(user, secret)
    return secret


def code_of(secret: str, ahead: int = 0) -> str:
    return str(format_hotp_value(hotp_value(secret, int(time.time()) // 30 + ahead)))


def stamped(client: Client, **stamps: float) -> None:
    """Let stamps of the session lie so many seconds back."""
    session = client.session
    for name, seconds in stamps.items():
        session[name] = time.time() - seconds
    session.save()


def verbs() -> list[str]:
    return list(AuditEvent.objects.order_by("pk").values_list("verb", flat=True))


# Name and password ------------------------------------------------------------------------------


def test_the_right_password_lets_in(person: User) -> None:
    client = Client()
    assert sign_in(client).headers["Location"] == reverse("start")
    assert client.get(reverse("policies")).status_code == 200


def test_whoever_wanted_a_page_lands_there(person: User) -> None:
    client = Client()
    sent = {"username": "ada", "password": "secret", "next": reverse("ensemble")}
    assert client.post(reverse("sign-in"), sent).headers["Location"] == reverse("ensemble")
    sent["next"] = "https://evil.example/"
    assert Client().post(reverse("sign-in"), sent).headers["Location"] == reverse("start")


def shown(response: Any) -> tuple[int, str]:
    """What a stranger learns: the status, and the page without the name and the form's token."""
    page = re.sub(r'(value|content)="[^"]*"', "", response.content.decode())
    return response.status_code, page


def test_unknown_wrong_disabled_and_locked_look_the_same(person: User) -> None:
    locked, gone = (make_user(make_site(), name=name) for name in ("locked", "gone"))
    gone.is_active = False
    gone.save()
    for _ in range(5):
        sign_in(Client(), locked.username, "wrong")
    tries = {
        "wrong": shown(sign_in(Client(), "ada", "wrong")),
        "unknown": shown(sign_in(Client(), "nobody", "wrong")),
        "disabled": shown(sign_in(Client(), "gone")),
        "locked": shown(sign_in(Client(), "locked", "wrong")),
        "locked, and right": shown(sign_in(Client(), "locked")),
    }
    assert WRONG in tries["wrong"][1]
    assert len(set(tries.values())) == 1


def test_a_name_that_nobody_can_have_is_refused_alike(person: User) -> None:
    """PostgreSQL would not take it into the table of tries."""
    from axes.models import AccessAttempt

    assert shown(sign_in(Client(), "x" * 300)) == shown(sign_in(Client(), "nobody"))
    assert list(AccessAttempt.objects.values_list("username", flat=True)) == ["nobody"]


def test_five_tries_from_one_address_are_enough(person: User) -> None:
    for _ in range(5):
        sign_in(Client(), password="wrong")
    assert sign_in(Client()).status_code == 200, "the form again, though the password is right"
    assert sign_in(Client(), REMOTE_ADDR="10.0.0.9").status_code == 302, "from elsewhere"


def test_another_browser_is_no_fresh_start(person: User) -> None:
    for number in range(5):
        sign_in(Client(), password="wrong", HTTP_USER_AGENT=f"browser {number}")
    assert sign_in(Client()).status_code == 200


def test_four_tries_and_the_right_one_let_in_and_count_anew(person: User) -> None:
    for _ in range(2):
        for _ in range(4):
            sign_in(Client(), password="wrong")
        assert sign_in(Client()).status_code == 302


def test_a_lock_is_written_down_once_and_names_no_secret(person: User) -> None:
    for _ in range(8):
        sign_in(Client(), password="wrong")
    assert verbs() == ["sign-in locked"]
    assert AuditEvent.objects.get().details == {"person": person.pk}


def test_a_lock_ends_by_itself(person: User, settings: Any) -> None:
    for _ in range(5):
        sign_in(Client(), password="wrong")
    settings.AXES_COOLOFF_TIME = settings.AXES_COOLOFF_TIME * 0
    assert sign_in(Client()).status_code == 302


def test_no_password_and_no_code_is_kept_of_a_try(person: User) -> None:
    from axes.models import AccessAttempt

    sign_in(Client(), password="wr0ng-guess")
    kept = AccessAttempt.objects.get()
    assert "wr0ng-guess" not in f"{kept.get_data} {kept.post_data}"


# A second factor --------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [Role.CLINICIAN, Role.ADMINISTRATOR, Role.AUDITOR])
def test_staff_without_a_second_factor_reach_nothing_else(role: Role, settings: Any) -> None:
    settings.ALARM_SECOND_FACTOR = True
    make_user(make_site(), role, "ada")
    client = Client()
    sign_in(client)
    for route in ("start", "policies", "queue", "audit", "api-schema"):
        answer = client.get(reverse(route))
        if route == "api-schema":
            assert answer.json()["code"] == "second_factor_missing"
        else:
            assert answer.headers["Location"] == reverse("mfa_index")
    refused = client.get(reverse("api-policies"))
    assert (refused.status_code, refused.json()["code"]) == (403, "second_factor_missing")
    assert "needs a second factor" in client.get(reverse("mfa_index")).content.decode()
    assert client.post(reverse("sign-out")).status_code == 302


def test_a_caregiver_needs_none(settings: Any) -> None:
    settings.ALARM_SECOND_FACTOR = True
    home = make_site(kind=SiteKind.HOUSEHOLD, domain="home")
    user = make_user(home, Role.CAREGIVER, "ada")
    client = Client()
    sign_in(client)
    assert client.get(reverse("household")).status_code == 200
    Membership.objects.create(user=user, site=make_site(), role=Role.CLINICIAN)
    assert client.get(reverse("household")).status_code == 302, "who works anywhere is staff"


def test_it_is_asked_for_outside_of_the_demonstration_alone() -> None:
    import os
    import subprocess
    import sys

    code = "from django.conf import settings as s; print(s.ALARM_SECOND_FACTOR)"
    for demo in ("0", "1"):
        environment = {"PATH": os.environ["PATH"], "ALARM_DEMO": demo}
        environment["DJANGO_SETTINGS_MODULE"] = "alarm_site.settings"
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env=environment, capture_output=True, check=True)
        assert done.stdout.decode().strip() == str(demo == "0")


def test_setting_up_an_app_opens_all_pages(person: User, settings: Any) -> None:
    settings.ALARM_SECOND_FACTOR = True
    client = Client()
    sign_in(client)
    page = client.get(reverse("mfa_activate_totp"))
    secret = page.context["form"].secret
    assert 'src="data:image/svg+xml;base64,' in page.content.decode()
    assert "no-store" in page.headers["Cache-Control"]
    wrong = client.post(reverse("mfa_activate_totp"), {"code": "000000"})
    assert wrong.status_code == 200
    assert not Authenticator.objects.exists()
    done = client.post(reverse("mfa_activate_totp"), {"code": code_of(secret)})
    assert done.headers["Location"] == reverse("mfa_view_recovery_codes")
    codes = client.get(done.headers["Location"])
    assert codes.content.decode().count("<li><code>") == 10
    assert client.get(reverse("policies")).status_code == 200
    assert "second factor added" in verbs()


def test_password_alone_is_half_a_sign_in(person: User) -> None:
    secret = with_app(person)
    client = Client()
    assert sign_in(client).headers["Location"] == reverse("mfa_authenticate")
    assert client.get(reverse("policies")).status_code == 302
    assert client.get(reverse("api-policies")).status_code == 401
    assert client.get(reverse("mfa_authenticate")).status_code == 200
    before = client.session.session_key
    done = client.post(reverse("mfa_authenticate"), {"code": code_of(secret)})
    assert done.headers["Location"] == reverse("start")
    assert client.session.session_key != before
    assert client.get(reverse("policies")).status_code == 200


def test_a_code_counts_once(person: User) -> None:
    secret = with_app(person)
    code = code_of(secret)
    for expected in (302, 200):
        client = Client()
        sign_in(client)
        assert client.post(reverse("mfa_authenticate"), {"code": code}).status_code == expected
        cache.clear()  # another process remembers nothing


def test_a_recovery_code_lets_in_once(person: User) -> None:
    with_app(person)
    code = RecoveryCodes.activate(person).get_unused_codes()[0]
    for expected in (302, 200):
        client = Client()
        sign_in(client)
        assert client.post(reverse("mfa_authenticate"), {"code": code}).status_code == expected


def test_codes_are_guessed_at_no_faster_than_passwords(person: User, settings: Any) -> None:
    settings.ACCOUNT_RATE_LIMITS = False  # of allauth's, each web process has its own
    secret = with_app(person)
    client = Client()
    sign_in(client)
    for _ in range(5):
        assert client.post(reverse("mfa_authenticate"), {"code": "000000"}).status_code == 200
    right = client.post(reverse("mfa_authenticate"), {"code": code_of(secret)})
    assert right.status_code == 200
    assert client.get(reverse("policies")).status_code == 302
    assert verbs() == ["second factor added", "sign-in locked"]


def test_removing_the_last_factor_bars_staff_again(person: User, settings: Any) -> None:
    settings.ALARM_SECOND_FACTOR = True
    with_app(person)
    client = Client()
    client.force_login(person)
    assert client.get(reverse("policies")).status_code == 200
    client.post(reverse("mfa_deactivate_totp"))
    assert client.get(reverse("policies")).headers["Location"] == reverse("mfa_index")
    assert "second factor removed" in verbs()


def test_a_second_factor_is_changed_after_signing_in_again(person: User) -> None:
    with_app(person)
    client = Client()
    client.force_login(person)
    stamped(client, proved_at=3600)
    for route in ("mfa_add_webauthn", "mfa_deactivate_totp", "mfa_generate_recovery_codes"):
        answer = client.get(reverse(route))
        assert answer.headers["Location"].startswith(reverse("account_reauthenticate"))
    client.post(reverse("mfa_deactivate_totp"))
    assert Authenticator.objects.count() == 1


def test_the_browser_is_asked_for_a_passkey_of_this_very_host(person: User) -> None:
    client = Client()
    client.force_login(person)
    page = client.get(reverse("mfa_add_webauthn"), headers={"Host": "localhost:8000"})
    asked = page.context["js_data"]["creation_options"]["publicKey"]
    assert asked["rp"]["id"] == "localhost"
    text = page.content.decode()
    assert 'id="passkey-data" type="application/json"' in text
    assert 'data-call="addForm"' in text


# How long it lasts ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stamps", "status"),
    [
        ({"active_at": 29 * 60}, 200),
        ({"active_at": 31 * 60}, 302),
        ({"signed_in_at": 11.9 * 3600}, 200),
        ({"signed_in_at": 12.1 * 3600}, 302),
    ],
)
def test_staff_are_signed_out(person: User, stamps: dict[str, float], status: int) -> None:
    client = Client()
    client.force_login(person)
    stamped(client, **stamps)
    assert client.get(reverse("policies")).status_code == status
    assert (client.get(reverse("api-policies")).status_code == 200) == (status == 200)


def test_a_session_that_is_over_is_gone_for_good(person: User) -> None:
    client = Client()
    client.force_login(person)
    key = str(client.session.session_key)
    stamped(client, active_at=31 * 60)
    client.get(reverse("policies"))
    assert not client.session.exists(key)


def test_whoever_is_at_home_stays_longer() -> None:
    home = make_site(kind=SiteKind.HOUSEHOLD, domain="home")
    client = Client()
    client.force_login(make_user(home, Role.CAREGIVER))
    stamped(client, active_at=7 * 3600)
    assert client.get(reverse("household")).status_code == 200
    stamped(client, active_at=9 * 3600)
    assert client.get(reverse("household")).status_code == 302


BACKGROUND = [
    ("policies", {"HX-Request": "true", "Accept": "*/*"}),
    ("policies", {"HX-Request": "true", "Accept": "text/html"}),
    ("policies", {"Accept": "*/*"}),
    ("api-policies", {"Accept": "application/json"}),
    ("api-session", {"Accept": "application/json"}),
]


@pytest.mark.parametrize(("route", "headers"), BACKGROUND)
def test_what_a_page_fetches_by_itself_is_no_activity(
    person: User, route: str, headers: dict[str, str]
) -> None:
    client = Client()
    client.force_login(person)
    stamped(client, active_at=20 * 60)
    assert client.get(reverse(route), headers=headers).status_code == 200
    stamped_at = client.session[sessions.ACTIVE]
    assert time.time() - stamped_at > 19 * 60


@pytest.mark.parametrize("act", ["a page", "a form", "staying"])
def test_what_a_person_does_is_activity(person: User, act: str) -> None:
    client = Client()
    client.force_login(person)
    stamped(client, active_at=20 * 60)
    if act == "a page":
        client.get(reverse("policies"), headers=HTML)
    elif act == "a form":
        client.post(reverse("readings"))
    else:
        left = client.get(reverse("api-session")).json()["left"]
        assert 9 * 60 < left <= 10 * 60
        assert client.post(reverse("api-session")).json()["left"] > 29 * 60
    assert time.time() - client.session[sessions.ACTIVE] < 60


def test_nothing_prolongs_a_session_beyond_its_end(person: User) -> None:
    client = Client()
    client.force_login(person)
    stamped(client, signed_in_at=12 * 3600 - 60)
    assert client.post(reverse("api-session")).json()["left"] <= 60


def test_pages_know_when_to_warn(person: User) -> None:
    client = Client()
    client.force_login(person)
    page = client.get(reverse("policies")).content.decode()
    left = re.search(r'<dialog id="session-ends"[^>]* data-left="(\d+)"', page)
    assert left
    assert 29 * 60 < int(left[1]) <= 30 * 60
    assert "session-ends" not in Client().get(reverse("sign-in")).content.decode()
