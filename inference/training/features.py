"""Feature maps at stride 16 and pixel measurements of every version of every picture, cached.

The blocks below the split of a tower are frozen, so their output is computed once for all folds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from inference.backends.huggingface import with_centre_crops
from inference.training import measure, views
from inference.training.towers import TowerStem, split_tower


@dataclass(frozen=True)
class FeatureSet:
    """Features of n pictures in v versions (version 0 is the picture as it is) and c views each.

    maps      a tower -> float16 (n, v, c, channels, 14, 14), memory-mapped
    measured  float64 (n, v, 6)
    """

    maps: dict[str, NDArray[np.float16]]
    measured: NDArray[np.float64]


def cached_features(
    folder: Path,
    pictures: Sequence[Image.Image] | Iterable[Image.Image],
    count: int,
    *,
    towers: Sequence[str],
    augmentations: int,
    seed: int,
) -> FeatureSet:
    """Features of `count` pictures, read from `folder` when an earlier call finished there."""
    done = folder / "measured.npy"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        measured = _compute(folder, pictures, count, towers, augmentations, seed)
        np.save(done, measured)
    maps = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in towers}
    return FeatureSet(maps, np.load(done))


def _compute(
    folder: Path,
    pictures: Iterable[Image.Image],
    count: int,
    towers: Sequence[str],
    augmentations: int,
    seed: int,
) -> NDArray[np.float64]:
    stems = {name: split_tower(name)[0] for name in towers}
    outputs: dict[str, NDArray[np.float16]] = {}
    measured = np.zeros((count, augmentations + 1, len(measure.NAMES)))
    for row, picture in enumerate(tqdm(pictures, total=count, desc=folder.name, disable=None)):
        shown = views.versions(picture, augmentations, seed * 1_000_003 + row)
        measured[row] = measure.measure_all(shown)
        crops = [crop for one in shown for crop in with_centre_crops((one,), views.CROPS)]
        values = torch.from_numpy(views.pixels(crops))
        for name, stem in stems.items():
            maps = run_stem(stem, values)
            if name not in outputs:
                shape = (count, len(shown), len(views.CROPS) + 1, *maps.shape[1:])
                outputs[name] = np.lib.format.open_memmap(
                    folder / f"{name}.npy", mode="w+", dtype=np.float16, shape=shape
                )
            outputs[name][row] = maps.reshape(outputs[name].shape[1:])
    for output in outputs.values():
        output.flush()  # type: ignore[attr-defined]
    return measured


@torch.inference_mode()
def run_stem(stem: TowerStem, values: torch.Tensor) -> NDArray[np.float16]:
    """Maps (n, c, 14, 14) of pixels (n, 3, 224, 224), in bfloat16 arithmetic."""
    values = values.to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        return np.asarray(stem(values).float().contiguous().numpy().astype(np.float16))
