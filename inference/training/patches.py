"""Drawn patches on plain skin: pictures of which size, shape and tone are known."""

from math import cos, pi, sin

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIDE = 320
SKINS = ((232, 190, 172), (222, 178, 158), (198, 150, 122), (160, 112, 86), (110, 74, 56))


def draw_patch(
    seed: int,
    *,
    size: float | None = None,
    length: float | None = None,
    darkness: float | None = None,
) -> Image.Image:
    """A coloured ellipse on skin, 320 x 320 pixels; the same arguments give the same pixels.

    Args:
        seed: decides whatever is not set.
        size: geometric mean of the half axes as a share of the picture's side, 0.05 to 0.4.
        length: long over short axis, 1 to 6.
        darkness: 0 bright red to 1 nearly black.
    """
    rng = np.random.default_rng([seed, 7])
    drawn = rng.uniform((0.05, 0.0, 0.0), (0.4, 1.0, 1.0))
    size = float(drawn[0]) if size is None else size
    length = float(6.0 ** drawn[1]) if length is None else length
    darkness = float(drawn[2]) if darkness is None else darkness
    skin = np.array(SKINS[int(rng.integers(len(SKINS)))]) * rng.uniform(0.9, 1.05)
    fresh = np.array([rng.uniform(140, 215), rng.uniform(25, 90), rng.uniform(25, 80)])
    picture = Image.new("RGB", (SIDE, SIDE), _rgb(skin))
    corners = _ellipse(size * SIDE * length**0.5, size * SIDE / length**0.5, rng)
    ImageDraw.Draw(picture).polygon(corners, fill=_rgb(fresh * (1.0 - 0.8 * darkness)))
    picture = picture.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.5, 5.0))))
    grain = rng.normal(0.0, rng.uniform(1.0, 9.0), (SIDE, SIDE, 1))
    return Image.fromarray((np.asarray(picture) + grain).clip(0, 255).astype(np.uint8))


def _rgb(colour: np.ndarray) -> tuple[int, int, int]:
    red, green, blue = (int(min(255.0, max(0.0, value))) for value in colour)
    return red, green, blue


def _ellipse(long: float, short: float, rng: np.random.Generator) -> list[tuple[float, float]]:
    turn, middle = rng.uniform(0, pi), SIDE / 2 + rng.uniform(-0.08, 0.08, 2) * SIDE
    points = []
    for step in range(72):
        x, y = long * cos(step * pi / 36), short * sin(step * pi / 36)
        points.append(
            (middle[0] + x * cos(turn) - y * sin(turn), middle[1] + x * sin(turn) + y * cos(turn))
        )
    return points
