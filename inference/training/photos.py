"""Labelled photos, their near-twins, and folds that keep near-twins together."""

import csv
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

HASH_DISTANCE = 6  # bits of 64: up to here the same photo, turned, mirrored or recoded
COSINE = 0.85  # of pooled ImageNet features, for twins that were cropped or recoloured


@dataclass(frozen=True)
class Photo:
    """One labelled picture on disk; `index` is its row in labels.csv."""

    index: int
    path: Path
    label: str

    def image(self) -> Image.Image:
        """The upright picture in RGB."""
        with Image.open(self.path) as opened:
            return ImageOps.exif_transpose(opened).convert("RGB")


def read_folder(folder: Path) -> tuple[Photo, ...]:
    """Photos of a folder with `labels.csv` (columns file, label); files beside it or in images/.

    Raises FileNotFoundError naming the first file that is in neither place.
    """
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    return tuple(
        Photo(index, _locate(folder, row["file"]), row["label"]) for index, row in enumerate(rows)
    )


def _locate(folder: Path, name: str) -> Path:
    for candidate in (folder / "images" / name, folder / name):
        if candidate.is_file():
            return candidate
    raise FileNotFoundError(f"{name} of labels.csv is neither in {folder} nor in {folder}/images")


def orientation_hashes(image: Image.Image) -> NDArray[np.bool_]:
    """Difference hashes (8, 64) of the eight turned and mirrored versions of a picture."""
    grey = np.asarray(image.convert("L").resize((36, 36), Image.Resampling.BOX), dtype=np.float32)
    turned = [np.rot90(base, turns) for base in (grey, grey.T) for turns in range(4)]
    return np.stack([_difference_hash(one) for one in turned])


def _difference_hash(grey: NDArray[np.float32]) -> NDArray[np.bool_]:
    small = grey[2:34].reshape(8, 4, 36).mean(axis=1).reshape(8, 9, 4).mean(axis=2)
    return np.asarray(small[:, 1:] > small[:, :-1]).ravel()


def twin_groups(hashes: NDArray[np.bool_], features: NDArray[np.float32]) -> NDArray[np.int64]:
    """Group numbers (n,) from hashes (n, 8, 64) and L2-normalised features (n, d).

    Two photos share a group when a chain of near-twins joins them.
    """
    count = len(hashes)
    group = np.arange(count)
    similar = features @ features.T > COSINE
    for first in range(count):
        distance = (hashes[first, 0] != hashes).sum(axis=2).min(axis=1)
        for second in np.flatnonzero((distance <= HASH_DISTANCE) | similar[first]):
            if group[first] != group[second]:
                group[group == group[second]] = group[first]
    return group


def grouped_folds(
    labels: Sequence[str], groups: NDArray[np.int64], folds: int, seed: int
) -> NDArray[np.int64]:
    """Fold number (n,) of each photo: groups stay whole, labels are spread evenly."""
    rng = random.Random(seed)  # noqa: S311 - no secret
    members: dict[int, list[int]] = {}
    for position, group in enumerate(groups.tolist()):
        members.setdefault(group, []).append(position)
    order = sorted(members.values(), key=lambda one: (-len(one), rng.random()))
    load: dict[tuple[int, str], int] = {}
    fold_of = np.zeros(len(labels), dtype=np.int64)
    for positions in order:
        label = labels[positions[0]]
        chosen = min(range(folds), key=lambda f: (load.get((f, label), 0), rng.random()))
        load[(chosen, label)] = load.get((chosen, label), 0) + len(positions)
        fold_of[positions] = chosen
    return fold_of


def batches(count: int, size: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Shuffled index batches of one epoch; the last, smaller one is dropped unless alone."""
    order = rng.permutation(count)
    stop = max(count - count % size, min(size, count))
    for start in range(0, stop, size):
        yield order[start : start + size]
