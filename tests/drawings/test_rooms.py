"""Drawn rooms: the same from the same seed, and what happens in them can be seen."""

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.drawings import ROOM_EVENTS, draw_room

EVENTS = pytest.mark.parametrize("event", ROOM_EVENTS)


def pixels(seed: int, event: str, *, dark: bool | None = None) -> NDArray[np.float64]:
    return np.asarray(draw_room(seed, event, size=160, dark=dark), np.float64)


@EVENTS
def test_the_same_seed_gives_the_same_pixels(event: str) -> None:
    assert np.array_equal(pixels(3, event), pixels(3, event))


@EVENTS
def test_different_seeds_give_different_pictures(event: str) -> None:
    for seed in range(3):
        assert np.abs(pixels(seed, event) - pixels(seed + 1, event)).mean() > 8


@pytest.mark.parametrize("size", [128, 320, 640])
def test_frames_have_the_asked_width_and_a_camera_s_shape(size: int) -> None:
    assert draw_room(1, "fall", size=size).size == (size, size * 3 // 4)


@EVENTS
def test_nights_are_darker_than_days(event: str) -> None:
    for seed in range(3):
        assert pixels(seed, event, dark=True).mean() < 0.85 * pixels(seed, event, dark=False).mean()


def test_fire_glows() -> None:
    def glowing(event: str) -> float:
        frames = [pixels(seed, event, dark=False) for seed in range(6)]
        return max(
            float(((frame[..., 0] > 200) & (frame[..., 2] < 120)).mean()) for frame in frames
        )

    assert glowing("fire or smoke") > 5 * glowing("empty scene") + 0.005


def test_an_unknown_event_is_refused() -> None:
    with pytest.raises(ValueError, match="Unknown event: party"):
        draw_room(1, "party")


def test_a_frame_is_drawn_quickly() -> None:
    """In processor time, so that a busy machine does not count; the aim is 0.15 s."""
    start = time.process_time()
    for event in ROOM_EVENTS:
        draw_room(1, event)
    assert (time.process_time() - start) / len(ROOM_EVENTS) < 0.45
