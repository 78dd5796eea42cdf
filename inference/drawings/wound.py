"""One drawn photo of a wound, from a seed."""

import numpy as np
from PIL import Image

from inference.drawings.bodies import BODIES
from inference.drawings.fields import Field, Picture
from inference.drawings.marks import mark
from inference.drawings.nails import paint_nails
from inference.drawings.skin import Light, bare, before_backdrop, lit
from inference.drawings.traits import Traits
from inference.drawings.wounds import PAINTERS

WOUND_LABELS = tuple(PAINTERS)

WHERE: dict[str, dict[str, float]] = {
    "Abrasions": {"knee": 0.35, "limb": 0.35, "closeup": 0.2, "hand": 0.1},
    "Bruises": {"limb": 0.5, "closeup": 0.35, "knee": 0.15},
    "Burns": {"limb": 0.35, "hand": 0.35, "closeup": 0.3},
    "Cut": {"finger": 0.3, "limb": 0.3, "hand": 0.15, "closeup": 0.25},
    "Ingrown Nails": {"toe": 0.85, "foot": 0.15},
    "Laceration": {"limb": 0.5, "closeup": 0.3, "knee": 0.2},
    "Stab Wound": {"limb": 0.45, "closeup": 0.45, "foot": 0.1},
}
"""How often each kind of wound is drawn on each part of the body."""


def draw_wound(
    seed: int,
    label: str,
    *,
    size: int = 640,
    darkness: float | None = None,
    length: float | None = None,
    area: float | None = None,
    blend: str | None = None,
) -> Image.Image:
    """A square drawing of a wound; the same arguments always give the same pixels.

    Args:
        seed: any number >= 0; everything that is not set follows from it.
        label: one of WOUND_LABELS.
        size: side in pixels.
        darkness: 0 fresh and bright to 1 dark.
        length: 0 short to 1 long, along the wound's axis.
        area: 0 small or narrow to 1 large or wide.
        blend: a second label that is painted beside the first, for a case that is hard to tell.

    Raises:
        ValueError: unknown label, or a control outside 0 to 1.
    """
    return _compose(seed, label, size, (darkness, length, area), blend)[0]


def wound_cover(
    seed: int,
    label: str,
    *,
    size: int = 640,
    darkness: float | None = None,
    length: float | None = None,
    area: float | None = None,
    blend: str | None = None,
) -> Field:
    """How much of each pixel of `draw_wound` is wound: (size, size) from 0 to 1."""
    return _compose(seed, label, size, (darkness, length, area), blend)[1]


def _compose(
    seed: int,
    label: str,
    size: int,
    controls: tuple[float | None, ...],
    blend: str | None,
) -> tuple[Image.Image, Field]:
    if label not in PAINTERS or (blend is not None and blend not in PAINTERS):
        raise ValueError(f"Unknown label: {label if label not in PAINTERS else blend}")
    rng = np.random.default_rng([seed, WOUND_LABELS.index(label)])
    traits = _traits(rng, controls)
    body = BODIES[_where(rng, label if blend != "Ingrown Nails" else blend)](rng)
    canvas, gap, height = bare(rng, body, size)
    paint_nails(rng, canvas, body)
    light = Light.soft(rng)
    PAINTERS[label](rng, canvas, body, traits)
    if blend is not None:
        PAINTERS[blend](rng, canvas, body, traits)
    canvas.wound *= gap < 0
    picture = before_backdrop(rng, lit(canvas, height, light), gap, size)
    return mark(_photo(rng, picture)), canvas.wound


def _traits(rng: np.random.Generator, controls: tuple[float | None, ...]) -> Traits:
    """What is not set is drawn; the draws are made anyway, so that nothing else changes."""
    drawn = rng.uniform(0.05, 0.95, 3)
    values = [
        float(own) if own is not None else float(any_)
        for own, any_ in zip(controls, drawn, strict=True)
    ]
    if not all(0 <= value <= 1 for value in values):
        raise ValueError("darkness, length and area lie between 0 and 1")
    return Traits(*values)


def _where(rng: np.random.Generator, label: str) -> str:
    places = WHERE[label]
    return str(rng.choice(list(places), p=list(places.values())))


def _photo(rng: np.random.Generator, picture: Picture) -> Image.Image:
    """What a camera adds: exposure, white balance, a little grain."""
    balance = rng.uniform(0.96, 1.04, 3).astype(np.float32) * np.float32(rng.uniform(0.9, 1.06))
    grain = rng.standard_normal(picture.shape[1:], np.float32) * np.float32(
        rng.uniform(0.004, 0.014)
    )
    levels = np.clip(picture * balance[:, None, None] + grain, 0, 1) * 255
    return Image.fromarray(np.ascontiguousarray(levels.astype(np.uint8).transpose(1, 2, 0)))
