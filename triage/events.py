"""What open pages are told: ids and "changed", never content; a page fetches what it may see."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Iterable
from typing import Literal, TypedDict
from uuid import UUID

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer

log = logging.getLogger(__name__)
PAUSE_S = 0.1
_loop: asyncio.AbstractEventLoop | None = None
_due: "dict[tuple[object, ...], tuple[str, Changed | Left]]" = {}
_lock = threading.Lock()

Kind = Literal["case", "queue", "policy", "domain", "ensemble"]


class Changed(TypedDict):
    """One message to a site's sockets; `id` is a case's id, or empty.

    A "queue" with a case's id says that this case has changed as well.
    """

    type: Literal["changed"]
    kind: Kind
    id: str


class Left(TypedDict):
    """To the sockets of one person, who may have to go."""

    type: Literal["left"]


def person_group(user_id: int) -> str:
    return f"person.{user_id}"


def seat_group(site_id: int, user_id: int) -> str:
    """The sockets of one person at one site: what is said there must not be heard at another."""
    return f"site.{site_id}.person.{user_id}"


def site_group(site_id: int) -> str:
    return f"site.{site_id}"


def announce(site_id: int, kind: Kind, case_id: UUID | None = None) -> None:
    """Tell a site's open pages that something changed.

    A channel layer that is down is logged and survived: pages also refresh by themselves.
    """
    _tell(site_group(site_id), Changed(type="changed", kind=kind, id=str(case_id or "")))


def announce_to(site_id: int, people: Iterable[int], kind: Kind, case_id: UUID) -> None:
    """The same to the pages that these people have open at that site."""
    for user_id in people:
        _tell(seat_group(site_id, user_id), Changed(type="changed", kind=kind, id=str(case_id)))


def send_away(user_id: int) -> None:
    """Have a person's sockets look whether that person may still listen."""
    _tell(person_group(user_id), Left(type="left"))


def _tell(group: str, message: Changed | Left) -> None:
    if _loop is None or not _loop.is_running():
        async_to_sync(_send)(group, message)
        return
    with _lock:
        first = not _due
        _due[group, *message.values()] = (group, message)
    if first:
        _loop.call_soon_threadsafe(_loop.call_later, PAUSE_S, _tell_due, _loop)


def _tell_due(loop: asyncio.AbstractEventLoop) -> None:
    with _lock:
        due = list(_due.values())
        _due.clear()
    asyncio.run_coroutine_threadsafe(_send_each(due), loop)


def tell_now() -> None:
    """What waits to be told is told before the process ends, if that can be done in a second."""
    if _loop is None or not _loop.is_running():
        return
    with _lock:
        due = list(_due.values())
        _due.clear()
    told = asyncio.run_coroutine_threadsafe(_send_each(due), _loop)
    try:
        told.result(1.0)
    except TimeoutError:
        log.warning("pages not told of %d changes", len(due))


def tell_on(loop: asyncio.AbstractEventLoop) -> None:
    """From now on announce on this loop, which runs in another thread, and wait for nothing.

    What is said again within PAUSE_S is said once.
    """
    global _loop
    _loop = loop


def tell_beside() -> None:
    """Announce from a thread of its own: a worker that waits for each message loses more time
    with telling of its stages than with storing them."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=_run, args=(loop,), name="announcements", daemon=True).start()
    tell_on(loop)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    with contextlib.closing(loop):
        loop.run_forever()


async def _send_each(due: "list[tuple[str, Changed | Left]]") -> None:
    for group, message in due:
        await _send(group, message)


async def _send(group: str, message: Changed | Left) -> None:
    layer = get_channel_layer()
    if layer is None:
        return
    try:
        await layer.group_send(group, message)
    except Exception as error:  # redis raises its own family, asyncio another
        log.warning("pages not told of %s: %s", message.get("kind", "leaving"), error)
