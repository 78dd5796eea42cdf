"""Parts of the body as rounded limbs, with the place where a wound may lie."""

from collections.abc import Callable
from dataclasses import dataclass
from math import atan2, cos, pi, sin

import numpy as np

from inference.drawings.fields import Field, axes, resize


@dataclass(frozen=True)
class Limb:
    """A cone with round ends, from (x0, y0) with radius r0 to (x1, y1) with radius r1."""

    x0: float
    y0: float
    r0: float
    x1: float
    y1: float
    r1: float


@dataclass(frozen=True)
class Place:
    """Where something lies: centre, direction of its long axis, room along and across it."""

    x: float
    y: float
    angle: float
    along: float
    across: float


@dataclass(frozen=True)
class Body:
    """A part of the body; `nails` are the places of its nails, the first one foremost."""

    limbs: tuple[Limb, ...]
    wound: Place
    nails: tuple[Place, ...] = ()
    softness: float = 0.03
    flatness: float = 0.8


def closeup(rng: np.random.Generator) -> Body:
    """Skin that fills the picture."""
    angle = rng.uniform(0, pi)
    bow = rng.uniform(0.75, 1.1)
    dx, dy = cos(angle) * 1.5, sin(angle) * 1.5
    x, y = rng.uniform(0.42, 0.58, 2)
    limb = Limb(0.5 - dx, 0.5 - dy, bow, 0.5 + dx, 0.5 + dy, bow * rng.uniform(0.85, 1.1))
    return Body((limb,), Place(x, y, rng.uniform(-0.9, 0.9), 0.36, 0.27))


def limb(rng: np.random.Generator) -> Body:
    """A forearm or a leg that crosses the picture."""
    angle = rng.uniform(-0.45, 0.45) + (pi / 2 if rng.random() < 0.5 else 0)
    radius = rng.uniform(0.24, 0.34)
    dx, dy = cos(angle), sin(angle)
    taper = rng.uniform(0.66, 0.9)
    x, y = 0.5 + rng.uniform(-0.05, 0.05), 0.5 + rng.uniform(-0.05, 0.05)
    calf = Limb(x - dx, y - dy, radius * 1.1, x, y, radius)
    rest = Limb(x, y, radius, x + dx, y + dy, radius * taper)
    turn = angle + rng.uniform(-0.35, 0.35)
    return Body((calf, rest), Place(x, y, turn, 0.3, radius * 0.72), softness=0.12)


def knee(rng: np.random.Generator) -> Body:
    """A bent knee from the front, sometimes with the other one beside it."""
    x, y = rng.uniform(0.44, 0.56), rng.uniform(0.4, 0.5)
    lean = rng.uniform(-0.12, 0.12)
    radius = rng.uniform(0.24, 0.29)
    parts = [
        Limb(x - lean, -0.3, radius * 1.15, x, y, radius),
        Limb(x, y, radius * 0.98, x + lean * 2, 1.2, radius * 0.8),
        Limb(x, y - 0.02, radius * 0.72, x, y + 0.06, radius * 0.6),
    ]
    if rng.random() < 0.4:
        side = 0.72 if x < 0.5 else -0.72
        parts.append(Limb(x + side, -0.3, radius * 1.15, x + side, y, radius))
        parts.append(Limb(x + side, y, radius, x + side, 1.2, radius * 0.8))
    return Body(tuple(parts), Place(x, y, rng.uniform(-0.5, 0.5), 0.19, 0.16), softness=0.06)


def hand(rng: np.random.Generator) -> Body:
    """The back of a hand with five fingers spread."""
    mirror = 1.0 if rng.random() < 0.5 else -1.0
    wide = rng.uniform(0.9, 1.05)
    lean = rng.uniform(-0.1, 0.1)

    def at(x: float, y: float) -> tuple[float, float]:
        return 0.5 + mirror * x * wide + lean * (0.6 - y), y

    def piece(x0: float, y0: float, r0: float, x1: float, y1: float, r1: float) -> Limb:
        return Limb(*at(x0, y0), r0 * wide, *at(x1, y1), r1 * wide)

    lift = rng.uniform(0, 0.05)
    parts = [
        piece(0, 1.3, 0.13, 0, 0.8, 0.135),
        piece(-0.08, 0.76, 0.11, -0.12, 0.5, 0.085),
        piece(0.06, 0.76, 0.12, 0.1, 0.52, 0.085),
        piece(0, 0.76, 0.12, 0, 0.5, 0.09),
        piece(-0.15, 0.5, 0.056, -0.3, 0.27 - lift, 0.04),
        piece(-0.055, 0.47, 0.06, -0.1, 0.13 - lift, 0.043),
        piece(0.045, 0.47, 0.06, 0.07, 0.09 - lift, 0.044),
        piece(0.14, 0.49, 0.057, 0.22, 0.15 - lift, 0.042),
        piece(0.11, 0.76, 0.075, 0.33, 0.5, 0.05),
        piece(0.33, 0.5, 0.05, 0.38, 0.38, 0.043),
    ]
    nails = [_finger_nail(parts[index]) for index in (4, 5, 6, 7, 9)]
    x, y = at(0.0, 0.62)
    wound = Place(x, y, rng.uniform(-0.6, 0.6), 0.16, 0.13)
    return Body(tuple(parts), wound, tuple(nails), softness=0.028, flatness=0.6)


def _finger_nail(part: Limb) -> Place:
    """At the end of a finger, pointing as it does."""
    angle = atan2(part.y1 - part.y0, part.x1 - part.x0) + pi / 2
    return Place(part.x1, part.y1, angle, part.r1 * 0.72, part.r1 * 0.6)


def finger(rng: np.random.Generator) -> Body:
    """One finger tip, its pad towards us."""
    angle = rng.uniform(-0.5, 0.5) - pi / 2
    radius = rng.uniform(0.19, 0.24)
    x, y = 0.5 + rng.uniform(-0.05, 0.05), rng.uniform(0.34, 0.42)
    dx, dy = cos(angle), sin(angle)
    parts = (
        Limb(x, y, radius, x - dx * 0.3, y - dy * 0.3, radius * 1.08),
        Limb(x - dx * 0.34, y - dy * 0.34, radius * 1.02, x - dx, y - dy, radius * 1.12),
    )
    spot = Place(x - dx * 0.08, y - dy * 0.08, rng.uniform(-0.8, 0.8), 0.16, 0.13)
    return Body(parts, spot, softness=0.05)


def toe(rng: np.random.Generator) -> Body:
    """The big toe from above with its nail, the second toe beside it."""
    mirror = 1.0 if rng.random() < 0.5 else -1.0
    radius = rng.uniform(0.24, 0.3)
    x, y = 0.5 + rng.uniform(-0.05, 0.03) * mirror, rng.uniform(0.36, 0.42)
    lean = rng.uniform(-0.08, 0.08)
    parts = [
        Limb(x, y, radius, x + lean, y + 0.32, radius * 0.98),
        Limb(x + lean, y + 0.4, radius * 0.94, x + lean * 2, 1.4, radius * 1.2),
    ]
    wide, tall = radius * rng.uniform(0.56, 0.66), radius * rng.uniform(0.56, 0.72)
    nails = [Place(x, y - radius * 0.18, lean * 0.5, tall, wide)]
    if rng.random() < 0.75:
        beside = x + mirror * radius * 1.72
        parts.append(Limb(beside, y + 0.2, radius * 0.62, beside, 1.3, radius * 0.72))
        nails.append(Place(beside, y + 0.1, 0.0, radius * 0.3, radius * 0.34))
    fold = Place(x, y + radius * 0.95, rng.uniform(-0.4, 0.4), radius * 0.6, radius * 0.45)
    return Body(tuple(parts), fold, tuple(nails), softness=0.03, flatness=0.7)


def foot(rng: np.random.Generator) -> Body:
    """A whole forefoot from above: five toes with their nails."""
    mirror = 1.0 if rng.random() < 0.5 else -1.0
    parts, nails = [], []
    for index in range(5):
        x = 0.5 + mirror * (-0.22 + (0.16 + 0.105 * (index - 1) if index else 0))
        y = 0.26 + 0.03 * index**1.4 + rng.uniform(-0.01, 0.01)
        radius = 0.1 if index == 0 else 0.068 - 0.003 * index
        base = 0.5 + mirror * (-0.17 + (0.125 + 0.075 * (index - 1) if index else 0))
        parts.append(Limb(x, y, radius, base, 0.56 + 0.02 * index, radius * 1.05))
        nails.append(Place(x, y - radius * 0.28, 0.0, radius * 0.55, radius * 0.58))
    parts.append(Limb(0.5, 0.72, 0.265, 0.5 + mirror * 0.04, 1.4, 0.25))
    spot = Place(0.5, 0.72, rng.uniform(-0.7, 0.7), 0.2, 0.14)
    return Body(tuple(parts), spot, tuple(nails), softness=0.05, flatness=0.55)


def surface(body: Body, size: int) -> tuple[Field, Field]:
    """Distance to the outline (negative inside) and height of the skin, in picture widths."""
    half = max(32, size // 2)
    x, y = axes(half)
    gap = np.full((half, half), 9.0, np.float32)
    round_ = np.full((half, half), body.limbs[0].r0, np.float32)
    for part in body.limbs:
        distance, radius = _to_axis(part, x, y)
        gap, round_ = _join(gap, round_, distance - radius, radius, body.softness)
    height = np.sqrt(np.maximum(round_ * round_ - np.square(np.maximum(gap + round_, 0)), 0))
    shape = (size, size)
    return resize(gap, shape), resize(height * np.float32(body.flatness), shape)


def _to_axis(part: Limb, x: Field, y: Field) -> tuple[Field, Field]:
    dx, dy = part.x1 - part.x0, part.y1 - part.y0
    span = np.float32(max(dx * dx + dy * dy, 1e-9))
    share = np.clip(((x - part.x0) * dx + (y - part.y0) * dy) / span, 0, 1).astype(np.float32)
    distance = np.hypot(x - part.x0 - share * dx, y - part.y0 - share * dy)
    return distance.astype(np.float32), np.float32(part.r0) + share * np.float32(part.r1 - part.r0)


def _join(
    gap: Field, radius: Field, other_gap: Field, other_radius: Field, softness: float
) -> tuple[Field, Field]:
    """Smooth minimum: two rounded parts grow together instead of meeting in a crease."""
    share = np.clip(0.5 + (gap - other_gap) / np.float32(2 * softness), 0, 1)
    joined = gap + (other_gap - gap) * share - softness * share * (1 - share) * np.float32(0.5)
    return joined, radius + (other_radius - radius) * share


BODIES: dict[str, Callable[[np.random.Generator], Body]] = {
    "closeup": closeup,
    "limb": limb,
    "knee": knee,
    "hand": hand,
    "finger": finger,
    "toe": toe,
    "foot": foot,
}
