"""The painter of rooms: where things appear, what hides what, and what lies behind the camera."""

import numpy as np
import pytest

from inference.drawings.scene import Camera, Facet, Point, Rod, Stage, box, in_front, turned

RED, BLUE = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)


def stage() -> Stage:
    camera = Camera((0, 1, 0), yaw=0, pitch=0, focal=1, width=100, height=100)
    return Stage(camera, (0, 0.6, -0.8), ambient=1)


def square(z: float, half: float, colour: tuple[float, float, float]) -> Facet:
    corners = tuple((x * half, 1 + y * half, z) for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1)))
    return Facet(corners, colour, flat=True)


def test_what_is_straight_ahead_is_in_the_middle() -> None:
    x, y, metre = stage().camera.spot((0, 1, 4))
    assert (x, y, metre) == (50, 50, 25)


def test_right_is_right_and_up_is_up() -> None:
    x, y, _ = stage().camera.spot((1, 2, 4))
    assert x > 50 > y


def test_looking_down_moves_the_floor_up() -> None:
    level = stage().camera
    tilted = Camera(level.position, 0, 0.3, 1, 100, 100)
    assert tilted.spot((0, 0, 4))[1] < level.spot((0, 0, 4))[1]


def test_turning_right_moves_things_left() -> None:
    assert Camera((0, 1, 0), 0.3, 0, 1, 100, 100).spot((0, 1, 4))[0] < 50


@pytest.mark.parametrize("near_first", [True, False])
def test_the_nearer_thing_hides_the_farther(near_first: bool) -> None:
    scene = stage()
    things = [(square(2, 0.3, RED), 2.0), (square(5, 3, BLUE), 5.0)]
    for facet, z in things if near_first else reversed(things):
        scene.add([facet], (0, 1, z))
    picture = scene.draw()
    assert picture.getpixel((50, 50)) == (255, 0, 0)
    assert picture.getpixel((20, 50)) == (0, 0, 255)


def test_what_lies_behind_the_camera_is_not_drawn() -> None:
    scene = stage()
    scene.add([square(-2, 1, RED), Rod((0, 1, -1), (0, 1, 3), 0.2, 0.2, RED)], (0, 1, -2))
    assert np.asarray(scene.draw()).max() == 0


def test_a_polygon_that_reaches_behind_is_cut_off() -> None:
    triangle = np.asarray([(0.0, 0.0, 4.0), (1.0, 0.0, -4.0), (-1.0, 0.0, -4.0)])
    kept = in_front(triangle)
    assert len(kept) == 3
    assert kept[:, 2].min() == pytest.approx(0.12)


def test_a_turn_by_a_quarter_looks_to_the_right() -> None:
    ahead: Point = (0, 0, 1)
    assert turned(ahead, np.pi / 2, (5, 0, 5)) == pytest.approx((6, 0, 5))


def test_a_box_has_its_measures() -> None:
    corners = np.asarray(
        [
            corner
            for facet in box((2, 1, 4), RED, (0, 0.5, 0), 0, (0, 0, 9))
            for corner in facet.corners
        ]
    )
    assert corners.min(0).tolist() == [-1, 0.5, 7]
    assert corners.max(0).tolist() == [1, 1.5, 11]
