"""A message is encrypted for one browser, signed by us, and sent to known push services only."""

import base64
import json
import os
import threading
from collections.abc import Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import http_ece
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import translation

from tests.factories import make_case, make_site, make_user
from triage.choices import Role, SiteKind
from triage.errors import Refused
from triage.models import Ask, Membership, PushSubscription, Site
from triage.selectors.household import asks_of
from triage.services import asking, push, reviews
from triage.tasks import push_call

pytestmark = pytest.mark.django_db


class Browser:
    """What a browser keeps of its subscription, and what reached its push service."""

    def __init__(self, port: int) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.secret = os.urandom(16)
        self.endpoint = f"http://127.0.0.1:{port}/one"
        self.got: list[tuple[Message, bytes]] = []
        self.status = 201

    @property
    def keys(self) -> dict[str, str]:
        point = self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return {"p256dh": encoded(point), "auth": encoded(self.secret)}

    def read(self, index: int = -1) -> dict[str, object]:
        plain = http_ece.decrypt(
            self.got[index][1], private_key=self.key, auth_secret=self.secret, version="aes128gcm"
        )
        return dict(json.loads(plain))


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.fixture
def phone() -> Iterator[Browser]:
    """A browser whose push service is a real HTTP server."""

    class Service(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            one.got.append((self.headers, body))
            self.send_response(one.status)
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Service)
    one = Browser(server.server_port)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield one
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def home(settings: SimpleNamespace, tmp_path: Path) -> Site:
    settings.VAPID_KEY = tmp_path / "vapid.pem"
    settings.ALARM_PUSH_HOSTS = ["127.0.0.1", "push.example.org"]
    push.make_key()
    return make_site("Linden", kind=SiteKind.HOUSEHOLD, domain="home")


@pytest.fixture
def ada(home: Site) -> User:
    return make_user(home, Role.CAREGIVER, "ada")


def subscribe(user: User, phone: Browser) -> None:
    push.subscribe(user=user, endpoint=phone.endpoint, **phone.keys)


def test_whoever_is_asked_is_told_in_plain_words(home: Site, ada: User, phone: Browser) -> None:
    subscribe(ada, phone)
    case = make_case(home, ("fall", "fall", "pet"))
    ask = asking.ask_next(case=case)
    assert ask and push.push_ask(ask=ask) == 1
    assert phone.read() == {
        "title": "Linden",
        "text": "A picture: It looks like this: somebody has fallen. Is that so?",
        "tag": str(case.pk),
        "url": f"/cases/{case.pk}/",
        "quiet": False,
    }
    headers, body = phone.got[0]
    assert headers["Urgency"] == "high"
    assert headers["Authorization"].startswith("vapid t=")
    assert push.public_key() in headers["Authorization"]
    assert b"fallen" not in body


def test_where_nobody_answers_all_are_told(home: Site, ada: User, phone: Browser) -> None:
    subscribe(ada, phone)
    make_user(home, Role.CAREGIVER, "ben")
    case = make_case(home, ("fall", "fall", "pet"))
    push_call(str(case.pk))
    assert str(phone.read()["text"]).startswith("Nobody has answered yet: A picture: It looks like")
    assert phone.got[0][0]["Urgency"] == "high"
    reviews.answer_at_home(case=case, user=ada, label="fall")
    push_call(str(case.pk))
    assert len(phone.got) == 1, "it has been answered"


def test_the_answer_takes_the_questions_place_on_the_others_phones(
    home: Site, ada: User, phone: Browser
) -> None:
    ben = make_user(home, Role.CAREGIVER, "ben")
    subscribe(ada, phone)
    case = make_case(home, ("pet", "person", "pet"))
    asking.ask_next(case=case)
    reviews.answer_at_home(case=case, user=ben, label="person")
    case.refresh_from_db()
    assert push.push_settled(case=case) == 1
    said = phone.read()
    assert said["text"] == "ben: somebody at home, nothing unusual"
    assert (said["tag"], said["quiet"]) == (str(case.pk), True)
    ask = Ask.objects.get()
    ask.refresh_from_db()
    assert push.push_ask(ask=Ask.objects.select_related("case").get()) == 0, "it is settled"


def test_each_browser_is_told_in_the_language_of_its_page(
    home: Site, ada: User, phone: Browser
) -> None:
    client = Client(headers={"accept-language": "de"})
    client.force_login(ada)
    body = json.dumps({"endpoint": phone.endpoint, "keys": phone.keys})
    client.post(reverse("subscribe"), body, content_type="application/json")
    with translation.override("en"):
        ask = asking.ask_next(case=make_case(home, ("fall", "fall", "pet")))
        assert ask and push.push_ask(ask=ask) == 1
        assert phone.read()["text"] != asks_of(ask.case, ada)
    with translation.override("de"):
        assert phone.read()["text"] == asks_of(ask.case, ada)


def test_who_is_no_caregiver_any_more_is_told_nothing(
    home: Site, ada: User, phone: Browser
) -> None:
    ben = make_user(home, Role.CAREGIVER, "ben")
    subscribe(ada, phone)
    case = make_case(home, ("pet", "person", "pet"))
    ask = asking.ask_next(case=case)
    Membership.objects.filter(user=ada).update(role=Role.AUDITOR)
    assert ask and push.push_ask(ask=ask) == 0
    reviews.answer_at_home(case=case, user=ben, label="person")
    case.refresh_from_db()
    assert push.push_settled(case=case) == 0
    Membership.objects.filter(user=ada).update(role=Role.CAREGIVER)
    assert push.push_settled(case=case) == 1


@pytest.mark.parametrize(("status", "left"), [(410, 0), (404, 0), (500, 1), (307, 1), (201, 1)])
def test_a_browser_that_is_gone_is_forgotten(
    home: Site, ada: User, phone: Browser, status: int, left: int
) -> None:
    subscribe(ada, phone)
    phone.status = status
    ask = asking.ask_next(case=make_case(home, ("pet", "person", "pet")))
    assert ask and push.push_ask(ask=ask) == (1 if status == 201 else 0)
    assert PushSubscription.objects.count() == left


def test_a_service_that_does_not_answer_holds_nothing_up(
    home: Site, ada: User, phone: Browser
) -> None:
    keys = phone.keys
    push.subscribe(user=ada, endpoint="http://127.0.0.1:9/gone", **keys)
    ask = asking.ask_next(case=make_case(home, ("pet", "person", "pet")))
    assert ask and push.push_ask(ask=ask) == 0
    assert PushSubscription.objects.count() == 1


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://push.example.org/x",
        "https://push.example.org:8443/x",
        "https://push.example.org.evil.net/x",
        "https://evil.net/push.example.org",
        "https://push.example.org@evil.net/",
        "https://notpush.example.org/",
        "https://169.254.169.254/latest/meta-data",
        "http://[::1]/x",
        "ftp://127.0.0.1/x"[:0],
        "https://[push.example.org",
    ],
)
def test_nothing_is_sent_to_an_address_of_somebodys_choice(
    home: Site, ada: User, endpoint: str
) -> None:
    with pytest.raises(Refused):
        push.subscribe(user=ada, endpoint=endpoint, p256dh="a", auth="b")
    body = json.dumps({"endpoint": endpoint, "keys": {"p256dh": "a", "auth": "b"}})
    client = Client()
    client.force_login(ada)
    answer = client.post(reverse("subscribe"), body, content_type="application/json")
    assert answer.status_code == 422
    assert not PushSubscription.objects.exists()


@pytest.mark.parametrize("body", ["", "[]", "{", '{"endpoint": 3}', "null", '{"keys": {}}'])
def test_what_is_no_subscription_is_refused_in_words(home: Site, ada: User, body: str) -> None:
    client = Client()
    client.force_login(ada)
    answer = client.post(reverse("subscribe"), body, content_type="application/json")
    assert answer.status_code == 422 and answer.content


def test_a_browser_is_told_and_then_no_longer(home: Site, ada: User, phone: Browser) -> None:
    client = Client()
    client.force_login(ada)
    sent = {"endpoint": phone.endpoint, "keys": phone.keys}
    for off, left in ((False, 1), (False, 1), (True, 0)):
        body = json.dumps(sent | {"off": off})
        answer = client.post(reverse("subscribe"), body, content_type="application/json")
        assert (answer.status_code, PushSubscription.objects.count()) == (204, left)


def test_the_oldest_browsers_give_way(home: Site, ada: User) -> None:
    for number in range(12):
        push.subscribe(
            user=ada, endpoint=f"https://push.example.org/{number}", p256dh="a", auth="b"
        )
    left = PushSubscription.objects.values_list("endpoint", flat=True)
    assert len(left) == 10 and "https://push.example.org/0" not in left


def test_a_key_that_is_gone_is_noticed(
    home: Site,
    ada: User,
    phone: Browser,
    settings: SimpleNamespace,
    caplog: pytest.LogCaptureFixture,
) -> None:
    subscribe(ada, phone)
    ask = asking.ask_next(case=make_case(home, ("fall", "fall", "pet")))
    settings.VAPID_KEY.unlink()
    assert ask and push.push_ask(ask=ask) == 0 and phone.got == []
    assert "vapid.pem is missing" in caplog.text


def test_the_key_is_made_once_and_private(home: Site, settings: SimpleNamespace) -> None:
    before = push.public_key()
    push.make_key()
    assert push.public_key() == before
    assert settings.VAPID_KEY.stat().st_mode & 0o077 == 0
    assert len(base64.urlsafe_b64decode(before + "=")) == 65
    settings.VAPID_KEY.unlink()
    assert push.public_key() == ""
