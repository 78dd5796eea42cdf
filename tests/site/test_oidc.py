"""Signing in at a provider: a real one in small, on loopback, with keys made for the test."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from django.urls import reverse
from django.utils.text import slugify

from alarm_site.checks import provider_fits
from alarm_site.environment import group_roles
from tests.factories import make_case, make_site, make_user
from triage import sessions
from triage.choices import Role
from triage.models import AuditEvent, LegalHold, Membership, OrganisationRole, Site

pytestmark = pytest.mark.django_db
CLIENT = "alarm"
TO = "/sign-in/oidc/to/"
BACK = "/sign-in/oidc/back/"


def make_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class Provider:
    """What it will say of whoever comes next, and with which key it signs."""

    url: str = ""
    published: rsa.RSAPrivateKey = field(default_factory=make_key)
    signing: rsa.RSAPrivateKey | None = None
    who: dict[str, Any] = field(default_factory=lambda: {"sub": "u1", "preferred_username": "ada"})
    groups: list[str] = field(default_factory=list)
    token: dict[str, Any] = field(default_factory=dict)
    verifier: str = ""

    def configuration(self) -> dict[str, Any]:
        names = ("authorization", "token", "userinfo")
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/jwks",
            **{f"{name}_endpoint": f"{self.url}/{name}" for name in names},
        }

    def jwks(self) -> dict[str, Any]:
        key = jwt.algorithms.RSAAlgorithm.to_jwk(self.published.public_key(), as_dict=True)
        return {"keys": [key | {"kid": "1", "alg": "RS256", "use": "sig"}]}

    def tokens(self) -> dict[str, Any]:
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 60}
        claims |= self.who | {"groups": self.groups} | self.token
        signing = self.signing or self.published
        signed = jwt.encode(claims, signing, algorithm="RS256", headers={"kid": "1"})
        return {"access_token": "a", "token_type": "Bearer", "id_token": signed}

    def userinfo(self) -> dict[str, Any]:
        return self.who | {"groups": self.groups}


@pytest.fixture
def provider(settings: Any) -> Iterator[Provider]:
    found = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            says = {
                "/.well-known/openid-configuration": found.configuration,
                "/jwks": found.jwks,
                "/userinfo": found.userinfo,
            }[self.path]
            self.answer(says())

        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
            found.verifier = dict(parse_qsl(sent)).get("code_verifier", "")
            self.answer(found.tokens())

        def answer(self, said: dict[str, Any]) -> None:
            body = json.dumps(said).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_port}"
    settings.ALARM_OIDC_URL = found.url
    settings.ALARM_OIDC_ROLES = [
        ("wound-nurses", "clinician", "north-clinic"),
        ("leads", "administrator", "north-clinic"),
        ("wound-nurses", "clinician", "nowhere"),
    ]
    app = {"provider_id": "oidc", "name": "Hospital", "client_id": CLIENT, "secret": "s"}
    settings.SOCIALACCOUNT_PROVIDERS = {
        "openid_connect": {
            "OAUTH_PKCE_ENABLED": True,
            "APPS": [app | {"settings": {"server_url": found.url}}],
        }
    }
    Thread(target=server.serve_forever, daemon=True).start()
    yield found
    server.shutdown()
    server.server_close()


@pytest.fixture
def clinic(db: None) -> Site:
    return make_site("North Clinic")


def come(client: Client, url: str = TO) -> Any:
    """Go to the provider, be known there, and come back."""
    sent = client.post(url)
    asked = parse_qs(urlsplit(sent.headers["Location"]).query)
    return client.get(BACK, {"code": "c", "state": asked["state"][0]})


def roles(name: str = "ada") -> set[str]:
    rows = Membership.objects.filter(user__username=name)
    return {f"{one.role}@{one.site.name}" for one in rows.select_related("site")}


def test_a_group_makes_an_account_with_its_role(provider: Provider, clinic: Site) -> None:
    provider.groups = ["wound-nurses", "choir"]
    client = Client()
    assert come(client).headers["Location"] == reverse("start")
    assert client.get(reverse("queue")).status_code == 200
    assert roles() == {"clinician@North Clinic"}
    user = User.objects.get()
    assert not user.has_usable_password()
    assert not user.is_staff
    given = AuditEvent.objects.get(verb="role given by the provider")
    assert (given.actor, given.details) == (user, {"role": "clinician"})


def test_the_way_there_is_guarded(provider: Provider, clinic: Site) -> None:
    provider.groups = ["wound-nurses"]
    sent = Client().post(TO)
    asked = parse_qs(urlsplit(sent.headers["Location"]).query)
    assert sent.headers["Location"].startswith(f"{provider.url}/authorization?")
    assert asked["code_challenge_method"] == ["S256"]
    assert "openid" in asked["scope"][0]
    come(Client())
    assert len(provider.verifier) > 40
    assert Client().get(TO).status_code == 405, "a link of somebody else signs nobody in"


def test_groups_are_read_anew_at_each_sign_in(provider: Provider, clinic: Site) -> None:
    provider.groups = ["wound-nurses"]
    come(Client())
    provider.groups = ["leads"]
    come(Client())
    assert roles() == {"administrator@North Clinic"}
    assert User.objects.count() == 1
    said = list(AuditEvent.objects.order_by("pk").values_list("verb", "details"))
    assert said[1:] == [
        ("role taken by the provider", {"role": "clinician"}),
        ("role given by the provider", {"role": "administrator"}),
    ]


def test_what_did_not_change_is_left_alone(provider: Provider, clinic: Site) -> None:
    provider.groups = ["wound-nurses"]
    first = Client()
    come(first)
    come(Client())
    assert first.get(reverse("queue")).status_code == 200, "no session ended"
    assert AuditEvent.objects.count() == 1


def test_whom_no_group_admits_is_refused_in_plain_words(provider: Provider, clinic: Site) -> None:
    provider.groups = ["choir"]
    client = Client()
    answer = come(client)
    assert answer.status_code == 403
    assert "none of your groups" in answer.content.decode()
    assert not User.objects.exists()
    assert client.get(reverse("start")).status_code == 302


def test_whoever_left_the_group_loses_the_role_and_the_open_sessions(
    provider: Provider, clinic: Site
) -> None:
    provider.groups = ["wound-nurses"]
    at_work = Client()
    come(at_work)
    provider.groups = []
    assert come(Client()).status_code == 403
    assert roles() == set()
    assert at_work.get(reverse("queue")).status_code == 302


def test_a_name_that_is_taken_is_not_taken_over(provider: Provider, clinic: Site) -> None:
    local = make_user(clinic, Role.ADMINISTRATOR, "ada")
    provider.groups = ["wound-nurses"]
    provider.who |= {"email": "ada@example.org", "email_verified": True}
    local.email = "ada@example.org"
    local.save()
    client = Client()
    come(client)
    assert client.session["_auth_user_id"] != str(local.pk)
    assert roles() == {"administrator@North Clinic"}
    assert User.objects.count() == 2


def test_the_disabled_stay_out(provider: Provider, clinic: Site) -> None:
    provider.groups = ["wound-nurses"]
    come(Client())
    User.objects.update(is_active=False)
    client = Client()
    assert come(client).status_code == 403
    assert client.get(reverse("queue")).status_code == 302


@pytest.mark.parametrize(
    "forged",
    [
        {"signing": make_key()},
        {"token": {"aud": "somebody else"}},
        {"token": {"iss": "https://evil.example"}},
        {"token": {"exp": 1}},
        {"token": {"sub": "u2"}},
    ],
    ids=["another key", "another audience", "another issuer", "too old", "somebody else"],
)
def test_a_token_that_is_not_right_lets_nobody_in(
    provider: Provider, clinic: Site, forged: dict[str, Any]
) -> None:
    provider.groups = ["wound-nurses"]
    for name, value in forged.items():
        setattr(provider, name, value)
    client = Client()
    answer = come(client)
    assert answer.headers["Location"] == reverse("sign-in")
    assert "did not succeed" in client.get(reverse("sign-in")).content.decode()
    assert not User.objects.exists()


def test_an_answer_that_nobody_asked_for_lets_nobody_in(provider: Provider, clinic: Site) -> None:
    provider.groups = ["wound-nurses"]
    answer = Client().get(BACK, {"code": "c", "state": "made up"})
    assert answer.headers["Location"] == reverse("sign-in")
    cancelled = Client().get(BACK, {"error": "access_denied", "state": "made up"})
    assert cancelled.headers["Location"] == reverse("sign-in")
    assert not User.objects.exists()


def test_a_second_factor_is_the_providers_duty(
    provider: Provider, clinic: Site, settings: Any
) -> None:
    settings.ALARM_SECOND_FACTOR = True
    provider.groups = ["wound-nurses"]
    client = Client()
    come(client)
    assert client.get(reverse("queue")).status_code == 200
    other = Client()
    other.force_login(User.objects.get())
    assert other.get(reverse("queue")).status_code == 302, "the same person, come another way"


def test_signing_in_again_is_done_there(provider: Provider, clinic: Site) -> None:
    provider.groups = ["leads"]
    client = Client()
    come(client)
    session = client.session
    session[sessions.PROVED] = time.time() - 3600
    session.save()
    export = reverse("audit-export")
    asked = client.get(export).headers["Location"]
    page = client.get(asked).content.decode()
    assert f"{TO}?next=/audit/export/&amp;auth_params=prompt%3Dlogin" in page
    url = f"{TO}?next=/audit/export/&auth_params=prompt%3Dlogin"
    sent = client.post(url)
    assert parse_qs(urlsplit(sent.headers["Location"]).query)["prompt"] == ["login"]
    assert come(client, url).headers["Location"] == export
    assert client.get(export).status_code == 200


def proved_long_ago(client: Client) -> None:
    session = client.session
    session[sessions.PROVED] = time.time() - 3600
    session.save()


def test_what_was_sent_goes_on_afterwards(provider: Provider, clinic: Site) -> None:
    case = make_case(clinic, ("Burns", "Cut", "Cut"))
    provider.groups = ["leads"]
    client = Client()
    come(client)
    proved_long_ago(client)
    sent = {"kind": "case", "name": case.number, "reason": "a court asks"}
    assert client.post(reverse("hold"), sent).headers["Location"].startswith("/sign-in/again/")
    assert not LegalHold.objects.exists()
    away = come(client, f"{TO}?next=/cases/&auth_params=prompt%3Dlogin")
    assert away.headers["Location"] == "/cases/"
    assert not LegalHold.objects.exists(), "whoever goes elsewhere has not sent it"
    proved_long_ago(client)
    client.post(reverse("hold"), sent)
    done = come(client, f"{TO}?next={reverse('hold')}&auth_params=prompt%3Dlogin")
    assert done.headers["Location"] == reverse("retention")
    assert LegalHold.objects.get().reason == "a court asks"


def test_whoever_signs_in_again_stays_at_their_site(
    provider: Provider, clinic: Site, settings: Any
) -> None:
    other = make_site("South Clinic")
    settings.ALARM_OIDC_ROLES.append(("leads", "auditor", "south-clinic"))
    provider.groups = ["leads"]
    client = Client()
    come(client)
    client.post(reverse("switch-site"), {"site": other.pk})
    come(client, f"{TO}?next=/audit/&auth_params=prompt%3Dlogin")
    assert client.get(reverse("audit")).context["member_site"] == other


def sent_and_not_proved(provider: Provider, clinic: Site) -> Client:
    """A lead has sent a legal hold, and has to sign in again before it is stored."""
    case = make_case(clinic, ("Burns", "Cut", "Cut"))
    provider.groups = ["leads"]
    client = Client()
    come(client)
    proved_long_ago(client)
    client.post(reverse("hold"), {"kind": "case", "name": case.number, "reason": "a court asks"})
    return client


def test_nobody_else_goes_on_with_it(provider: Provider, clinic: Site) -> None:
    client = sent_and_not_proved(provider, clinic)
    provider.who = {"sub": "u2", "preferred_username": "bob"}
    come(client, f"{TO}?next={reverse('hold')}&auth_params=prompt%3Dlogin")
    assert not LegalHold.objects.exists()


def test_a_role_that_ends_with_this_very_sign_in_lets_nothing_go_on(
    provider: Provider, clinic: Site, settings: Any
) -> None:
    settings.ALARM_OIDC_ROLES.append(("staff", "clinician", slugify(clinic.name)))
    client = sent_and_not_proved(provider, clinic)
    provider.groups = ["staff"]
    come(client, f"{TO}?next={reverse('hold')}&auth_params=prompt%3Dlogin")
    assert not LegalHold.objects.exists()


def test_the_sign_in_page_leads_there(provider: Provider, settings: Any) -> None:
    settings.ALARM_OIDC_NAME = "Hospital"
    page = Client().get(reverse("sign-in"))
    assert "Sign in with Hospital" in page.content.decode()
    assert f"form-action 'self' {provider.url};" in page.headers["Content-Security-Policy"]


def test_there_is_no_such_way_where_none_is_configured(clinic: Site) -> None:
    assert "Sign in with" not in Client().get(reverse("sign-in")).content.decode()
    assert Client().post(TO).status_code == 404
    assert Client().get(BACK).status_code == 404


def test_a_group_may_answer_for_a_whole_organisation(
    provider: Provider, clinic: Site, settings: Any
) -> None:
    name = slugify(clinic.organisation.name)
    settings.ALARM_OIDC_ROLES = [
        ("directors", "auditor", f"organisation:{name}"),
        ("directors", "auditor", name),  # no site is called so
    ]
    provider.groups = ["directors"]
    come(Client())
    come(Client())
    user, of_all = User.objects.get(), OrganisationRole.objects
    assert [(one.user, one.role) for one in of_all.filter(organisation=clinic.organisation)] == [
        (user, "auditor")
    ]
    assert roles() == set()
    provider.groups = []
    assert come(Client()).status_code == 403
    assert not of_all.exists()
    said = list(
        AuditEvent.objects.filter(site=clinic).order_by("pk").values_list("verb", flat=True)
    )
    assert said == ["role given by the provider", "role taken by the provider"]
    [found] = provider_fits(None, databases=["default"])
    assert found.msg.endswith(f"is called {name}.")


def test_a_mapping_is_read_or_stops_the_start() -> None:
    assert group_roles("X", ["cn=nurses=clinician@north-clinic"]) == [
        ("cn=nurses", "clinician", "north-clinic")
    ]
    assert group_roles("X", ["boss=auditor@organisation:north"]) == [
        ("boss", "auditor", "organisation:north")
    ]
    for wrong in (
        "nurses",
        "nurses=clinician",
        "nurses=owner@north",
        "=clinician@north",
        "nurses=clinician@organisation:north",
    ):
        with pytest.raises(ImproperlyConfigured, match="X"):
            group_roles("X", [wrong])


def test_the_check_names_a_site_that_is_not_there(
    provider: Provider, clinic: Site, settings: Any
) -> None:
    [found] = provider_fits(None, databases=["default"])
    assert "nowhere" in found.msg
    make_site("North clinic")
    assert "north-clinic" in provider_fits(None, databases=["default"])[0].msg, "two of one name"
    settings.ALARM_OIDC_ROLES = []
    assert provider_fits(None, databases=["default"]) == []
