"""Passkeys, with one made of software: it answers what the page would have the browser ask for."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from fido2.cose import ES256
from fido2.utils import websafe_encode
from fido2.webauthn import (
    AttestationObject,
    AttestedCredentialData,
    AuthenticatorData,
    CollectedClientData,
)

from tests.factories import make_site, make_user
from tests.site.test_signing_in import sign_in, stamped
from triage.choices import Role

pytestmark = pytest.mark.django_db
HOST = "triage.example.org"
FLAGS = AuthenticatorData.FLAG


@pytest.fixture(autouse=True)
def _by_name(settings: Any) -> Iterator[None]:
    settings.ALLOWED_HOSTS = [HOST, "evil.example"]
    cache.clear()
    yield


@pytest.fixture
def person() -> User:
    return make_user(make_site(), Role.ADMINISTRATOR, "ada")


class Passkey:
    """Knows one key; signs for the host that it is asked at, as browsers see to."""

    def __init__(self, host: str = HOST) -> None:
        self.host, self.origin = host, f"https://{host}"
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.id = b"credential-1"
        self.count = 0

    def create(self, options: dict[str, Any]) -> str:
        public = ES256.from_cryptography_key(self.key.public_key())  # type: ignore[no-untyped-call]
        data = AttestedCredentialData.create(bytes(16), self.id, public)
        said = self._data(FLAGS.UP | FLAGS.UV | FLAGS.AT, bytes(data))
        made = AttestationObject.create("none", said, {})
        client = self._client("webauthn.create", options["challenge"])
        response = {"clientDataJSON": client, "attestationObject": bytes(made)}
        return self._answer(response)

    def get(self, options: dict[str, Any]) -> str:
        data = self._data(FLAGS.UP | FLAGS.UV)
        client = self._client("webauthn.get", options["challenge"])
        signed = bytes(data) + hashlib.sha256(client).digest()
        signature = self.key.sign(signed, ec.ECDSA(hashes.SHA256()))
        response = {"clientDataJSON": client, "authenticatorData": bytes(data)}
        return self._answer(response | {"signature": signature})

    def _data(self, flags: Any, credential: bytes = b"") -> AuthenticatorData:
        self.count += 1
        party = hashlib.sha256(self.host.encode()).digest()
        made: AuthenticatorData = AuthenticatorData.create(party, flags, self.count, credential)
        return made

    def _client(self, kind: str, challenge: str) -> bytes:
        return bytes(CollectedClientData.create(kind, challenge, self.origin))

    def _answer(self, response: dict[str, bytes]) -> str:
        coded = {name: websafe_encode(part) for name, part in response.items()}
        name = websafe_encode(self.id)
        said = {"type": "public-key", "id": name, "rawId": name, "response": coded}
        return json.dumps(said | {"clientExtensionResults": {}})


def at(client: Client, route: str, data: dict[str, str] | None = None) -> Any:
    headers = {"Host": HOST}
    url = reverse(route)
    return (
        client.get(url, headers=headers)
        if data is None
        else client.post(url, data, headers=headers)
    )


def asked(page: Any, kind: str) -> dict[str, Any]:
    """What the page has the browser ask for, as it is written into the page."""
    found = json.loads(json.dumps(page.context["js_data"]))[kind]["publicKey"]
    assert isinstance(found, dict)
    return found


def add(client: Client, key: Passkey) -> Any:
    options = asked(at(client, "mfa_add_webauthn"), "creation_options")
    return at(client, "mfa_add_webauthn", {"credential": key.create(options)})


@pytest.fixture
def key(person: User) -> Passkey:
    """A passkey that the person has set up."""
    client, key = Client(), Passkey()
    client.force_login(person)
    assert add(client, key).status_code == 302
    assert Authenticator.objects.filter(type="webauthn").count() == 1
    return key


def half_in() -> Client:
    client = Client()
    assert sign_in(client, headers={"Host": HOST}).headers["Location"] == reverse(
        "mfa_authenticate"
    )
    return client


def test_a_passkey_is_a_second_factor(person: User, key: Passkey, settings: Any) -> None:
    settings.ALARM_SECOND_FACTOR = True
    client = half_in()
    options = asked(at(client, "mfa_authenticate"), "request_options")
    done = at(client, "mfa_authenticate", {"credential": key.get(options)})
    assert done.headers["Location"] == reverse("start")
    assert at(client, "policies").status_code == 200


def test_an_answer_counts_for_one_question(person: User, key: Passkey) -> None:
    first, second = half_in(), half_in()
    answer = key.get(asked(at(first, "mfa_authenticate"), "request_options"))
    at(second, "mfa_authenticate")
    assert at(second, "mfa_authenticate", {"credential": answer}).status_code == 200
    assert at(second, "policies").status_code == 302


def test_another_key_and_another_host_let_nobody_in(person: User, key: Passkey) -> None:
    elsewhere = Passkey("evil.example")
    elsewhere.key = key.key
    for wrong in (Passkey(), elsewhere):
        client = half_in()
        options = asked(at(client, "mfa_authenticate"), "request_options")
        assert at(client, "mfa_authenticate", {"credential": wrong.get(options)}).status_code == 200
        assert at(client, "policies").status_code == 302


def test_a_passkey_made_elsewhere_is_not_taken(person: User) -> None:
    client = Client()
    client.force_login(person)
    assert add(client, Passkey("evil.example")).status_code == 200
    assert not Authenticator.objects.exists()


@pytest.mark.parametrize("nonsense", ["", "{}", "[]", "null", "7", '{"type": 1}', "not json"])
def test_nonsense_is_refused_quietly(person: User, key: Passkey, nonsense: str) -> None:
    client = half_in()
    at(client, "mfa_authenticate")
    assert at(client, "mfa_authenticate", {"credential": nonsense}).status_code == 200
    client.force_login(person)
    at(client, "mfa_add_webauthn")
    assert at(client, "mfa_add_webauthn", {"credential": nonsense}).status_code == 200


def test_a_passkey_proves_who_is_there(person: User, key: Passkey) -> None:
    client = Client()
    client.force_login(person)
    stamped(client, proved_at=3600)
    export = reverse("audit-export")
    assert at(client, "audit-export").status_code == 302
    options = asked(at(client, "mfa_reauthenticate_webauthn"), "request_options")
    sent = {"credential": "{}", "next": export}
    assert at(client, "mfa_reauthenticate_webauthn", sent).status_code == 200
    options = asked(at(client, "mfa_reauthenticate_webauthn"), "request_options")
    sent = {"credential": key.get(options), "next": export}
    assert at(client, "mfa_reauthenticate_webauthn", sent).headers["Location"] == export
    assert at(client, "audit-export").status_code == 200


def test_the_first_passkey_brings_recovery_codes(person: User, key: Passkey) -> None:
    kinds = set(Authenticator.objects.values_list("type", flat=True))
    assert kinds == {"webauthn", "recovery_codes"}
    client = Client()
    client.force_login(person)
    pk = Authenticator.objects.get(type="webauthn").pk
    page = at(client, "mfa_index").content.decode()
    assert "Passkey 1" in page
    client.post(reverse("mfa_remove_webauthn", args=[pk]), headers={"Host": HOST})
    assert not Authenticator.objects.exists(), "codes alone are no second factor"
