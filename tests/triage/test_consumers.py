"""Sockets say that something changed, to members of the site and to nobody else."""

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.security.websocket import AllowedHostsOriginValidator
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import AnonymousUser, User

from tests.factories import make_site, make_user
from triage import events
from triage.consumers import NOT_ALLOWED, ChangesConsumer
from triage.models import Membership
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
