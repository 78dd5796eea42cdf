"""What the browser, the session and the queue are told; docs/security.md tells the truth."""

import ast
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse

from alarm_site.checks import weak
from alarm_site.supervisor import web_programs
from tests.factories import make_site, make_user
from triage.choices import Role

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "docs/security.md").read_text()
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
# The checklist of the design: every item stands in the table, done or not.
ITEMS = {
    "8.2.1", "8.2.2", "8.2.3", "8.4.1", "8.3.2", "15.3.1", "2.2.1", "1.2.10", "6.3.3",
    "6.3.1", "7.2.4", "7.3.1", "7.4.2", "7.5.3", "13.2.1", "3.5.1", "3.4.1", "3.3.2",
    "14.2.1", "16.2.5", "4.4.1", "2.4.1", "5.2.4", "2.3.1", "16.3.2", "13.3.1", "1.5.2",
    "15.1.2",
}  # fmt: skip


def rows() -> dict[str, list[str]]:
    """ASVS number -> the other cells of its row."""
    found = re.findall(r"^\| (\d+\.\d+\.\d+) \| (.+) \|$", TABLE, re.MULTILINE)
    return {number: [cell.strip() for cell in rest.split(" | ")] for number, rest in found}


def functions_of(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


def test_every_item_of_the_checklist_stands_in_the_table() -> None:
    assert set(rows()) == ITEMS


@pytest.mark.parametrize("number", sorted(ITEMS))
def test_an_item_names_its_tests_or_says_not_yet(number: str) -> None:
    *_what, proof = rows()[number]
    named = NAMED.findall(proof)
    assert named or "not yet" in proof


def test_every_test_that_is_named_exists() -> None:
    named = NAMED.findall(TABLE)
    assert len(named) > 20
    for path, name in named:
        assert (ROOT / path).exists(), path
        assert not name or name in functions_of(path), f"{path}::{name}"


def test_signing_in_begins_a_new_session(db: None) -> None:
    user = make_user(make_site(), Role.CLINICIAN)
    client = Client()
    client.post(reverse("set-language"), {"language": "de"})
    client.get(reverse("sign-in"))
    session = client.session
    session["planted"] = "1"
    session.save()
    before = str(session.session_key)
    client.cookies[settings.SESSION_COOKIE_NAME] = before
    client.post(reverse("sign-in"), {"username": user.username, "password": "secret"})
    assert client.session.session_key not in (None, before)
    assert not Client(headers={"Cookie": f"sessionid={before}"}).session.get("_auth_user_id")


def test_who_is_disabled_gets_nothing_from_the_next_request_on(db: None) -> None:
    user = make_user(make_site(), Role.CLINICIAN)
    client = Client()
    client.force_login(user)
    assert client.get(reverse("queue")).status_code == 200
    user.is_active = False
    user.save()
    assert client.get(reverse("queue")).status_code == 302


@pytest.mark.parametrize("route", ["refit", "erase", "camera-issue", "audit-verify", "defer-all"])
def test_a_form_of_another_site_changes_nothing(db: None, route: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(make_user(make_site(), Role.ADMINISTRATOR))
    assert client.post(reverse(route)).status_code == 403


def test_the_api_takes_no_session_without_the_csrf_token(db: None) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(make_user(make_site(), Role.CLINICIAN))
    assert client.post(reverse("api-claim-next")).status_code == 403


def test_headers_say_what_a_browser_may(db: None) -> None:
    response = Client().get(reverse("sign-in"))
    policy = response["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["X-Frame-Options"] == "DENY"
    assert response["Referrer-Policy"] == "same-origin"
    assert response.cookies["csrftoken"]["samesite"] == "Lax"
    assert settings.SESSION_COOKIE_HTTPONLY


def test_an_unknown_filter_reaches_no_row(db: None) -> None:
    client = Client()
    client.force_login(make_user(make_site(), Role.CLINICIAN))
    for query in ("subject__pseudonym=x", "status=x' OR 1=1", "observation__media__sha256=0"):
        assert client.get(f"{reverse('api-cases')}?{query}").status_code == 200


def test_no_serializer_lists_its_fields_by_all() -> None:
    for path in (ROOT / "triage/api").glob("*.py"):
        text = path.read_text()
        assert "__all__" not in text, path
        assert "exclude =" not in text, path


def test_the_queue_takes_json_alone() -> None:
    assert settings.CELERY_ACCEPT_CONTENT == ["json"]
    assert settings.CELERY_TASK_SERIALIZER == "json"


def test_a_secret_that_everybody_knows_is_weak() -> None:
    assert weak("only-for-a-server-bound-to-loopback-that-was-not-started-by-run")
    assert not weak("x" * 50)


def test_cookies_are_tied_to_the_host_where_others_reach_it() -> None:
    """As a server that is not bound to loopback sets them: asked of a process of its own."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOST": "0.0.0.0",
        "ALLOWED_HOSTS": "triage.example.org",
        "ALARM_DEMO": "0",
        "SECRET_KEY": "of-tests-" * 8,
        "DJANGO_SETTINGS_MODULE": "alarm_site.settings",
    }
    said = "SESSION_COOKIE_NAME CSRF_COOKIE_NAME SESSION_COOKIE_SECURE CSRF_COOKIE_SECURE"
    code = (
        f"from django.conf import settings as s; print(*(getattr(s, n) for n in {said!r}.split()))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, check=True)
    assert done.stdout.decode().split() == ["__Host-sessionid", "__Host-csrftoken", "True", "True"]


def test_a_socket_takes_frames_of_64_kib_at_most() -> None:
    with socket.socket() as listening:
        for program in web_programs(listening, 2):
            said = program.command
            assert said[said.index("--ws-max-size") + 1] == "65536"
