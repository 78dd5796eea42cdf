"""Feature maps at stride 16 and pixel measurements of every version of every picture, cached.

The blocks below the split of a tower are frozen, so their output is computed once for all folds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from inference.backends.huggingface import with_centre_crops
from inference.training import measure, views
from inference.training.arithmetic import short_numbers
from inference.training.towers import TowerStem, channels_last, split_tower

EYE = "lite0"  # the tower that tells the familiar from the unknown, as ImageNet trained it


class Shown(Protocol):
    """A picture of a folder, or a drawing."""

    def image(self) -> Image.Image: ...


@dataclass(frozen=True)
class Gallery:
    """n pictures in v versions each: version 0 is the picture as it is, the others are augmented.

    folder    where what is computed of them is kept; other pictures need another folder
    pictures  gives them one after another, each time anew
    """

    folder: Path
    pictures: Sequence[Shown]
    augmentations: int
    seed: int

    def __len__(self) -> int:
        return len(self.pictures)

    def maps(self, tower: str) -> NDArray[np.float16]:
        """Maps (n, v, c, channels, 14, 14) of the frozen part of a tower, memory-mapped."""
        path = self.folder / f"{tower}.npy"
        if not path.exists():
            self._compute_maps(tower, path)
        return np.asarray(np.load(path, mmap_mode="r"))

    def measured(self) -> NDArray[np.float64]:
        """Measurements (n, v, a) in the order of measure.NAMES."""
        path = self.folder / "measured.npy"
        if not path.exists():
            rows = [measure.measure_all(shown) for shown in self._versions("measuring")]
            self.folder.mkdir(parents=True, exist_ok=True)
            np.save(path, np.array(rows))
        return np.asarray(np.load(path))

    def _versions(self, title: str) -> Iterator[list[Image.Image]]:
        numbered = enumerate(tqdm(self.pictures, desc=title, leave=False, disable=None))
        for row, picture in numbered:
            yield views.versions(picture.image(), self.augmentations, self.seed * 1_000_003 + row)

    def _compute_maps(self, tower: str, path: Path) -> None:
        stem, output = split_tower(tower)[0], None
        half_done = path.with_suffix(".part")
        self.folder.mkdir(parents=True, exist_ok=True)
        for row, shown in enumerate(self._versions(f"{self.folder.name} {tower}")):
            crops = [crop for one in shown for crop in with_centre_crops((one,), views.CROPS)]
            maps = run_stem(stem, torch.from_numpy(views.pixels(crops)))
            if output is None:
                shape = (len(self), len(shown), len(views.CROPS) + 1, *maps.shape[1:])
                output = np.lib.format.open_memmap(
                    half_done, mode="w+", dtype=np.float16, shape=shape
                )
            output[row] = maps.reshape(output.shape[1:])
        if output is not None:
            output.flush()
            half_done.rename(path)


@torch.inference_mode()
def run_stem(stem: TowerStem, values: torch.Tensor) -> NDArray[np.float16]:
    """Maps (n, c, 14, 14) of pixels (n, 3, 224, 224), in short numbers where those are quicker."""
    values = values.to(memory_format=torch.channels_last)
    with short_numbers():
        return np.asarray(stem(values).float().contiguous().numpy().astype(np.float16))


@torch.inference_mode()
def eye_features(gallery: Gallery) -> NDArray[np.float32]:
    """What the eye sees of each picture as it is, (n, 1280)."""
    top, maps = channels_last(split_tower(EYE)[1]), gallery.maps(EYE)
    rows = []
    for start in range(0, len(maps), 64):
        part = torch.from_numpy(maps[start : start + 64, 0, 0].astype(np.float32))
        rows.append(top(part.to(memory_format=torch.channels_last)).mean(dim=(2, 3)).numpy())
    return np.concatenate(rows)
