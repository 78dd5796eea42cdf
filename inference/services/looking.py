"""What an observation looks like, kept as visual features, and how novel that is."""

import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from inference.models import Observation
from inference.novelty import load_reference, look

if TYPE_CHECKING:
    from numpy.typing import NDArray

log = logging.getLogger(__name__)


def ensure_visual(observation: Observation, images: Sequence[Image.Image]) -> None:
    """Store the visual features of an observation unless they are there, or nobody needs them.

    The first worker at any job of the observation does it. A failure is logged and costs the job
    nothing: without features the novelty is unknown, and the case goes to a person.

    Args:
        images: the RGB pictures that the members look at.
    """
    try:
        if observation.visual is None and load_reference(observation.domain) is not None:
            seen = look(images).astype("<f4").tobytes()
            Observation.objects.filter(pk=observation.pk, visual=None).update(visual=seen)
            observation.visual = seen
    except Exception:
        log.exception("%s cannot be looked at: its novelty stays unknown", observation)


def visual_of(observation: Observation) -> "NDArray[np.float32] | None":
    """The stored visual features (d,) float32, or None."""
    return np.frombuffer(observation.visual, dtype="<f4") if observation.visual else None


def shipped_novelty(observation: Observation) -> float | None:
    """Novelty (0 to 1) against the shipped reference; None where it is unknown or has no meaning.

    It never raises: a broken reference is logged here, and objects when the case is decided.
    """
    try:
        reference, visual = load_reference(observation.domain), visual_of(observation)
        if reference is None or visual is None:
            return None
        novelty = reference.novelty(visual)
    except Exception:
        log.exception("no novelty of %s", observation)
        return None
    return novelty if math.isfinite(novelty) else None
