"""One drawn frame of a home camera, from a seed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import atan2, pi

import numpy as np
from PIL import Image

from inference.drawings import animals, figures, furniture
from inference.drawings.effects import flames, lens, night, smoke, torch
from inference.drawings.fields import Picture
from inference.drawings.furniture import FABRICS, WOODS, Room
from inference.drawings.marks import mark
from inference.drawings.scene import Camera, Point, Stage, box, shadow

Finish = Callable[[Picture], None]
"""Something laid over the finished frame."""

FINE = 2
"""The scene is drawn this many times larger and then reduced: smooth edges."""


@dataclass
class Scene:
    """A furnished room on its way to a picture. `middle` is free floor; `seat` can be sat on."""

    rng: np.random.Generator
    room: Room
    stage: Stage
    middle: Point
    seat: tuple[Point, float] | None
    infrared: bool
    finishes: list[Finish]

    def pixel(self, at: Point) -> tuple[float, float, float]:
        """Pixel x, y of a point in the reduced frame and the pixels of a metre there."""
        x, y, metre = self.stage.camera.spot(at)
        return x / FINE, y / FINE, metre / FINE

    def near_middle(self, spread: float = 0.35) -> Point:
        x, z = self.rng.uniform(-spread, spread, 2)
        return self.middle[0] + float(x), 0.0, self.middle[2] + float(z)

    def somebody(
        self, pose: figures.Pose, at: Point, turn: float, look: figures.Look | None = None
    ) -> None:
        lying = pose is figures.FALLEN
        self.stage.add(shadow(at, 0.4 if lying else 0.3, 0.4 if lying else 0.22), at, -0.3)
        self.stage.add(figures.person(pose, look or figures.Look.drawn(self.rng), turn, at), at)


def draw_room(seed: int, event: str, *, size: int = 640, dark: bool | None = None) -> Image.Image:
    """A drawing of a room as a home camera sees it, `size` x 3/4 `size` pixels.

    The same arguments always give the same pixels.

    Args:
        seed: any number >= 0.
        event: one of ROOM_EVENTS.
        size: width in pixels.
        dark: night or day; drawn from the seed where it is None.

    Raises:
        ValueError: unknown event.
    """
    if event not in EVENTS:
        raise ValueError(f"Unknown event: {event}")
    rng = np.random.default_rng([seed, 100 + ROOM_EVENTS.index(event)])
    late = bool(rng.random() < NIGHTS.get(event, 0.2))
    scene = _furnished(rng, size, late if dark is None else dark)
    EVENTS[event](scene)
    return mark(_frame(scene))


def _frame(scene: Scene) -> Image.Image:
    drawn = scene.stage.draw().reduce(FINE)
    picture = np.ascontiguousarray(np.asarray(drawn, np.float32).transpose(2, 0, 1)) / np.float32(
        225
    )
    if scene.room.night:
        picture = night(picture, scene.infrared)
    for finish in scene.finishes:
        finish(picture)
    levels = lens(scene.rng, picture) * 255
    return Image.fromarray(np.ascontiguousarray(levels.astype(np.uint8).transpose(1, 2, 0)))


def _furnished(rng: np.random.Generator, size: int, dark: bool) -> Scene:
    room = Room.drawn(rng, dark)
    camera = _camera(rng, room, size)
    stage = Stage(camera, _unit((sum(room.window) / 4, 0.8, 0.35)), 0.62)
    far = (0.0, 1.0, room.deep + 30)
    stage.add(furniture.shell(rng, room), far)
    for facet in furniture.fittings(rng, room):
        stage.add([facet], far, 1.0 + len(stage.groups) * 1e-3)
    middle = (
        float(rng.uniform(-0.1, 0.1)) * room.wide,
        0.0,
        room.deep * float(rng.uniform(0.5, 0.6)),
    )
    scene = Scene(rng, room, stage, middle, None, bool(rng.random() < 0.6), [])
    if rng.random() < 0.5:
        stage.add(furniture.rug(rng, middle), far, 10)
    ROOMS[int(rng.integers(len(ROOMS)))](scene)
    return scene


def _camera(rng: np.random.Generator, room: Room, size: int) -> Camera:
    """High up near the wall behind us, looking down across the room."""
    x, y = rng.uniform(-0.36, 0.36) * room.wide, rng.uniform(1.75, room.tall - 0.15)
    aim = room.deep * 0.62
    yaw, pitch = atan2(-x * 0.8, aim), atan2(y - 0.75, aim)
    position = (float(x), float(y), 0.1)
    return Camera(
        position, yaw, pitch, float(rng.uniform(0.58, 0.74)), size * FINE, size * FINE * 3 // 4
    )


def _living(scene: Scene) -> None:
    rng, room, stage = scene.rng, scene.room, scene.stage
    side = 1 if rng.random() < 0.5 else -1
    at = (side * (room.wide / 2 - 0.5), 0.0, room.deep * 0.55)
    fabric, wood = FABRICS[rng.integers(len(FABRICS))], WOODS[rng.integers(len(WOODS))]
    stage.add(furniture.sofa(fabric, side * pi / 2, at), at)
    scene.seat = ((at[0] - side * 0.05, 0.0, at[2] + float(rng.uniform(-0.4, 0.4))), -side * pi / 2)
    board = (float(rng.uniform(-0.2, 0.2)), 0.0, room.deep - 0.3)
    stage.add(furniture.screen(0, board, bool(rng.random() < 0.5)), board)
    corner = (-side * (room.wide / 2 - 0.4), 0.0, room.deep - 0.4)
    stage.add(
        furniture.plant(rng, corner) if rng.random() < 0.5 else furniture.lamp(corner, room.night),
        corner,
    )
    other = (-side * (room.wide / 2 - 0.22), 0.0, room.deep * 0.62)
    if rng.random() < 0.6:
        stage.add(furniture.shelf(rng, wood, -side * pi / 2, other), other)


def _bedroom(scene: Scene) -> None:
    rng, room, stage = scene.rng, scene.room, scene.stage
    side = 1 if rng.random() < 0.5 else -1
    fabric, wood = FABRICS[rng.integers(len(FABRICS))], WOODS[rng.integers(len(WOODS))]
    at = (side * (room.wide / 2 - 0.75), 0.0, room.deep - 1.1)
    stage.add(furniture.bed(fabric, wood, 0, at), at)
    stand = (at[0] - side * 1.0, 0.0, room.deep - 0.25)
    stage.add(furniture.table(wood, (0.42, 0.5, 0.4), 0, stand), stand)
    case = (-side * (room.wide / 2 - 0.22), 0.0, room.deep * 0.6)
    stage.add(furniture.shelf(rng, wood, -side * pi / 2, case), case)
    scene.middle = (scene.middle[0] - side * 0.45, 0.0, scene.middle[2] - 0.2)


def _kitchen(scene: Scene) -> None:
    rng, room, stage = scene.rng, scene.room, scene.stage
    stage.add(furniture.counter(rng, room), (0, 0.5, room.deep - 0.3))
    side = 1 if rng.random() < 0.5 else -1
    wood = WOODS[rng.integers(len(WOODS))]
    at = (side * (room.wide / 2 - 0.7), 0.0, room.deep * 0.5)
    stage.add(furniture.table(wood, (0.9, 0.74, 1.2), 0, at), at)
    seat = (at[0] - side * 0.68, 0.0, at[2])
    stage.add(furniture.chair(wood, -side * pi / 2, seat), seat)
    scene.seat = (seat, side * pi / 2)
    scene.middle = (scene.middle[0] - side * 0.5, 0.0, scene.middle[2])


ROOMS = (_living, _bedroom, _kitchen)


def _fall(scene: Scene) -> None:
    """Somebody lies on the floor, mostly with a chair overturned or a stick beside."""
    rng = scene.rng
    x, _, z = scene.near_middle(0.2)
    at, turn = (x, 0.0, z + 0.3), float(rng.uniform(0, 2 * pi))
    pose = figures.FALLEN
    if rng.random() < 0.5:
        pose = {name: (-x, y, z) for name, (x, y, z) in pose.items()}
    look = figures.Look.drawn(rng)
    scene.stage.add(shadow(at, 0.55, 0.45, 0.4), at, -0.5)
    scene.stage.add(figures.person(pose, look, turn, at), at)
    side = 0.9 if at[0] < 0 else -0.9
    beside = (at[0] + side, 0.0, at[2] + float(rng.uniform(-0.2, 0.4)))
    if rng.random() < 0.6:
        wood = WOODS[rng.integers(len(WOODS))]
        scene.stage.add(
            furniture.chair(wood, float(rng.uniform(0, 6)), beside, tipped=True), beside
        )


def _person(scene: Scene) -> None:
    rng = scene.rng
    if scene.seat and rng.random() < 0.4:
        at, turn = scene.seat
        look = figures.Look.drawn(rng)
        scene.stage.add(figures.person(figures.SITTING, look, turn, at), at, 0.35)
        return
    pose = figures.WALKING if rng.random() < 0.5 else figures.STANDING
    scene.somebody(pose, scene.near_middle(), float(rng.uniform(0, 2 * pi)))


def _fight_or_crime(scene: Scene) -> None:
    if scene.room.night or scene.rng.random() < 0.35:
        _burglar(scene)
        return
    x, _, z = scene.near_middle(0.15)
    tilt = float(scene.rng.uniform(-0.5, 0.5))
    for side, pose in ((-1, figures.HITTING), (1, figures.SHIELDING)):
        scene.somebody(pose, (x + side * 0.42, 0.0, z + side * tilt * 0.4), -side * pi / 2)


def _burglar(scene: Scene) -> None:
    """A masked figure in dark clothes with a bag, creeping."""
    rng, at = scene.rng, scene.near_middle()
    turn = float(rng.uniform(0.6, 1.4) * rng.choice([-1, 1])) + pi * (rng.random() < 0.5)
    scene.somebody(figures.CREEPING, at, turn, figures.DARK_CLOTHES)
    bag = box((0.34, 0.3, 0.24), (0.2, 0.18, 0.14), (-0.42, 0.42, 0.1), turn, at)
    scene.stage.add(bag, at, 0.1)
    if scene.room.night and not scene.infrared:
        x, y, metre = scene.pixel((at[0] + np.sin(turn) * 0.9, 0.8, at[2] + np.cos(turn) * 0.9))
        scene.finishes.append(lambda picture: torch(picture, x, y, metre * 0.7))


def _pet(scene: Scene) -> None:
    rng = scene.rng
    dog = rng.random() < 0.5
    colours = animals.DOG_COLOURS if dog else animals.CAT_COLOURS
    colour = colours[rng.integers(len(colours))]
    coat = replace(animals.DOG if dog else animals.CAT, body=colour, head=colour)
    if rng.random() < 0.5:
        coat = replace(coat, belly=colour)
    _beast(scene, coat, resting=bool(rng.random() < 0.3))


def _wild_animal(scene: Scene) -> None:
    kind = scene.rng.choice(["raccoon", "fox", "bear", "snake"], p=[0.5, 0.2, 0.15, 0.15])
    if kind == "snake":
        at = scene.near_middle()
        scene.stage.add(animals.snake(scene.rng, float(scene.rng.uniform(0, 6.28)), at), at)
        return
    coats = {"raccoon": animals.RACCOON, "fox": animals.FOX, "bear": animals.BEAR}
    _beast(scene, coats[str(kind)])


def _beast(scene: Scene, coat: animals.Coat, resting: bool = False) -> None:
    """An animal seen from the side or half from the front, on the free floor."""
    rng, (x, _, z) = scene.rng, scene.near_middle()
    at = (x, 0.0, z - (0.0 if coat is animals.BEAR else 0.25))
    turn = pi + float(rng.uniform(0.4, 1.4) * rng.choice([-1, 1]))
    scene.stage.add(shadow(at, coat.length * 0.7, coat.girth * 1.8), at, -0.4)
    scene.stage.add(animals.animal(coat, turn, at, float(rng.uniform(-1, 1)), resting), at)


def _fire_or_smoke(scene: Scene) -> None:
    rng = scene.rng
    x, _, z = scene.near_middle(0.5)
    px, py, metre = scene.pixel((x, 0.35, min(z + 0.5, scene.room.deep - 0.6)))
    burning = rng.random() < 0.7
    wide, tall = metre * rng.uniform(0.35, 0.8), metre * rng.uniform(0.8, 1.7)
    thick, grey = (
        rng.uniform(0.4, 0.8) if burning else rng.uniform(0.7, 0.95),
        rng.uniform(0.2, 0.62),
    )

    def over(picture: Picture) -> None:
        smoke(rng, picture, px, py - (tall * 0.5 if burning else 0), thick, grey)
        if burning:
            flames(rng, picture, px, py, wide, tall)

    scene.finishes.append(over)


def _nothing(scene: Scene) -> None:
    """The room as it is."""


def _unit(vector: Point) -> Point:
    norm = float(np.linalg.norm(vector))
    return vector[0] / norm, vector[1] / norm, vector[2] / norm


EVENTS: dict[str, Callable[[Scene], None]] = {
    "fall": _fall,
    "fire or smoke": _fire_or_smoke,
    "wild animal": _wild_animal,
    "fight or crime": _fight_or_crime,
    "person": _person,
    "pet": _pet,
    "empty scene": _nothing,
}
ROOM_EVENTS = tuple(EVENTS)
NIGHTS = {"fight or crime": 0.5, "wild animal": 0.4, "fire or smoke": 0.15}
"""How often an event is drawn at night; others one time in five."""
