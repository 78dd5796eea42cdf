"""The one websocket of a page: it says that something changed, never what."""

import time
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore

from triage.events import Changed, Left, person_group, seat_group, site_group
from triage.middleware import Place, place_of
from triage.permissions import allows
from triage.selectors.teams import cases_for
from triage.sessions import seconds_left

NOT_ALLOWED = 4403
# Seconds for which whoever belonged here is believed to: changes come in bursts, to many pages, and
# whoever is disabled or loses a role is told to look at once.
BELIEVED_S = 5.0


class ChangesConsumer(AsyncJsonWebsocketConsumer):
    """Forwards a site's changes to a member of that site.

    A message may get lost: a page fetches everything it shows when it connects, and once a minute.
    """

    looked_at = -BELIEVED_S

    async def connect(self) -> None:
        self.place = await self._place()
        if self.place.site is None or not allows(self.place.roles, "watch"):
            await self.close(code=NOT_ALLOWED)
            return
        for group in self._groups():
            await self.channel_layer.group_add(group, self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        for group in self._groups():
            await self.channel_layer.group_discard(group, self.channel_name)

    async def receive_json(self, content: Any, **_: Any) -> None:
        """A page has nothing to say; what it sends is ignored."""

    async def changed(self, event: Changed) -> None:
        """Forward one change, as long as the person still belongs here.

        Of a case of another care team no more than that the queue has changed.
        """
        if time.monotonic() - self.looked_at < BELIEVED_S or await self._still_here():
            shown = event["id"] if await self._sees(event["id"]) else ""
            if shown or not event["id"] or event["kind"] == "queue":
                await self.send_json({"kind": event["kind"], "id": shown})

    async def left(self, event: Left) -> None:
        """The person was sent away, from everywhere or from one of their sites: look at once."""
        await self._still_here()

    async def _still_here(self) -> bool:
        place = await self._place()
        here = place.site is not None and place.site == self.place.site
        self.looked_at = time.monotonic()
        if not here:
            await self.close(code=NOT_ALLOWED)
        else:
            self.place = place  # with the roles, and the site's settings, as they are by now
        return here

    def _groups(self) -> list[str]:
        if self.place.site is None:
            return []
        site, user = self.place.site.pk, self.scope["user"].pk
        return [site_group(site), person_group(user), seat_group(site, user)]

    async def _sees(self, case_id: str) -> bool:
        site = self.place.site
        if not case_id or site is None or not site.by_team:
            return True
        seen = cases_for(site, self.scope["user"]).filter(pk=case_id)
        return bool(await database_sync_to_async(seen.exists)())

    @database_sync_to_async
    def _place(self) -> Place:
        """Where the person is by now: a socket has its session from when it was opened."""
        user, session = self.scope["user"], self.scope["session"]
        if key := getattr(session, "session_key", None):
            session = SessionStore(key)
            if session.get(SESSION_KEY) != str(user.pk):
                return Place()
        place = place_of(user, session)
        return place if seconds_left(session, staff=place.staff) > 0 else Place()
