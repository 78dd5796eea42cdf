"""Animals as rods on a skeleton, in metres; they stand at the origin and look along +z."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from math import pi, sin

import numpy as np

from inference.drawings.fields import Colour
from inference.drawings.scene import Point, Rod, Shape, dim, turned


@dataclass(frozen=True)
class Coat:
    """How an animal is built (metres) and coloured."""

    body: Colour
    belly: Colour
    head: Colour
    length: float
    tall: float
    girth: float
    snout: float
    ears: str
    tail: float
    rings: bool = False
    mask: bool = False


CAT = Coat(
    (0.82, 0.50, 0.22), (0.90, 0.80, 0.68), (0.84, 0.53, 0.25), 0.36, 0.2, 0.085, 0.03, "up", 0.34
)
DOG = Coat(
    (0.62, 0.45, 0.28), (0.85, 0.75, 0.60), (0.60, 0.42, 0.26), 0.56, 0.42, 0.14, 0.12, "down", 0.26
)
RACCOON = Coat(
    (0.42, 0.41, 0.40),
    (0.58, 0.56, 0.54),
    (0.72, 0.71, 0.69),
    0.46,
    0.2,
    0.16,
    0.09,
    "round",
    0.4,
    True,
    True,
)
FOX = Coat(
    (0.80, 0.37, 0.12), (0.92, 0.88, 0.82), (0.82, 0.40, 0.15), 0.52, 0.32, 0.105, 0.13, "up", 0.44
)
BEAR = Coat(
    (0.17, 0.12, 0.09), (0.2, 0.14, 0.10), (0.2, 0.14, 0.1), 1.1, 0.68, 0.38, 0.18, "round", 0.05
)
CAT_COLOURS: tuple[Colour, ...] = (
    (0.82, 0.50, 0.22),
    (0.13, 0.12, 0.12),
    (0.55, 0.55, 0.56),
    (0.88, 0.85, 0.80),
)
DOG_COLOURS: tuple[Colour, ...] = (
    (0.62, 0.45, 0.28),
    (0.80, 0.66, 0.44),
    (0.16, 0.14, 0.13),
    (0.88, 0.86, 0.82),
)
SNAKES: tuple[Colour, ...] = ((0.30, 0.46, 0.34), (0.42, 0.33, 0.2))


def animal(
    coat: Coat, turn: float, at: Point, stride: float = 0.0, resting: bool = False
) -> list[Shape]:
    """Four legs, standing or with its legs folded; `stride` (-1 to 1) sets them apart."""
    back = (0.02 if resting else coat.tall) + coat.girth
    half = coat.length / 2
    brow = (0.0, back + coat.girth * 1.15, half + coat.girth * 0.95)
    root = (0.0, back + coat.girth * 0.2, -half - coat.girth * 0.6)
    pieces = [
        *_trunk(coat, back),
        *_legs(coat, back, stride, resting),
        *_animal_head(coat, brow),
        *_tail(coat, root),
    ]
    return [
        Rod(turned(one.start, turn, at), turned(one.end, turn, at), one.r0, one.r1, one.colour)
        for one in pieces
    ]


def _trunk(coat: Coat, back: float) -> Iterable[Rod]:
    """Body, belly, the arch of the back and the neck; `back` is the spine's height."""
    half, girth = coat.length / 2, coat.girth
    low, arch = back - girth * 0.3, back + girth * 0.12
    nape = (0.0, back + girth * 0.9, half + girth * 0.45)
    yield Rod((0, back, -half), (0, back, half), girth * 1.02, girth * 0.94, coat.body)
    yield Rod((0, low, -half * 0.7), (0, low, half), girth * 0.75, girth * 0.7, coat.belly)
    yield Rod((0, arch, -half * 0.55), (0, arch, half * 0.2), girth * 1.05, girth, coat.body)
    yield Rod((0, back + girth * 0.3, half), nape, girth * 0.7, girth * 0.55, coat.body)


def _legs(coat: Coat, back: float, stride: float, resting: bool) -> Iterable[Rod]:
    reach = coat.length * 0.45
    thick = max(0.022, coat.girth * 0.3)
    for side in (-1, 1):
        for end, way in ((reach, stride), (-reach, -stride)):
            foot = end + way * side * coat.tall * 0.4 + (coat.girth if resting else 0)
            x = side * coat.girth * 0.6
            hip = (x, back - coat.girth * 0.3, end)
            yield Rod(hip, (x, thick * 0.8, foot), thick * 1.25, thick * 0.8, coat.body)


def _animal_head(coat: Coat, brow: Point) -> Iterable[Rod]:
    x, y, z = brow
    size = max(0.06, coat.girth * 0.66)
    nose = (x, y - size * 0.35, z + size * 0.75 + coat.snout)
    tip = (x, nose[1], nose[2] + 0.01)
    yield Rod(brow, (x, y, z + size * 0.3), size, size * 0.9, coat.head)
    yield Rod((x, y - size * 0.25, z + size * 0.6), nose, size * 0.55, size * 0.34, coat.belly)
    yield Rod(nose, tip, size * 0.18, size * 0.18, (0.06, 0.05, 0.05))
    for side in (-1, 1):
        yield from _eye(coat, brow, size, side)
        yield _ear(coat, brow, size, side)


def _eye(coat: Coat, brow: Point, size: float, side: int) -> Iterable[Rod]:
    """An eye, in a dark patch where the coat has a mask."""
    _, y, z = brow
    eye = (side * size * 0.42, y + size * 0.12, z + size * 0.98)
    if coat.mask:
        cheek = (side * size * 0.8, y - size * 0.1, z + size * 0.55)
        yield Rod(eye, cheek, size * 0.3, size * 0.26, (0.09, 0.08, 0.08))
    bright: Colour = (0.93, 0.85, 0.5) if coat.mask else (0.05, 0.05, 0.04)
    yield Rod(eye, eye, size * 0.1, size * 0.1, bright)


def _ear(coat: Coat, brow: Point, size: float, side: int) -> Rod:
    _, y, z = brow
    root = (side * size * 0.62, y + size * 0.62, z + size * 0.1)
    if coat.ears == "up":
        tip = (side * size * 0.8, y + size * 1.35, z)
        return Rod(root, tip, size * 0.3, size * 0.06, coat.head)
    if coat.ears == "down":
        tip = (side * size * 1.1, y - size * 0.3, z + size * 0.1)
        return Rod(root, tip, size * 0.25, size * 0.28, dim(coat.head, 0.7))
    tip = (side * size * 0.75, y + size * 0.85, z)
    return Rod(root, tip, size * 0.3, size * 0.28, dim(coat.head, 0.75))


def _tail(coat: Coat, root: Point) -> list[Rod]:
    pieces, steps = [], 8
    thick = coat.girth * (0.42 if coat.rings or coat is FOX else 0.2)
    for index in range(steps):
        ends = [
            (
                0.05 * sin(share * 3),
                root[1] + coat.tail * 0.5 * sin(share * 1.6),
                root[2] - coat.tail * share,
            )
            for share in (index / steps, (index + 1) / steps)
        ]
        dark = coat.rings and index % 2 == 1
        pieces.append(
            Rod(ends[0], ends[1], thick, thick, (0.12, 0.11, 0.11) if dark else coat.body)
        )
    return pieces


def snake(rng: np.random.Generator, turn: float, at: Point) -> list[Shape]:
    """A snake on the floor, in bends."""
    bends, colour = rng.uniform(2, 3.2), SNAKES[int(rng.integers(len(SNAKES)))]
    shares = np.linspace(0, 1, 26)
    spine = [
        turned((0.18 * sin(share * bends * 2 * pi), 0.035, share * 1.3 - 0.65), turn, at)
        for share in shares
    ]
    parts: list[Shape] = []
    for index, (start, end) in enumerate(pairwise(spine)):
        thick = 0.012 + 0.026 * sin(pi * min(1, 0.08 + shares[index] * 0.95))
        parts.append(Rod(start, end, thick, thick, dim(colour, 0.65 if index % 3 == 0 else 1)))
    parts.append(Rod(spine[-1], spine[-1], 0.04, 0.04, dim(colour, 0.9)))
    return parts
