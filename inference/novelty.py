"""Is a picture like those that the ensemble was trained on?

Beside the members file lie

    <domain>-reference.npz  a domain's familiar pictures as features (inference.uq.novelty)
    eye/                    the vision model that these are of

The eye is trained on everyday pictures and never on a domain's: a tower that has learned what tells
wounds apart has unlearned what tells a wound from all else (docs/ensemble.md). A domain without a
reference has no novelty, and nothing objects.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from inference.backends.registry import folder_fingerprint
from inference.backends.tower import visual_features
from inference.shipped import eye_path, reference_path
from inference.uq.novelty import Reference, fit_reference

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Reference", "fit_reference", "load_reference", "look"]


def load_reference(domain_id: str) -> Reference | None:
    """The reference of a domain, read again when its file has changed; None where there is none.

    Raises:
        ValueError, OSError: the file is there and cannot be read, or its eye is not there.
    """
    path = reference_path(domain_id)
    if not path.is_file():
        return None
    reference = _read(path, path.stat().st_mtime)
    if reference.eye and reference.eye != folder_fingerprint(eye_path()):
        raise ValueError(f"{path.name} was made with another eye than {eye_path()}: train anew.")
    return reference


@lru_cache(maxsize=4)
def _read(path: Path, _changed: float) -> Reference:
    return Reference.load(path)


def look(images: Sequence[Image.Image]) -> "NDArray[np.float32]":
    """What the eye sees, (d,) float32; the mean over several frames.

    It looks at every observation, whoever is in the ensemble. Raises as `visual_features` does.
    """
    return visual_features(eye_path(), images)
