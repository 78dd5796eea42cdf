"""What every kind of wound has in common."""

from dataclasses import dataclass

import numpy as np

from inference.drawings.fields import Colour, Field
from inference.drawings.skin import Patch


@dataclass(frozen=True)
class Traits:
    """What a test or a learner may set, each from 0 to 1."""

    darkness: float
    length: float
    area: float


def darker(colour: Colour, share: float, most: float = 0.6) -> Colour:
    """`colour` with `share` of `most` of its light taken away."""
    keep = 1 - most * share
    return (colour[0] * keep, colour[1] * keep, colour[2] * keep)


def count_in(patch: Patch, cover: Field) -> None:
    """Note which part of a patch has become wound."""
    np.maximum(patch.wound, cover, out=patch.wound)
