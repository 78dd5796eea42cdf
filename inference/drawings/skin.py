"""Skin under soft light: the canvas that wounds are painted on, and how it becomes a picture."""

from dataclasses import dataclass
from math import cos, sin

import numpy as np
from PIL import Image, ImageDraw

from inference.drawings.bodies import Body, Place, surface
from inference.drawings.fields import (
    Colour,
    Field,
    Picture,
    axes,
    bell,
    between,
    clouds,
    mix,
    noise,
    paint,
    stain,
    step,
)

TONES: tuple[Colour, ...] = (
    (0.96, 0.83, 0.76),
    (0.91, 0.74, 0.64),
    (0.83, 0.64, 0.50),
    (0.69, 0.48, 0.35),
    (0.52, 0.34, 0.24),
    (0.35, 0.23, 0.17),
)
"""Skin from type I to type VI of Fitzpatrick's scale, under neutral light."""

BACKDROPS: tuple[Colour, ...] = (
    (0.94, 0.94, 0.95),
    (0.80, 0.86, 0.91),
    (0.62, 0.72, 0.80),
    (0.72, 0.73, 0.72),
    (0.50, 0.60, 0.56),
    (0.26, 0.28, 0.31),
    (0.07, 0.07, 0.08),
)


@dataclass
class Canvas:
    """What light falls on: colour (3, h, w), relief in picture widths and gloss (h, w) from 0 to 1.

    `wound` collects how much of each pixel the wound covers.
    """

    colour: Picture
    relief: Field
    gloss: Field
    wound: Field
    tone: float
    size: int


@dataclass(frozen=True)
class Patch:
    """The part of a canvas around a place, as views, with coordinates along and across it.

    `u` and `v` are in picture widths from the place's centre, turned by its angle.
    """

    colour: Picture
    relief: Field
    gloss: Field
    wound: Field
    u: Field
    v: Field
    tone: float


def bare(rng: np.random.Generator, body: Body, size: int) -> tuple[Canvas, Field, Field]:
    """A canvas of healthy skin, with the body's gap and height fields."""
    tone = float(np.clip(rng.normal(1.7, 1.35), 0, len(TONES) - 1))
    gap, height = surface(body, size)
    colour = _complexion(rng, tone, size)
    empty = np.zeros((size, size), np.float32)
    canvas = Canvas(colour, empty, np.full_like(empty, 0.12), empty.copy(), tone, size)
    canvas.relief += _pores(rng, size)
    _hairs(rng, canvas, body)
    return canvas, gap, height


def _complexion(rng: np.random.Generator, tone: float, size: int) -> Picture:
    lower = min(int(tone), len(TONES) - 2)
    pair = np.asarray(TONES[lower : lower + 2], np.float32)
    base = pair[0] + (pair[1] - pair[0]) * np.float32(tone - lower)
    base = np.clip(base * rng.uniform(0.96, 1.03, 3).astype(np.float32), 0, 0.98)
    shape = (size, size)
    colour = np.broadcast_to(base[:, None, None], (3, size, size)).copy()
    blush = clouds(rng, shape, 4, 3)
    stain(colour, (1.0, 0.86, 0.83), np.clip(0.35 + blush * 0.6, 0, 1))
    colour *= 1 + clouds(rng, shape, 26, 2) * np.float32(0.022)
    for _ in range(rng.integers(0, 5)):
        _mole(rng, colour)
    return colour


def _mole(rng: np.random.Generator, colour: Picture) -> None:
    size = colour.shape[-1]
    x, y = axes(size)
    left, top = rng.uniform(0.05, 0.95, 2)
    rows, columns = (slice(int((at - 0.03) * size), int((at + 0.03) * size)) for at in (top, left))
    away = np.hypot(x[:, columns] - np.float32(left), y[rows] - np.float32(top))
    spot = bell(away, rng.uniform(0.002, 0.006))
    stain(colour[:, rows, columns], (0.62, 0.45, 0.38), spot * np.float32(rng.uniform(0.4, 1)))


def _pores(rng: np.random.Generator, size: int) -> Field:
    """Fine lines and pores as relief."""
    shape = (size, size)
    fine = rng.normal(0, 1, (size // 2, size // 2)).astype(np.float32)
    grain = np.repeat(np.repeat(fine, 2, 0), 2, 1)
    whole = np.zeros(shape, np.float32)
    whole[: grain.shape[0], : grain.shape[1]] = grain
    lines = noise(rng, shape, 90) * np.float32(0.00045)
    return whole * np.float32(0.00004) + lines


def _hairs(rng: np.random.Generator, canvas: Canvas, body: Body) -> None:
    """Short dark hairs that lie roughly one way; many bodies have none."""
    count = int(rng.integers(60, 420)) if rng.random() < 0.35 and not body.nails else 0
    if not count:
        return
    layer = Image.new("L", (canvas.size, canvas.size))
    pen = ImageDraw.Draw(layer)
    way = rng.uniform(0, 6.28)
    starts = rng.uniform(0, canvas.size, (count, 2))
    for (x, y), turn in zip(starts, rng.normal(way, 0.35, count), strict=True):
        long = canvas.size * rng.uniform(0.012, 0.035)
        pen.line(
            (x, y, x + cos(turn) * long, y + sin(turn) * long), fill=int(rng.integers(40, 120))
        )
    cover = np.asarray(layer, np.float32) / 255
    paint(canvas.colour, (0.16, 0.11, 0.08), cover)


def around(canvas: Canvas, place: Place, along: float, across: float | None = None) -> Patch:
    """The part of `canvas` within `along` and `across` picture widths of the place's centre.

    They are measured along and across the place; `across` is the same as `along` if not given.
    """
    size = canvas.size
    c, s = np.float32(cos(place.angle)), np.float32(sin(place.angle))
    across = along if across is None else across
    wide = min(along, float(abs(c) * along + abs(s) * across))
    tall = min(along, float(abs(s) * along + abs(c) * across))
    left, top = max(0, int((place.x - wide) * size)), max(0, int((place.y - tall) * size))
    right, bottom = (
        min(size, int((at + reach) * size) + 1) for at, reach in ((place.x, wide), (place.y, tall))
    )
    box = np.s_[..., top:bottom, left:right]
    x, y = axes(size)
    dx, dy = x[:, left:right] - place.x, y[top:bottom] - place.y
    return Patch(
        canvas.colour[box],
        canvas.relief[box],
        canvas.gloss[box],
        canvas.wound[box],
        (dx * c + dy * s).astype(np.float32),
        (dy * c - dx * s).astype(np.float32),
        canvas.tone,
    )


@dataclass(frozen=True)
class Light:
    """Direction towards the light (unit vector) and how much comes from everywhere."""

    x: float
    y: float
    z: float
    ambient: float

    @staticmethod
    def soft(rng: np.random.Generator) -> "Light":
        across, down = rng.uniform(-0.55, 0.55), rng.uniform(-0.75, -0.25)
        norm = float(np.sqrt(across**2 + down**2 + 1))
        return Light(across / norm, down / norm, 1 / norm, rng.uniform(0.42, 0.58))


def lit(canvas: Canvas, height: Field, light: Light) -> Picture:
    """The canvas as a camera sees it: diffuse light, reddened shadows and wet highlights."""
    nx, ny, nz = _normals(height + canvas.relief, canvas.size)
    facing = np.maximum(nx * light.x + ny * light.y + nz * light.z, 0)
    shade = light.ambient + (1.08 - light.ambient) * facing
    shade *= 0.72 + 0.28 * nz
    half = np.asarray([light.x, light.y, light.z + 1], np.float32)
    half /= np.linalg.norm(half)
    mirror = np.square(np.square(np.maximum(nx * half[0] + ny * half[1] + nz * half[2], 0)))
    broad = mirror * mirror * mirror
    sharp = np.square(np.square(broad)) * broad
    shine = (broad * np.float32(0.1) + sharp * np.float32(0.75)) * canvas.gloss
    warmth = (np.float32(1) - shade) * np.float32(0.1) * shade
    planes = zip(
        canvas.colour, (shade + warmth, shade, shade - warmth * np.float32(0.5)), strict=True
    )
    return np.stack([plane * light_ + shine for plane, light_ in planes])


def _normals(height: Field, size: int) -> tuple[Field, Field, Field]:
    down, across = np.gradient(height * np.float32(size))
    steep = 1 / np.sqrt(across * across + down * down + 1)
    return -across * steep, -down * steep, steep


def before_backdrop(rng: np.random.Generator, picture: Picture, gap: Field, size: int) -> Picture:
    """Cut the body out and lay it on a plain cloth or studio background with a soft shadow."""
    colour = np.asarray(BACKDROPS[rng.integers(len(BACKDROPS))], np.float32)
    x, y = axes(size)
    fall = 1 - 0.16 * (y * rng.uniform(0, 1) + x * rng.uniform(-0.5, 0.5))
    fall = fall + noise(rng, (size, size), 3) * np.float32(rng.uniform(0.01, 0.05))
    shadow = 1 - 0.45 * np.exp(-np.maximum(gap, 0) * np.float32(between(14, 40, rng.random())))
    ground = colour[:, None, None] * (fall * shadow)
    return mix(picture, ground, step(-0.004, 0.004, gap))
