"""Is a picture like those that the ensemble was trained on?

Beside the members file lies, for each domain with such a reference,

    <domain>-reference.npz      the familiar pictures as visual features (inference.uq.novelty)

A domain without one has no novelty, and nothing objects.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from inference.backends.registry import MEMBERS_FILE
from inference.backends.tower import visual_features
from inference.shipped import reference_path
from inference.uq.novelty import Reference, fit_reference

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Reference", "fit_reference", "load_reference", "look"]

EYES = MEMBERS_FILE.with_name("lite0")


def load_reference(domain_id: str) -> Reference | None:
    """The reference of a domain, read again when its file has changed; None where there is none.

    Raises:
        ValueError, OSError: the file is there and cannot be read.
    """
    path = reference_path(domain_id)
    return _read(path, path.stat().st_mtime) if path.is_file() else None


@lru_cache(maxsize=4)
def _read(path: Path, _changed: float) -> Reference:
    return Reference.load(path)


def look(images: Sequence[Image.Image]) -> "NDArray[np.float32]":
    """What the shipped lite0's vision tower sees, (d,) float32; the mean over several frames.

    It looks at every observation, whoever is in the ensemble. Raises as `visual_features` does.
    """
    return visual_features(EYES, images)
