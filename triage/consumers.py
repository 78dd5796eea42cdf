"""The one websocket of a page: it says that something changed, never what."""

from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer

from triage.events import Changed, site_group
from triage.middleware import SESSION_KEY, Place, place_of
from triage.permissions import allows

NOT_ALLOWED = 4403


class ChangesConsumer(AsyncJsonWebsocketConsumer):
    """Forwards a site's changes to a member of that site.

    A message may get lost: a page fetches everything it shows when it connects, and once a minute.
    """

    async def connect(self) -> None:
        self.place = await self._place()
        if self.place.site is None or not allows(self.place.roles, "watch"):
            await self.close(code=NOT_ALLOWED)
            return
        await self.channel_layer.group_add(site_group(self.place.site.pk), self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        if self.place.site is not None:
            group = site_group(self.place.site.pk)
            await self.channel_layer.group_discard(group, self.channel_name)

    async def receive_json(self, content: Any, **_: Any) -> None:
        """A page has nothing to say; what it sends is ignored."""

    async def changed(self, event: Changed) -> None:
        """Forward one change, as long as the person still belongs here."""
        if (await self._place()).site != self.place.site:
            await self.close(code=NOT_ALLOWED)
            return
        await self.send_json({"kind": event["kind"], "id": event["id"]})

    @database_sync_to_async
    def _place(self) -> Place:
        return place_of(self.scope["user"], self.scope["session"].get(SESSION_KEY))
