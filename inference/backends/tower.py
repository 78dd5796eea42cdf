"""What a vision tower by itself sees in a picture, as numbers: no prompt, no words.

torch is loaded on first use.
"""

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from inference.backends.errors import ModelUnavailable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def visual_features(folder: Path, images: Sequence[Image.Image]) -> "NDArray[np.float32]":
    """Mean features over all positions of all pictures (at least one, RGB), (d,) float32.

    Args:
        folder: of a vision model whose last hidden state is a map (n, d, rows, columns).

    Raises:
        ModelUnavailable: the model or a package that it needs is missing.
        ValueError: there is no picture.
    """
    if not images:
        raise ValueError("there is no picture to look at")
    processor, tower = _load(folder)
    import torch

    pixels = processor(list(images), return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        maps = tower(pixels).last_hidden_state
    features: NDArray[np.float32] = maps.flatten(2).mean(dim=(0, 2)).float().numpy()
    return features


@lru_cache(maxsize=1)
def _load(folder: Path) -> tuple[Any, Any]:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        from transformers import AutoImageProcessor, AutoModel

        processor = AutoImageProcessor.from_pretrained(folder)
        tower = AutoModel.from_pretrained(folder, dtype="float32")
    except (ImportError, OSError, ValueError, KeyError) as error:
        raise ModelUnavailable(f"{folder.name} cannot be loaded: {error}") from error
    return processor, tower.eval()
