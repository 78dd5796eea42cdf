"""Nails, and the one that has grown into its fold."""

from dataclasses import replace
from math import pi

import numpy as np

from inference.drawings.bodies import Body, Place
from inference.drawings.fields import Colour, Field, Lattice, bell, between, paint, stain, step
from inference.drawings.skin import Canvas, Patch, around
from inference.drawings.traits import Traits, count_in, darker


def ingrown_nail(rng: np.random.Generator, canvas: Canvas, body: Body, traits: Traits) -> None:
    """The skin fold beside a nail red and swollen over the nail's edge, with crust or pus."""
    nail = body.nails[0]
    side = 1.0 if rng.random() < 0.5 else -1.0
    # A nail's place has its long axis down the picture once it is turned by a quarter.
    patch = around(canvas, replace(nail, angle=nail.angle + pi / 2), nail.across * 3)
    rough = Lattice(rng)
    down = patch.u - nail.along * between(-0.5, 0.2, rng.random())
    beside = patch.v * side - nail.across * 1.02
    long = nail.along * between(0.5, 1.0, traits.length)
    wide = nail.across * between(0.24, 0.5, traits.area)
    away = np.hypot(down / long, beside / wide) + 0.12 * rough.at(patch.u * 20, patch.v * 20)
    redness = np.hypot(
        patch.u / (nail.along * 1.9), (patch.v * side - nail.across * 0.9) / (nail.across * 1.1)
    )
    not_nail = 1 - _nail_cover(patch, nail)
    stain(patch.colour, (0.96, 0.58, 0.56), step(1.4, 0.2, redness) * np.maximum(not_nail, 0.25))
    fold = step(1.0, 0.72, away)
    inflamed = darker((0.80, 0.22, 0.22), traits.darkness, 0.65)
    paint(patch.colour, inflamed, fold * (0.75 + 0.2 * rough.at(patch.u * 45, patch.v * 45)))
    patch.relief[...] += np.sqrt(np.clip(1 - away * away, 0, 1)) * np.float32(wide * 0.55)
    inner = bell(beside + wide * 0.75, wide * 0.3) * bell(down, long * 0.55)
    crust = inner * step(-0.1, 0.45, rough.at(patch.u * 40, patch.v * 40))
    matter: Colour = (0.86, 0.74, 0.38) if rng.random() < 0.4 else (0.36, 0.06, 0.05)
    paint(patch.colour, darker(matter, traits.darkness, 0.4), crust * 0.9)
    patch.gloss[...] += fold * 0.4
    count_in(patch, fold)


def paint_nails(rng: np.random.Generator, canvas: Canvas, body: Body) -> None:
    """The nails of toes: pale plates, a lunula, a free edge and the groove around them."""
    worn = rng.uniform(0, 1)
    for nail in body.nails:
        patch = around(
            canvas, replace(nail, angle=nail.angle + pi / 2), nail.along * 1.35, nail.across * 1.35
        )
        plate = _nail_cover(patch, nail)
        outline = _nail_gap(patch, nail)
        stain(patch.colour, (0.80, 0.55, 0.50), bell(outline - 1.04, 0.07) * 0.8)
        paint(patch.colour, (0.90, 0.74, 0.66), plate * 0.65)
        paint(patch.colour, (0.86, 0.78, 0.58), plate * worn * 0.4)
        share = patch.u / nail.along
        paint(
            patch.colour,
            (0.95, 0.90, 0.82),
            plate * step(-0.74, -0.9, share + 0.12 * (patch.v / nail.across) ** 2) * 0.9,
        )
        lunula = np.hypot((share - 1.0) / 0.42, patch.v / nail.across / 0.62)
        paint(patch.colour, (0.96, 0.88, 0.84), plate * step(1.05, 0.9, lunula) * 0.6)
        ridges = Lattice(rng).at(patch.u * 0.5, patch.v / nail.across * 9)
        patch.relief[...] -= bell(outline - 1.03, 0.06) * np.float32(nail.across * 0.1)
        patch.relief[...] += plate * ridges * np.float32(nail.across * 0.003)
        patch.gloss[...] += plate * 0.22


def _nail_gap(patch: Patch, nail: Place) -> Field:
    """1 on a nail's outline, less inside."""
    across, down = np.abs(patch.v / nail.across), patch.u / nail.along
    power = np.where(down > 0, 2.6, 4.0)
    gap: Field = (across**3.2 + np.abs(down) ** power) ** np.float32(1 / 3.2)
    return gap


def _nail_cover(patch: Patch, nail: Place) -> Field:
    return step(1.02, 0.96, _nail_gap(patch, nail))
