"""Scalar fields on a square picture: noise, smooth steps and mixing.

Pictures are planar float32 arrays (3, height, width) in [0, 1], which numpy mixes several times
faster than interleaved ones; positions are in picture widths, x to the right and y down.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Field = NDArray[np.floating[Any]]
"""(height, width) float32."""

Picture = NDArray[np.floating[Any]]
"""(3, height, width) float32."""

Colour = tuple[float, float, float]
"""Red, green, blue in [0, 1]."""


def axes(size: int) -> tuple[Field, Field]:
    """Pixel centres as a row (1, size) of x and a column (size, 1) of y, in picture widths."""
    line = (np.arange(size, dtype=np.float32) + 0.5) / size
    return line[None, :], line[:, None]


def resize(field: Field, shape: tuple[int, int]) -> Field:
    """`field` at another (height, width), bicubic."""
    image = Image.fromarray(np.ascontiguousarray(field, dtype=np.float32))
    return np.asarray(image.resize((shape[1], shape[0]), Image.Resampling.BICUBIC))


def noise(rng: np.random.Generator, shape: tuple[int, int], cells: float) -> Field:
    """Smooth noise around 0 (about -1 to 1) with `cells` bumps along the longer side."""
    longest = max(shape)
    coarse = tuple(max(2, round(side * cells / longest) + 2) for side in shape)
    return resize(rng.uniform(-1, 1, coarse).astype(np.float32), shape)


def clouds(
    rng: np.random.Generator, shape: tuple[int, int], cells: float, octaves: int = 3
) -> Field:
    """Noise of several scales, each twice as fine and half as strong; about -1 to 1."""
    total = noise(rng, shape, cells)
    for octave in range(1, octaves):
        total = total + noise(rng, shape, cells * 2**octave) * np.float32(0.5**octave)
    return total * np.float32(0.7)


class Lattice:
    """Noise that may be sampled anywhere, so that it can be turned and stretched."""

    SIDE = 64
    _ROW, _WRAP = SIDE + 1, SIDE - 1

    def __init__(self, rng: np.random.Generator) -> None:
        values = rng.uniform(-1, 1, (self.SIDE, self.SIDE)).astype(np.float32)
        self._values = np.pad(values, (0, 1), mode="wrap").ravel()

    def at(self, x: Field, y: Field) -> Field:
        """Values in [-1, 1] at lattice positions x, y (wraps around), smoothly interpolated."""
        left, top = np.floor(x), np.floor(y)
        across, down = _ease(x - left), _ease(y - top)
        column, row = left.astype(np.int32) & self._WRAP, top.astype(np.int32) & self._WRAP
        corner = row * np.int32(self._ROW) + column
        take, below = self._values.take, corner + np.int32(self._ROW)
        upper = mix(take(corner), take(corner + 1), across)
        lower = mix(take(below), take(below + 1), across)
        return mix(upper, lower, down)


def _ease(fraction: Field) -> Field:
    return fraction * fraction * (3 - 2 * fraction)


def mix(first: Field, second: Field, share: Field) -> Field:
    """`first` where share is 0, `second` where it is 1."""
    return first + (second - first) * share


def step(low: float, high: float, field: Field) -> Field:
    """0 below `low`, 1 above `high` (or the reverse where high < low), smooth between."""
    fraction = np.clip((field - np.float32(low)) / np.float32(high - low), 0, 1)
    return _ease(fraction)


def between(low: float, high: float, share: float) -> float:
    """The number `share` of the way from `low` to `high`."""
    return low + (high - low) * share


def bell(field: Field, width: float) -> Field:
    """Gaussian of `field` with standard deviation `width`; 1 where the field is 0."""
    scaled = field / np.float32(width)
    return np.exp(np.float32(-0.5) * scaled * scaled)


def paint(picture: Picture, colour: Colour, cover: Field) -> None:
    """Lay an opaque colour over `picture` in place, `cover` in [0, 1]."""
    for plane, value in zip(picture, colour, strict=True):
        plane += (np.float32(value) - plane) * cover


def stain(picture: Picture, colour: Colour, cover: Field) -> None:
    """Let `picture` show through a transparent colour, in place."""
    for plane, value in zip(picture, colour, strict=True):
        plane *= 1 + np.float32(value - 1) * cover
