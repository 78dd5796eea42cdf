"""Sockets say that something changed, to members of the site and to nobody else."""

import time
from typing import Any
from unittest.mock import Mock
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from channels.security.websocket import AllowedHostsOriginValidator
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import AnonymousUser, User
from django.test import Client

from tests.factories import make_site, make_user
from triage import events, sessions
from triage.choices import Role
from triage.consumers import NOT_ALLOWED, ChangesConsumer
from triage.middleware import place_of
from triage.models import Membership, Site
from triage.services.asking import consent

pytestmark = pytest.mark.django_db(transaction=True)


def socket(user: object) -> WebsocketCommunicator:
    communicator = WebsocketCommunicator(ChangesConsumer.as_asgi(), "/ws/")
    communicator.scope.update(user=user, session={})
    return communicator


async def test_a_member_hears_of_changes_at_their_site_alone() -> None:
    here, there = await sync_to_async(make_site)(), await sync_to_async(make_site)()
    user = await sync_to_async(make_user)(here)
    member = socket(user)
    connected, _ = await member.connect()
    assert connected
    await sync_to_async(events.announce)(there.pk, "queue")
    assert await member.receive_nothing()
    await sync_to_async(events.announce)(here.pk, "queue")
    await sync_to_async(events.announce)(here.pk, "policy")
    assert await member.receive_json_from() == {"kind": "queue", "id": ""}
    assert await member.receive_json_from() == {"kind": "policy", "id": ""}
    await member.disconnect()


async def test_what_is_said_to_one_person_is_heard_at_its_site_alone() -> None:
    here, there = await sync_to_async(make_site)(), await sync_to_async(make_site)()
    user = await sync_to_async(make_user)(here)
    case = UUID(int=1)
    member = socket(user)
    await member.connect()
    await sync_to_async(events.announce_to)(there.pk, [user.pk], "queue", case)
    assert await member.receive_nothing()
    await sync_to_async(events.announce_to)(here.pk, [user.pk], "queue", case)
    assert await member.receive_json_from() == {"kind": "queue", "id": str(case)}
    await member.disconnect()


async def test_nobody_else_is_let_in() -> None:
    stranger = await sync_to_async(make_user)(None)
    for user in (AnonymousUser(), stranger):
        connected, code = await socket(user).connect()
        assert (connected, code) == (False, NOT_ALLOWED)


async def test_who_is_sent_away_hears_nothing_more() -> None:
    site = await sync_to_async(make_site)()
    user = await sync_to_async(make_user)(site)
    member = socket(user)
    await member.connect()
    await sync_to_async(Membership.objects.filter(user=user).delete)()
    await sync_to_async(events.announce)(site.pk, "queue")
    assert (await member.receive_output())["type"] == "websocket.close"


async def test_who_is_disabled_hears_nothing_more() -> None:
    site = await sync_to_async(make_site)()
    user = await sync_to_async(make_user)(site)
    member = socket(user)
    await member.connect()
    await sync_to_async(User.objects.filter(pk=user.pk).update)(is_active=False)
    await sync_to_async(events.announce)(site.pk, "queue")
    assert (await member.receive_output())["type"] == "websocket.close"


async def test_a_burst_of_changes_is_one_look_at_who_listens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("triage.consumers.BELIEVED_S", 60.0)
    monkeypatch.setattr(ChangesConsumer, "looked_at", -60.0)
    look = Mock(side_effect=place_of)
    monkeypatch.setattr("triage.consumers.place_of", look)
    site = await sync_to_async(make_site)()
    user = await sync_to_async(make_user)(site)
    member = socket(user)
    await member.connect()
    look.reset_mock()
    for _ in range(5):
        await sync_to_async(events.announce)(site.pk, "queue")
    for _ in range(5):
        assert (await member.receive_json_from())["kind"] == "queue"
    assert look.call_count == 1
    await sync_to_async(Membership.objects.filter(user=user).delete)()
    await sync_to_async(events.send_away)(user.pk)
    assert (await member.receive_output())["type"] == "websocket.close", "looked at once"


# Through the whole application: the cookie says who it is, as in a browser.


@sync_to_async
def signed_in(role: str = Role.CLINICIAN) -> tuple[User, Site, Client]:
    site = make_site()
    user = make_user(site, role)
    client = Client()
    client.force_login(user)
    return user, site, client


def real_socket(client: Client) -> WebsocketCommunicator:
    from alarm_site.asgi import application

    cookie = f"sessionid={client.session.session_key}".encode()
    headers = [(b"origin", b"http://testserver"), (b"cookie", cookie)]
    return WebsocketCommunicator(application, "/ws/", headers=headers)


async def is_closed(member: WebsocketCommunicator) -> bool:
    output = await member.receive_output()
    return bool(output["type"] == "websocket.close" and output["code"] == NOT_ALLOWED)


@sync_to_async
def disable(user: User) -> None:
    user.is_active = False
    user.save()


async def test_a_socket_of_whoever_is_disabled_closes_at_once(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["testserver"]
    user, _site, client = await signed_in()
    member = await sync_to_async(real_socket)(client)
    assert (await member.connect())[0]
    await disable(user)
    assert await is_closed(member), "without a message that it would wait for"


async def test_a_socket_of_whoever_loses_a_role_closes_at_once(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["testserver"]
    user, _site, client = await signed_in()
    member = await sync_to_async(real_socket)(client)
    await member.connect()
    await sync_to_async(user.memberships.all().delete)()
    assert await is_closed(member)


async def test_nobody_elses_socket_closes_with_it(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["testserver"]
    _user, site, client = await signed_in()
    member = await sync_to_async(real_socket)(client)
    await member.connect()
    await disable(await sync_to_async(make_user)(site))
    assert await member.receive_nothing()
    await member.disconnect()


@pytest.mark.parametrize("ending", ["signed out", "idle", "over"])
async def test_a_session_that_ended_hears_nothing_more(ending: str, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["testserver"]
    _user, site, client = await signed_in()
    member = await sync_to_async(real_socket)(client)
    await member.connect()
    await sync_to_async(end)(client, ending)
    await sync_to_async(events.announce)(site.pk, "queue")
    assert await is_closed(member)


def end(client: Client, how: str) -> None:
    if how == "signed out":
        client.post("/sign-out/")
        return
    session = client.session
    session[sessions.ACTIVE if how == "idle" else sessions.BEGAN] = time.time() - 13 * 3600
    session.save()


async def test_staff_without_a_second_factor_hear_nothing(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["testserver"]
    settings.ALARM_SECOND_FACTOR = True
    for role, connects in ((Role.CLINICIAN, False), (Role.CAREGIVER, True)):
        _user, _site, client = await signed_in(role)
        member = await sync_to_async(real_socket)(client)
        assert (await member.connect())[0] == connects
        await member.disconnect()


@pytest.mark.parametrize(
    ("origin", "connects"), [(b"https://evil.example", False), (b"http://127.0.0.1:8000", True)]
)
async def test_another_sites_page_opens_no_socket(
    origin: bytes, connects: bool, settings: Any
) -> None:
    """Whoever is signed in: the door is held before the consumer is asked."""
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    site = await sync_to_async(make_site)()
    user = await sync_to_async(make_user)(site)
    guarded = AllowedHostsOriginValidator(ChangesConsumer.as_asgi())
    member = WebsocketCommunicator(guarded, "/ws/", headers=[(b"origin", origin)])
    member.scope.update(user=user, session={})
    connected, _ = await member.connect()
    assert connected == connects
    await member.disconnect()


def test_the_product_has_that_door() -> None:
    from alarm_site.asgi import application

    assert type(application.application_mapping["websocket"]).__name__ == "OriginValidator"


async def test_a_household_is_told_when_its_consent_is_renewed() -> None:
    """Who is shut out hears that something changed, never what; and so of the renewal."""
    site = await sync_to_async(make_site)(kind="household", domain="home")
    user = await sync_to_async(make_user)(site, "caregiver")

    def say(given: bool) -> None:
        consent(site=site, person=user, purpose="show", given=given)

    await sync_to_async(say)(False)
    member = socket(user)
    connected, _ = await member.connect()
    assert connected
    await sync_to_async(say)(True)
    assert await member.receive_json_from() == {"kind": "queue", "id": ""}
    await member.disconnect()
