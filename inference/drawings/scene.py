"""A small painter of rooms: flat facets and round rods in metres, seen through one camera.

x runs to the right, y up from the floor, z away from the wall that the camera hangs on.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import cos, sin

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from inference.drawings.fields import Colour

Point = tuple[float, float, float]
NEAR = 0.12
"""Nothing nearer to the camera than this many metres is drawn."""


@dataclass(frozen=True)
class Facet:
    """A flat convex polygon. `flat` ones give no shading: lamps, screens, the sky."""

    corners: tuple[Point, ...]
    colour: Colour
    flat: bool = False
    alpha: float = 1.0


@dataclass(frozen=True)
class Rod:
    """A cone with round ends: a limb, a head (both ends alike), a tail."""

    start: Point
    end: Point
    r0: float
    r1: float
    colour: Colour


Shape = Facet | Rod


@dataclass(frozen=True)
class Camera:
    """Where it hangs, how it is turned (radians; pitch > 0 looks down) and its focal length."""

    position: Point
    yaw: float
    pitch: float
    focal: float
    width: int
    height: int

    def view(self, points: Sequence[Point]) -> NDArray[np.float64]:
        """Points (n, 3) as right, up and forward distances from the camera."""
        x, y, z = (np.asarray(points) - np.asarray(self.position)).T
        right = x * cos(self.yaw) - z * sin(self.yaw)
        ahead = x * sin(self.yaw) + z * cos(self.yaw)
        forward = ahead * cos(self.pitch) - y * sin(self.pitch)
        up = y * cos(self.pitch) + ahead * sin(self.pitch)
        return np.stack([right, up, forward], axis=1)

    def pixels(self, seen: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pixel (n, 2) of points that `view` gave, all in front of the camera."""
        scale = self.focal * self.width / seen[:, 2]
        return np.stack(
            [self.width / 2 + seen[:, 0] * scale, self.height / 2 - seen[:, 1] * scale], axis=1
        )

    def spot(self, point: Point) -> tuple[float, float, float]:
        """Pixel x, y of a point and the pixels that a metre has there."""
        seen = self.view([point])
        (x, y), scale = self.pixels(seen)[0], self.focal * self.width / seen[0, 2]
        return float(x), float(y), float(scale)


@dataclass
class Stage:
    """What stands in a room, drawn from far to near."""

    camera: Camera
    light: Point
    ambient: float
    groups: list[tuple[float, list[Shape]]] = field(default_factory=list)

    def add(self, shapes: Iterable[Shape], at: Point, nearer: float = 0.0) -> None:
        """Put shapes in; groups farther than `at` (less `nearer` metres) are drawn before."""
        forward = float(self.camera.view([at])[0, 2])
        self.groups.append((forward - nearer, list(shapes)))

    def draw(self) -> Image.Image:
        canvas = Image.new("RGB", (self.camera.width, self.camera.height))
        pen = ImageDraw.Draw(canvas, "RGBA")
        for _, shapes in sorted(self.groups, key=lambda group: -group[0]):
            for shape in sorted(shapes, key=self._distance, reverse=True):
                self._draw(pen, shape)
        return canvas

    def _distance(self, shape: Shape) -> float:
        points = shape.corners if isinstance(shape, Facet) else (shape.start, shape.end)
        return float(np.mean(np.linalg.norm(self.camera.view(points), axis=1)))

    def _draw(self, pen: ImageDraw.ImageDraw, shape: Shape) -> None:
        if isinstance(shape, Facet):
            self._facet(pen, shape)
        else:
            self._rod(pen, shape)

    def _facet(self, pen: ImageDraw.ImageDraw, facet: Facet) -> None:
        seen = in_front(self.camera.view(facet.corners))
        if len(seen) < 3:
            return
        colour = facet.colour if facet.flat else self._shaded(facet)
        outline = [(float(x), float(y)) for x, y in self.camera.pixels(seen)]
        pen.polygon(outline, fill=ink(colour, facet.alpha))

    def _shaded(self, facet: Facet) -> Colour:
        first, second, third = (np.asarray(corner) for corner in facet.corners[:3])
        normal = np.cross(second - first, third - second)
        normal /= max(float(np.linalg.norm(normal)), 1e-9)
        if normal @ (np.asarray(self.camera.position) - first) < 0:
            normal = -normal
        return dim(
            facet.colour, self.ambient + (1 - self.ambient) * max(0, float(normal @ self.light))
        )

    def _rod(self, pen: ImageDraw.ImageDraw, rod: Rod) -> None:
        """Three layers, each narrower, brighter and nearer to the light: it looks round."""
        seen = self.camera.view([rod.start, rod.end])
        if seen[:, 2].min() < NEAR:
            return
        ends = self.camera.pixels(seen)
        scale = self.camera.focal * self.camera.width / seen[:, 2]
        radii = np.asarray([rod.r0, rod.r1]) * scale
        towards = np.asarray([0.35 if self.light[0] > 0 else -0.35, -0.45])
        for narrow, bright in ((1.0, 0.7), (0.82, 0.86), (0.52, 1.0)):
            moved = ends + towards * (radii * (1 - narrow))[:, None]
            _capsule(pen, moved, radii * narrow, ink(dim(rod.colour, bright)))


def _capsule(
    pen: ImageDraw.ImageDraw,
    ends: NDArray[np.float64],
    radii: NDArray[np.float64],
    fill: tuple[int, int, int, int],
) -> None:
    for (x, y), radius in zip(ends, radii, strict=True):
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
    along = ends[1] - ends[0]
    long = float(np.hypot(*along))
    if long > 1:
        side = np.asarray([-along[1], along[0]]) / long
        corners = [
            ends[0] + side * radii[0],
            ends[1] + side * radii[1],
            ends[1] - side * radii[1],
            ends[0] - side * radii[0],
        ]
        pen.polygon([(float(x), float(y)) for x, y in corners], fill=fill)


def in_front(seen: NDArray[np.float64]) -> NDArray[np.float64]:
    """The part of a polygon (n, 3) that lies in front of the camera."""
    kept = []
    for here, there in zip(seen, np.roll(seen, -1, axis=0), strict=True):
        if here[2] >= NEAR:
            kept.append(here)
        if (here[2] >= NEAR) != (there[2] >= NEAR):
            share = (NEAR - here[2]) / (there[2] - here[2])
            kept.append(here + (there - here) * share)
    return np.asarray(kept) if kept else np.empty((0, 3))


def ink(colour: Colour, alpha: float = 1.0) -> tuple[int, int, int, int]:
    red, green, blue = (round(255 * min(max(value, 0), 1)) for value in colour)
    return red, green, blue, round(255 * alpha)


def dim(colour: Colour, share: float) -> Colour:
    return colour[0] * share, colour[1] * share, colour[2] * share


def turned(point: Point, turn: float, at: Point) -> Point:
    """`point`, given around the origin, turned about the vertical and moved to `at`."""
    x, y, z = point
    return (
        at[0] + x * cos(turn) + z * sin(turn),
        at[1] + y,
        at[2] - x * sin(turn) + z * cos(turn),
    )


def box(size: Point, colour: Colour, centre: Point, turn: float, at: Point) -> list[Facet]:
    """A box of `size` whose underside's middle is at `centre`, in the frame (`turn`, `at`)."""
    wide, tall, deep = size[0] / 2, size[1], size[2] / 2

    def corner(x: int, y: int, z: int) -> Point:
        return turned((centre[0] + x * wide, centre[1] + y * tall, centre[2] + z * deep), turn, at)

    ring = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    sides = [
        Facet((corner(a, 0, b), corner(c, 0, d), corner(c, 1, d), corner(a, 1, b)), colour)
        for (a, b), (c, d) in zip(ring, ring[1:] + ring[:1], strict=True)
    ]
    top = Facet(tuple(corner(x, 1, z) for x, z in ring), colour)
    return [*sides, top]


def shadow(at: Point, wide: float, deep: float, strength: float = 0.3) -> list[Facet]:
    """A soft dark spot on the floor."""
    rings = []
    angles = np.linspace(0, 2 * np.pi, 25)[:-1]
    for scale in (1.35, 1.22, 1.09, 0.96, 0.83, 0.7, 0.55):
        corners = tuple(
            (at[0] + cos(a) * wide * scale, 0.004, at[2] + sin(a) * deep * scale) for a in angles
        )
        rings.append(Facet(corners, (0.05, 0.04, 0.04), flat=True, alpha=strength / 5))
    return rings
