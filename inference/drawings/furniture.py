"""Rooms and what stands in them, in metres."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from inference.drawings.fields import Colour
from inference.drawings.scene import Facet, Point, Rod, Shape, box, dim, turned

WALLS: tuple[Colour, ...] = (
    (0.90, 0.88, 0.83),
    (0.82, 0.85, 0.86),
    (0.86, 0.80, 0.70),
    (0.68, 0.78, 0.78),
    (0.78, 0.76, 0.80),
)
FLOORS: tuple[Colour, ...] = (
    (0.62, 0.45, 0.30),
    (0.50, 0.35, 0.24),
    (0.72, 0.70, 0.66),
    (0.76, 0.64, 0.50),
    (0.52, 0.53, 0.55),
)
FABRICS: tuple[Colour, ...] = (
    (0.45, 0.48, 0.52),
    (0.32, 0.42, 0.50),
    (0.60, 0.42, 0.32),
    (0.72, 0.68, 0.60),
    (0.36, 0.44, 0.36),
)
WOODS: tuple[Colour, ...] = (
    (0.55, 0.38, 0.24),
    (0.38, 0.25, 0.16),
    (0.80, 0.70, 0.55),
    (0.90, 0.89, 0.87),
)


@dataclass(frozen=True)
class Room:
    """Inner measures in metres and the colours of its shell; the window is in the far wall."""

    wide: float
    deep: float
    tall: float
    wall: Colour
    floor: Colour
    window: tuple[float, float]
    night: bool

    @staticmethod
    def drawn(rng: np.random.Generator, night: bool) -> "Room":
        wide = rng.uniform(4.0, 5.4)
        left = rng.uniform(-0.38, 0.12) * wide
        return Room(
            wide=wide,
            deep=rng.uniform(4.0, 5.2),
            tall=rng.uniform(2.45, 2.7),
            wall=WALLS[rng.integers(len(WALLS))],
            floor=FLOORS[rng.integers(len(FLOORS))],
            window=(left, left + rng.uniform(0.9, 1.5)),
            night=night,
        )


def shell(rng: np.random.Generator, room: Room) -> list[Facet]:
    """Floor, ceiling and walls in small pieces, lit from the window and darker in the corners."""
    half = room.wide / 2
    facets = [
        _tile(room, [(x0, 0, z0), (x1, 0, z0), (x1, 0, z1), (x0, 0, z1)], dim(room.floor, grain))
        for x0, x1, z0, z1 in _cells(-half, half, 0, room.deep, 0.34)
        for grain in [float(rng.uniform(0.93, 1.05))]
    ]
    top, white = room.tall, (0.89, 0.89, 0.88)
    for x0, x1, z0, z1 in _cells(-half, half, 0, room.deep, 0.7):
        facets.append(
            _tile(room, [(x0, top, z0), (x1, top, z0), (x1, top, z1), (x0, top, z1)], white)
        )
    back = room.deep
    for x0, x1, y0, y1 in _cells(-half, half, 0, room.tall, 0.2):
        corners = [(x0, y0, back), (x1, y0, back), (x1, y1, back), (x0, y1, back)]
        facets.append(_tile(room, corners, dim(room.wall, 0.9)))
    for x, share in ((-half, 0.97), (half, 0.86)):
        for z0, z1, y0, y1 in _cells(0, room.deep, 0, room.tall, 0.2):
            corners = [(x, y0, z0), (x, y0, z1), (x, y1, z1), (x, y1, z0)]
            facets.append(_tile(room, corners, dim(room.wall, share)))
    return facets


def _tile(room: Room, corners: list[Point], colour: Colour) -> Facet:
    """A piece of the shell as bright as its place: near the window, away from edges."""
    x, y, z = (float(value) for value in np.mean(corners, axis=0))
    window = (sum(room.window) / 2, 1.6, room.deep)
    far = (x - window[0]) ** 2 + (y - window[1]) ** 2 + (z - window[2]) ** 2
    glow = 0.0 if room.night else 0.35 / (1 + 0.25 * far)
    edges = (room.wide / 2 - abs(x), room.deep - z, room.tall - y, y + 0.2)
    edge = min(1.0, min(gap for gap in edges if gap > 0.01) / 0.5)
    return Facet(tuple(corners), dim(colour, (0.72 + glow) * (0.82 + 0.18 * edge)), True)


def _cells(
    low: float, high: float, bottom: float, top: float, step: float
) -> list[tuple[float, float, float, float]]:
    across = np.linspace(low, high, max(2, round((high - low) / step)) + 1)
    up = np.linspace(bottom, top, max(2, round((top - bottom) / step)) + 1)
    return [
        (float(a), float(b), float(c), float(d))
        for a, b in pairwise(across)
        for c, d in pairwise(up)
    ]


def fittings(rng: np.random.Generator, room: Room) -> list[Facet]:
    """Skirting, a window with curtains, pictures, and a door in a side wall: flat on the walls."""
    back, half = room.deep - 0.02, room.wide / 2
    left, right = room.window
    sky: Colour = (0.04, 0.05, 0.09) if room.night else (0.90, 0.95, 1.0)
    facets = [_wall_quad((-half, half), (0, 0.09), back, dim(room.wall, 0.72))]
    facets.append(_wall_quad((left - 0.07, right + 0.07), (0.93, 2.17), back, (0.84, 0.83, 0.80)))
    middle = (left + right) / 2
    for pane in ((left, middle - 0.03), (middle + 0.03, right)):
        facets.append(_wall_quad(pane, (1.0, 2.1), back, sky))
        if not room.night:
            facets.append(_wall_quad(pane, (1.0, rng.uniform(1.2, 1.45)), back, (0.60, 0.72, 0.56)))
    drape = FABRICS[rng.integers(len(FABRICS))]
    if rng.random() < 0.7:
        for edge in (left - 0.28, right - 0.04):
            for fold in range(4):
                x = edge + fold * 0.08
                facets.append(
                    _wall_quad(
                        (x, x + 0.08), (0.25, 2.3), back - 0.01, dim(drape, (0.95, 0.75)[fold % 2])
                    )
                )
    facets += _pictures(rng, room, back)
    side = half - 0.02 if rng.random() < 0.5 else 0.02 - half
    z = rng.uniform(0.5, 0.66) * room.deep
    wood = dim(WOODS[rng.integers(len(WOODS))], 0.85)
    facets.append(_side_quad(side, (z - 0.07, z + 0.92), 2.08, dim(wood, 0.75)))
    facets.append(_side_quad(side * 0.998, (z, z + 0.85), 2.02, wood))
    return facets


def _pictures(rng: np.random.Generator, room: Room, back: float) -> list[Facet]:
    facets = []
    for _ in range(rng.integers(0, 3)):
        x, wide = rng.uniform(room.window[1] + 0.4, room.wide / 2 + 0.3), rng.uniform(0.3, 0.6)
        if x + wide > room.wide / 2 - 0.1:
            continue
        facets.append(_wall_quad((x, x + wide), (1.35, 1.9), back, (0.2, 0.17, 0.15)))
        tint = dim(FABRICS[rng.integers(len(FABRICS))], 1.2)
        facets.append(_wall_quad((x + 0.04, x + wide - 0.04), (1.39, 1.86), back - 0.005, tint))
    return facets


def _wall_quad(x: tuple[float, float], y: tuple[float, float], z: float, colour: Colour) -> Facet:
    return Facet(((x[0], y[0], z), (x[1], y[0], z), (x[1], y[1], z), (x[0], y[1], z)), colour, True)


def _side_quad(x: float, z: tuple[float, float], top: float, colour: Colour) -> Facet:
    return Facet(((x, 0, z[0]), (x, 0, z[1]), (x, top, z[1]), (x, top, z[0])), colour, True)


def rug(rng: np.random.Generator, at: Point) -> list[Facet]:
    wide, deep = rng.uniform(0.8, 1.1), rng.uniform(0.55, 0.8)
    colour = FABRICS[rng.integers(len(FABRICS))]
    facets = []
    for scale, bright in ((1.0, 0.8), (0.86, 1.05)):
        x, z = wide * scale, deep * scale
        corners = [
            (at[0] + a * x, 0.003, at[2] + b * z) for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))
        ]
        facets.append(Facet(tuple(corners), dim(colour, bright), True))
    return facets


def sofa(colour: Colour, turn: float, at: Point) -> list[Shape]:
    """Two seats, 1.7 m wide; its front looks along -z before it is turned."""
    parts: list[Shape] = []
    for size, centre, bright in (
        ((1.7, 0.36, 0.8), (0, 0.06, 0), 0.85),
        ((1.7, 0.5, 0.2), (0, 0.4, 0.32), 0.95),
        ((0.18, 0.58, 0.8), (-0.86, 0.04, 0), 0.9),
        ((0.18, 0.58, 0.8), (0.86, 0.04, 0), 0.9),
        ((0.72, 0.12, 0.6), (-0.38, 0.4, -0.08), 1.08),
        ((0.72, 0.12, 0.6), (0.38, 0.4, -0.08), 1.08),
    ):
        parts += box(size, dim(colour, bright), centre, turn, at)
    return parts


def bed(colour: Colour, wood: Colour, turn: float, at: Point) -> list[Shape]:
    """1.4 m by 2 m, head at +z."""
    parts: list[Shape] = []
    for size, centre, tint in (
        ((1.4, 0.3, 2.0), (0, 0.02, 0), wood),
        ((1.4, 0.95, 0.06), (0, 0, 1.02), wood),
        ((1.36, 0.2, 1.96), (0, 0.32, 0), (0.92, 0.91, 0.90)),
        ((1.4, 0.1, 1.3), (0, 0.47, -0.34), colour),
        ((0.55, 0.12, 0.36), (-0.34, 0.52, 0.74), (0.96, 0.96, 0.95)),
        ((0.55, 0.12, 0.36), (0.34, 0.52, 0.74), (0.96, 0.96, 0.95)),
    ):
        parts += box(size, tint, centre, turn, at)
    return parts


def table(wood: Colour, size: Point, turn: float, at: Point) -> list[Shape]:
    wide, tall, deep = size
    parts: list[Shape] = []
    for x in (-1, 1):
        for z in (-1, 1):
            foot = (x * (wide / 2 - 0.05), 0.0, z * (deep / 2 - 0.05))
            parts += box((0.05, tall - 0.04, 0.05), dim(wood, 0.8), foot, turn, at)
    return parts + list[Shape](box((wide, 0.04, deep), wood, (0, tall - 0.04, 0), turn, at))


def chair(wood: Colour, turn: float, at: Point, tipped: bool = False) -> list[Shape]:
    """A wooden chair, its back at +z; tipped, it lies on its back."""
    bars = [((0.42, 0.04, 0.42), (0.0, 0.44, 0.0)), ((0.42, 0.42, 0.04), (0.0, 0.5, 0.2))]
    bars += [((0.04, 0.44, 0.04), (x * 0.19, 0.0, z * 0.19)) for x in (-1, 1) for z in (-1, 1)]
    parts: list[Shape] = []
    for facet in (
        facet for size, centre in bars for facet in box(size, wood, centre, 0, (0, 0, 0))
    ):
        corners = ((x, 0.22 - z, y - 0.4) if tipped else (x, y, z) for x, y, z in facet.corners)
        parts.append(Facet(tuple(turned(corner, turn, at) for corner in corners), wood))
    return parts


def shelf(rng: np.random.Generator, wood: Colour, turn: float, at: Point) -> list[Shape]:
    """A bookcase, 0.9 m wide, its back at +z."""
    tall = rng.uniform(1.2, 1.9)
    parts: list[Shape] = list(box((0.9, tall, 0.3), wood, (0, 0, 0.06), turn, at))
    rows = int(tall / 0.38)
    for row in range(rows):
        x = -0.42
        while x < 0.38:
            wide = rng.uniform(0.03, 0.07)
            if rng.random() < 0.85:
                book = dim(FABRICS[rng.integers(len(FABRICS))], rng.uniform(0.6, 1.3))
                size = (wide, rng.uniform(0.2, 0.29), 0.02)
                parts += box(size, book, (x + wide / 2, 0.05 + row * 0.38, -0.11), turn, at)
            x += wide + 0.004
    return parts


def screen(turn: float, at: Point, on: bool) -> list[Shape]:
    """A television on a low board, its back at +z."""
    parts: list[Shape] = list(box((1.5, 0.45, 0.4), (0.36, 0.30, 0.26), (0, 0, 0), turn, at))
    parts += box((1.15, 0.66, 0.05), (0.04, 0.04, 0.05), (0, 0.52, 0), turn, at)
    face = tuple(
        turned((x * 0.55, 0.85 + y * 0.3, -0.03), turn, at)
        for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))
    )
    parts.append(Facet(face, (0.35, 0.52, 0.68) if on else (0.07, 0.07, 0.08), True))
    return parts


def counter(rng: np.random.Generator, room: Room) -> list[Shape]:
    """A kitchen along the far wall: cupboards, worktop, stove and a tall fridge."""
    front = dim(WOODS[rng.integers(len(WOODS))], 1.0)
    at, parts = (0.0, 0.0, room.deep - 0.32), list[Shape]()
    start, end = -room.wide / 2 + 0.75, room.wide / 2 - 0.05
    parts += box((0.7, 1.75, 0.62), (0.86, 0.87, 0.88), (start - 0.37, 0, 0), 0, at)
    count = int((end - start) / 0.6)
    for index in range(count):
        x = start + 0.3 + index * 0.6
        stove = index == count // 2
        parts += box((0.58, 0.84, 0.6), (0.2, 0.2, 0.22) if stove else front, (x, 0, 0), 0, at)
        parts += box(
            (0.6, 0.04, 0.62),
            (0.12, 0.12, 0.13) if stove else (0.78, 0.77, 0.74),
            (x, 0.86, 0),
            0,
            at,
        )
        if not room.window[0] - 0.4 < x < room.window[1] + 0.4:
            parts += box((0.58, 0.6, 0.3), front, (x, 1.5, 0.14), 0, at)
    return parts


def plant(rng: np.random.Generator, at: Point) -> list[Shape]:
    pot: list[Shape] = [Rod(at, (at[0], 0.3, at[2]), 0.14, 0.17, (0.62, 0.38, 0.28))]
    green = (0.22, 0.42, 0.22)
    for _ in range(16):
        x, z = rng.uniform(-0.35, 0.35, 2)
        tip = (at[0] + x, rng.uniform(0.6, 1.2), at[2] + z)
        pot.append(Rod((at[0], 0.35, at[2]), tip, 0.015, 0.05, dim(green, rng.uniform(0.7, 1.3))))
    return pot


def lamp(at: Point, on: bool) -> list[Shape]:
    shade: Colour = (1.0, 0.93, 0.74) if on else (0.82, 0.78, 0.70)
    return [
        Rod((at[0], 0.02, at[2]), (at[0], 1.4, at[2]), 0.02, 0.02, (0.2, 0.2, 0.2)),
        Rod((at[0], 1.4, at[2]), (at[0], 1.6, at[2]), 0.19, 0.14, shade),
    ]
