"""Labelled pictures, their near-twins, and folds that keep near-twins together."""

import csv
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

HASH_DISTANCE = 6  # bits of 64: up to here the same photo, turned, mirrored or recoded
COSINE = 0.85  # of pooled ImageNet features, for twins that were cropped or recoloured


@dataclass(frozen=True)
class Picture:
    """One labelled picture on disk; `index` is its row in labels.csv.

    group   pictures of one group are never on both sides of a split; "" for none
    video   frames of one video share one picture's weight; "" for none
    source  who it comes from: the part of the file's name before "__"; "" for none
    """

    index: int
    path: Path
    label: str
    group: str = ""
    video: str = ""
    source: str = ""

    def image(self) -> Image.Image:
        """The upright picture in RGB."""
        with Image.open(self.path) as opened:
            return ImageOps.exif_transpose(opened).convert("RGB")


def read_folder(
    folder: Path, label_ids: Sequence[str], events: Mapping[str, str] | None = None
) -> tuple[Picture, ...]:
    """Pictures of a folder with `labels.csv` (columns file, label); files beside it or in images/.

    A row's label is its column `label` if that is one of label_ids, else what `events` makes of its
    column `event`. Columns `group` and `video` are used where they are.
    Raises FileNotFoundError naming the first file that is in neither place, ValueError naming the
    first row without a label.
    """
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    return tuple(
        Picture(
            index,
            _locate(folder, row["file"]),
            _label(row, label_ids, events or {}),
            row.get("group") or "",
            row.get("video") or "",
            row["file"].split("__")[0] if "__" in row["file"] else "",
        )
        for index, row in enumerate(rows)
    )


def _label(row: Mapping[str, str], label_ids: Sequence[str], events: Mapping[str, str]) -> str:
    label = row["label"] if row["label"] in label_ids else events.get(row.get("event") or "", "")
    if not label:
        said = row.get("event") or row["label"]
        raise ValueError(f"{row['file']}: {said!r} is none of {', '.join(label_ids)}")
    return label


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


def twin_groups(
    hashes: NDArray[np.bool_],
    features: NDArray[np.float32],
    named: Sequence[str] | None = None,
    cosine: float = COSINE,
) -> NDArray[np.int64]:
    """Group numbers (n,) from hashes (n, 8, 64) and L2-normalised features (n, d).

    Two pictures share a group when a chain of near-twins, or a name of `named` (n,), joins them.
    """
    count = len(hashes)
    group = np.arange(count)
    names = np.array(named if named is not None else [""] * count, dtype=object)
    similar = features @ features.T > cosine
    for first in range(count):
        distance = (hashes[first, 0] != hashes).sum(axis=2).min(axis=1)
        alike = (distance <= HASH_DISTANCE) | similar[first]
        alike |= (names == names[first]) & (names != "")
        for second in np.flatnonzero(alike):
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
    load = [Counter[str]() for _ in range(folds)]
    fold_of = np.zeros(len(labels), dtype=np.int64)
    for positions in order:
        new = Counter(labels[position] for position in positions)
        crowded = [sum(count * one[label] for label, count in new.items()) for one in load]
        chosen = min(range(folds), key=lambda f: (crowded[f], load[f].total(), rng.random()))
        load[chosen] += new
        fold_of[positions] = chosen
    return fold_of


def batches(count: int, size: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Shuffled index batches of one epoch; the last, smaller one is dropped unless alone."""
    order = rng.permutation(count)
    stop = max(count - count % size, min(size, count))
    for start in range(0, stop, size):
        yield order[start : start + size]
