"""What changed is told beside the work: soon, once, and without waiting for whoever carries it."""

import threading
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from inference.services.ending import DEVICE_LOST, end_process
from triage import events

CASE, OTHER = UUID(int=1), UUID(int=2)


class Layer:
    """A channel layer that remembers, and fails or holds up if it is asked to."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str, str]] = []
        self.threads: set[str] = set()
        self.broken = False

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        if self.broken:
            raise OSError("no redis")
        self.threads.add(threading.current_thread().name)
        self.said.append((group, message["kind"], message["id"]))


@pytest.fixture
def layer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Layer]:
    made = Layer()
    monkeypatch.setattr(events, "get_channel_layer", lambda: made)
    monkeypatch.setattr(events, "_loop", None)
    yield made
    if events._loop:
        events._loop.call_soon_threadsafe(events._loop.stop)
    for thread in threading.enumerate():
        if thread.name == "announcements":
            thread.join()


def until(count: int, layer: Layer) -> None:
    deadline = time.monotonic() + 10
    while len(layer.said) < count and time.monotonic() < deadline:
        time.sleep(0.01)


def test_without_a_loop_it_is_told_at_once(layer: Layer) -> None:
    events.announce(7, "case", CASE)
    assert layer.said == [("site.7", "case", str(CASE))]


def test_beside_the_work_what_is_said_again_is_said_once(
    layer: Layer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "PAUSE_S", 0.3)
    events.tell_beside()
    for _ in range(5):
        events.announce(7, "case", CASE)
        events.announce(7, "case", OTHER)
        events.announce(8, "queue")
    assert layer.said == [], "nobody waits for it"
    until(3, layer)
    assert layer.said == [
        ("site.7", "case", str(CASE)),
        ("site.7", "case", str(OTHER)),
        ("site.8", "queue", ""),
    ]
    assert layer.threads == {"announcements"}


def test_what_happens_after_it_was_told_is_told_again(
    layer: Layer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "PAUSE_S", 0.01)
    events.tell_beside()
    events.announce(7, "case", CASE)
    until(1, layer)
    events.announce(7, "case", CASE)
    until(2, layer)
    assert layer.said == [("site.7", "case", str(CASE))] * 2


def test_a_layer_that_is_down_keeps_nobody_from_the_next_message(
    layer: Layer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "PAUSE_S", 0.01)
    layer.broken = True
    events.tell_beside()
    events.announce(7, "case", CASE)
    deadline = time.monotonic() + 10
    while events._due and time.monotonic() < deadline:
        time.sleep(0.01)
    layer.broken = False
    events.announce(7, "policy")
    until(1, layer)
    assert layer.said == [("site.7", "policy", "")]


def test_what_waits_is_told_before_the_process_ends(
    layer: Layer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "PAUSE_S", 60.0)
    monkeypatch.setattr("os._exit", lambda status: None)
    events.tell_beside()
    events.announce(7, "case", CASE)
    until(0, layer)
    end_process(DEVICE_LOST, "alpha: its device is lost")
    assert layer.said == [("site.7", "case", str(CASE))]
    assert not events._due
